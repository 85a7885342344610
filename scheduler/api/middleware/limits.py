"""Bounds how many event streams are open at once, and how much of a slow one the kernel keeps."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from scheduler.api.protocol import HttpProtocol
from schemas.errors import ServiceUnavailable

# A stalled client otherwise holds 2.9 MB of kernel memory.
SEND_BUFFER_BYTES: Final = 128 * 1024
RETRY_AFTER_SECONDS: Final = 5


class StreamSlots:
    """`with slots:` holds one of `limit` places for a stream; raises ServiceUnavailable when all are taken."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    def __enter__(self) -> None:
        if self.taken >= self.limit:
            raise ServiceUnavailable(
                reason=f"{self.taken} event streams are open, which is the limit",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        self.taken += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.taken -= 1


def limited_stream(handler: Handler, slots: StreamSlots) -> Handler:
    """`handler` for a route that streams, run only while it holds a slot."""

    async def handle_stream(request: web.Request) -> web.StreamResponse:
        with slots:
            connection = request.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            with _ending_with_client(request):
                return await handler(request)

    return handle_stream


@contextmanager
def _ending_with_client(request: web.Request) -> Iterator[None]:
    """Cancel what runs inside the block when the client leaves: the next ping would notice it only seconds later."""
    protocol, task = request.protocol, asyncio.current_task()
    if not isinstance(protocol, HttpProtocol) or task is None:
        yield
        return
    protocol.when_lost = task.cancel
    try:
        yield
    finally:
        protocol.when_lost = None
