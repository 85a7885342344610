"""HTTP by hand on a real socket, for what a well-behaved client would never send."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One HTTP answer as it came: the status, the headers in order, the body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The one value of a header, None when absent; more than one is a failure."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} is there more than once: {values}"
        return values[0] if values else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error code of a failure."""
        assert self.json["success"] is False
        return str(self.json["error"]["code"])


def request_bytes(
    method: str, path: str, headers: list[tuple[str, str]], body: bytes = b"", *, version: str = "1.1"
) -> bytes:
    """A request with exactly these headers; Content-Length is added when there is a body and none is given."""
    if body and not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers):
        headers = [*headers, ("Content-Length", str(len(body)))]
    lines = [f"{method} {path} HTTP/{version}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


async def exchange(port: int | str, sent: bytes, *, host: str = "127.0.0.1") -> Answer:
    """Send bytes to a port (or to a Unix socket's path) and read one answer, whether or not the connection stays."""
    connection = asyncio.open_unix_connection(port) if isinstance(port, str) else asyncio.open_connection(host, port)
    reader, writer = await connection
    try:
        writer.write(sent)
        await writer.drain()
        return await read_answer(reader, is_head=sent.startswith(b"HEAD "))
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader, *, is_head: bool = False) -> Answer:
    """The next answer on a connection; without a Content-Length, all bytes until it ends."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
    status = int(first.split()[1])
    if is_head:
        return Answer(status, headers, b"")
    return Answer(status, headers, await reader.readexactly(lengths[0]) if lengths else await reader.read())
