"""Requests to the daemon on one kept-alive connection, each with how long its answer took."""

import http.client
import json
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Self

from tests.bench.report import VoidError

ANSWER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class TimedAnswer:
    """A success: its envelope, the bytes of its body, and the seconds from the request to its last byte."""

    envelope: Any
    size_bytes: int
    seconds: float

    @property
    def data(self) -> Any:
        """The documented `data`."""
        return self.envelope["data"]


class Connection:
    """`with Connection(port) as connection`. The daemon closes it after 15 s without a request."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
        self._begin = 0.0

    def __enter__(self) -> Self:
        self._connection.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, document: object = None) -> TimedAnswer:
        """One request and its answer; raises VoidError for anything but a success."""
        self.send(method, path, document)
        return self.answer()

    def send(self, method: str, path: str, document: object = None) -> None:
        """The request alone; writing the document down is not timed."""
        body = None if document is None else json.dumps(document).encode()
        headers = {"Content-Type": "application/json"} if body else {}
        self._begin = time.perf_counter()
        self._connection.request(method, path, body, headers)

    def answer(self) -> TimedAnswer:
        """The answer to what was sent."""
        with closing(self._connection.getresponse()) as response:
            body = response.read()
        seconds = time.perf_counter() - self._begin
        if response.status >= 300:
            raise VoidError(f"the daemon answered {response.status}: {body[:500].decode(errors='replace')}")
        return TimedAnswer(json.loads(body), len(body), seconds)
