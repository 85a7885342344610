"""A real server on a free port with routes that a test makes up."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler.api.app import make_app
from scheduler.api.routing import Route
from scheduler.api.server import Server
from scheduler.config import Settings
from tests.helpers.raw_http import Answer, exchange, request_bytes


@dataclass(frozen=True)
class RunningServer:
    """Where the server listens, and the shortest ways to ask it something."""

    port: int
    state_dir: Path
    server: Server

    def request(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
        """The bytes of a request whose Host header is ours unless `headers` has one."""
        sent = {"Host": f"localhost:{self.port}", **(headers or {})}
        return request_bytes(method, path, list(sent.items()), body)

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"", **options: Any
    ) -> Answer:
        """One request on a connection of its own."""
        return await exchange(self.port, self.request(method, path, headers, body), **options)

    async def ask_with(
        self, headers: list[tuple[str, str]], method: str = "GET", path: str = "/api/echo", **options: Any
    ) -> Answer:
        """One request with exactly these headers."""
        return await exchange(self.port, request_bytes(method, path, headers, **options))

    async def send(self, sent: bytes) -> Answer:
        """Exactly these bytes on a connection of their own."""
        return await exchange(self.port, sent)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection that stays open inside the block."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()


@asynccontextmanager
async def serving(state_dir: Path, routes: Iterable[Route], **settings: Any) -> AsyncIterator[RunningServer]:
    """A server that is up inside the block and gone after it."""
    values = Settings(**{"state_dir": str(state_dir), "port": 0, **settings})
    server = Server(make_app(values, routes), values)
    await server.start()
    try:
        yield RunningServer(server.port, state_dir, server)
    finally:
        await server.stop()
