"""A real HTTP server on loopback that speaks the contract's JSON from a table, for the client's own tests."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

WORKFLOW = {
    "name": "data-pipeline",
    "working_dir": "/tmp/data-pipeline",
    "status": "completed",
    "created_at": "2026-08-30T10:00:00.000Z",
    "started_at": "2026-08-30T10:30:00.000Z",
    "completed_at": "2026-08-30T10:30:12.345Z",
    "deleted_at": None,
}


@dataclass(frozen=True)
class Request:
    """What the client sent."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    raw_target: str


@dataclass(frozen=True)
class Reply:
    """What it gets; `hang_up` closes the connection after the answer, as a daemon does with an idle one."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    hang_up: bool = False
    truncated: bool = False


Answer = Reply | Callable[[Request], Reply]


def ok(data: Any, **beside: Any) -> Reply:
    """The success envelope."""
    return Reply(body=orjson.dumps({"success": True, "data": data, "message": "OK", "timestamp": "t", **beside}))


def refused(status: int, code: str, message: str, details: Any = None) -> Reply:
    """The error envelope."""
    error = {"code": code, "message": message} | ({"details": details} if details is not None else {})
    return Reply(status, orjson.dumps({"success": False, "error": error, "timestamp": "t"}))


def stream(*frames: str, truncated: bool = False) -> Reply:
    """Server-sent events; `truncated` breaks off inside a chunk."""
    body = "".join(frame + "\n\n" for frame in frames).encode()
    return Reply(body=body, content_type="text/event-stream", hang_up=True, truncated=truncated)


@dataclass
class ContractServer:
    """The table of answers, and what was asked."""

    url: str
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def on(self, method: str, path: str, answer: Answer) -> None:
        self.answers[method, path] = answer

    def on_each(self, method: str, path: str, *answers: Reply) -> None:
        """One answer a request, the last one for ever."""
        waiting = list(answers)
        self.on(method, path, lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0])

    def asked(self, method: str, path: str) -> list[Request]:
        return [request for request in self.requests if (request.method, request.path) == (method, path)]

    def answer(self, request: Request) -> Reply:
        self.requests.append(request)
        found = self.answers.get((request.method, request.path))
        if found is None:
            return refused(404, "ROUTE_NOT_FOUND", f"There is nothing at '{request.path}'")
        return found(request) if callable(found) else found


@contextmanager
def serving() -> Iterator[ContractServer]:
    """A server on a free port until the end of the block."""
    table = ContractServer("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:
                self.close_connection = True

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.respond
            raise AttributeError(name)

        def respond(self) -> None:
            target = urlsplit(self.path)
            size = int(self.headers.get("Content-Length") or 0)
            query = dict(parse_qsl(target.query))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(size)
            self.send(table.answer(Request(self.command, unquote(target.path), query, headers, body, self.path)))

        def send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            if reply.content_type == "text/event-stream":
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                # chunks of seven bytes: no frame may depend on where the network cuts
                for at in range(0, len(reply.body), 7):
                    chunk = reply.body[at : at + 7]
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                self.wfile.write(b"5\r\nab" if reply.truncated else b"0\r\n\r\n")
            else:
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)
            self.close_connection = reply.hang_up

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    table.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield table
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
