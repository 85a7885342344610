"""Talks to the daemon: JSON over `http.client` on one kept-alive connection, every failure as one sentence.

No aiohttp and no pydantic here: importing either costs more than a whole verb does.
"""

import http.client
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

import orjson

from scheduler.cli.errors import RequestFailed, TimedOut, Unreachable
from scheduler.cli.sse import Event, read_events

DEFAULT_URL = "http://127.0.0.1:9240"
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
# The daemon pings a quiet stream every 15 s; three missed pings mean that the connection is dead.
_STREAM_SILENCE_SECONDS = 45.0

Query = Mapping[str, str | int | None]


@dataclass(frozen=True, slots=True)
class Answer:
    """One success envelope: `data` is what the API documents, `envelope` also has what stands beside it."""

    envelope: dict[str, Any]

    @property
    def data(self) -> Any:
        """The documented `data`."""
        return self.envelope.get("data")


def api_path(*parts: str) -> str:
    """`/api/...` with every part quoted, a slash inside a name included: api_path("workflows", "数据")."""
    return "/api/" + "/".join(quote(part, safe="") for part in parts)


class Client:
    """One conversation with one daemon; use it as a context manager. Not for several threads at once."""

    def __init__(self, url: str = DEFAULT_URL, *, timeout_seconds: float | None = None) -> None:
        self.url = url
        self._endpoint = _Endpoint.parse(url)
        self.timeout_seconds = timeout_seconds
        self._deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def another(self, *, timeout_seconds: float | None = None) -> "Client":
        """A client of the same daemon with a connection of its own, for another thread or a side question."""
        return Client(self.url, timeout_seconds=timeout_seconds)

    def close(self) -> None:
        """Closes the connection; the next request opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path: str, query: Query | None = None) -> Answer:
        """GET; raises RequestFailed, Unreachable, TimedOut."""
        return self._json("GET", path, query, None, _ANSWER_SECONDS)

    def get_text(self, path: str, query: Query | None = None) -> str:
        """GET of a text answer (mermaid, dot, YAML), decoded as UTF-8."""
        response = self._send("GET", path, query, None, _ANSWER_SECONDS)
        body = self._body(response)
        if response.status >= 400:
            self._envelope(response.status, body)
        return body.decode("utf-8", "replace")

    def post(self, path: str, body: bytes | None = None) -> Answer:
        """POST of a JSON body; waits as long as the daemon needs (a stop ends only with its processes)."""
        return self._json("POST", path, None, body, None)

    def put(self, path: str, body: bytes) -> Answer:
        """PUT of a JSON body."""
        return self._json("PUT", path, None, body, None)

    def delete(self, path: str) -> Answer:
        """DELETE."""
        return self._json("DELETE", path, None, None, None)

    def events(self, path: str, query: Query | None = None, *, last_event_id: str = "") -> Iterator[Event]:
        """The server-sent events of `path` until the daemon closes the stream; takes the connection over.

        Raises Unreachable when the stream breaks or is silent for longer than three pings: ask again with
        the id of the last event to go on without a gap.
        """
        headers = {"Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        response = self._send("GET", path, query, None, _STREAM_SILENCE_SECONDS, headers)
        if response.status >= 400:
            self._envelope(response.status, self._body(response))
        try:
            yield from read_events(lambda: response.read1(65536))
        except TimeoutError as error:
            self.check_deadline()
            raise Unreachable(f"the stream from {self.url} went silent") from error
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"the stream from {self.url} broke: {_said(error)}") from error
        finally:
            self.close()

    def check_deadline(self) -> None:
        """Raises TimedOut when the time given by --timeout is over."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise TimedOut(f"{self.timeout_seconds:g} s (--timeout) are over")

    def _json(self, method: str, path: str, query: Query | None, body: bytes | None, patience: float | None) -> Answer:
        response = self._send(method, path, query, body, patience)
        return Answer(self._envelope(response.status, self._body(response)))

    def _send(
        self, method: str, path: str, query: Query | None, body: bytes | None, patience: float | None,
        headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:  # fmt: skip
        """Sends one request. A kept-alive connection that the daemon closed meanwhile is replaced, for GET only:
        a POST may have been carried out, so it starts on a fresh connection instead."""
        if method != "GET":
            self.close()
        reused = self._connection is not None
        try:
            return self._exchange(method, path, query, body, patience, headers)
        except Unreachable:
            if not reused:
                raise
            return self._exchange(method, path, query, body, patience, headers)

    def _exchange(
        self, method: str, path: str, query: Query | None, body: bytes | None, patience: float | None,
        headers: Mapping[str, str] | None,
    ) -> http.client.HTTPResponse:  # fmt: skip
        target = self._endpoint.prefix + path + _query_text(query)
        try:
            connection = self._connect()
            connection.sock.settimeout(self._seconds_left(patience))
            connection.request(method, target, body, {**_headers(body), **(headers or {})})
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._broken(error) from error

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            connection = self._endpoint.connection(self._seconds_left(_CONNECT_SECONDS))
            try:
                connection.connect()
            except OSError:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        try:
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._broken(error) from error
        if response.will_close:
            self.close()
        return body

    def _envelope(self, status: int, body: bytes) -> dict[str, Any]:
        """The parsed envelope; raises RequestFailed for the daemon's errors, Unreachable for what is not Wattle."""
        try:
            envelope = orjson.loads(body)
        except orjson.JSONDecodeError:
            envelope = None
        if not isinstance(envelope, dict) or "success" not in envelope:
            raise Unreachable(
                f"{self.url} answered {status}, but not as a Wattle daemon does",
                hint="Is the address right? See --url.",
            )
        if not envelope["success"]:
            raise RequestFailed(status, envelope.get("error") or {})
        return envelope

    def _seconds_left(self, patience: float | None) -> float | None:
        """How long one socket operation may take, in seconds; None waits for ever."""
        if self._deadline is None:
            return patience
        self.check_deadline()
        left = max(self._deadline - time.monotonic(), 0.001)
        return left if patience is None else min(left, patience)

    def _broken(self, error: OSError | http.client.HTTPException) -> Unreachable | TimedOut:
        """The sentence for a connection that could not be made or did not last."""
        if isinstance(error, TimeoutError):
            return TimedOut(f"the daemon at {self.url} did not answer in time")
        if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
            return Unreachable(f"nothing listens at {self.url}; start the daemon with 'wattle serve'")
        if isinstance(error, socket.gaierror):
            return Unreachable(f"the host in {self.url} is not known: {_said(error)}")
        return Unreachable(f"the connection to {self.url} broke: {_said(error)}")


def _query_text(query: Query | None) -> str:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return "?" + urlencode(given) if given else ""


def _headers(body: bytes | None) -> dict[str, str]:
    headers = {"Accept": "application/json", "Accept-Language": _language()}
    if body is not None:
        headers["Content-Type"] = "application/json"
    return headers


def _language() -> str:
    """`zh` where the person's locale is Chinese: the daemon has every sentence in both."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return "zh" if value.startswith("zh") else "en"
    return "en"


def _said(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """Where a URL leads: `http(s)://host[:port][/prefix]`, `host:port`, or `unix:/path/of/socket`."""

    scheme: str
    host: str
    port: int | None
    prefix: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises ValueError with a sentence when `url` is none of the three forms."""
        if url.startswith("unix:"):
            return cls("unix", url.removeprefix("unix:").removeprefix("//"), None, "")
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"'{url}' is not an address such as {DEFAULT_URL}")
        return cls(parts.scheme, parts.hostname, parts.port, parts.path.rstrip("/"))

    def connection(self, timeout: float | None) -> http.client.HTTPConnection:
        """An unconnected connection; `timeout` in seconds is for connecting."""
        if self.scheme == "unix":
            return _UnixConnection(self.host, timeout)
        kind = http.client.HTTPSConnection if self.scheme == "https" else http.client.HTTPConnection
        return kind(self.host, self.port, timeout=timeout)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket; the Host header says localhost."""

    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connects to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
