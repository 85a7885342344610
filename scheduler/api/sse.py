"""Server-sent events on an aiohttp response: frames, the headers, a write that gives up on who does not read."""

from __future__ import annotations

import asyncio
from typing import Final

import orjson
from aiohttp import web
from sse_starlette.event import ServerSentEvent

WRITE_TIMEOUT_SECONDS: Final = 10.0
PING_SECONDS: Final = 15.0
PING: Final = b": ping\n\n"


class ClientGoneError(Exception):
    """The client has left, or has not read anything for ten seconds."""


def frame(data: object, *, event: str | None = None, event_id: str | None = None) -> bytes:
    """One event; `data` travels as JSON, because the protocol would cut at a carriage return."""
    return ServerSentEvent(data=orjson.dumps(data).decode(), event=event, id=event_id, sep="\n").encode()


class EventStream:
    """An open stream: `async with EventStream(request) as stream: await stream.send(...)`."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})

    async def open(self) -> None:
        """Send the headers."""
        await self.response.prepare(self._request)

    async def send(self, frames: bytes) -> None:
        """Send whole frames; raises ClientGoneError."""
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                await self.response.write(frames)
        except (TimeoutError, ConnectionError) as error:
            raise ClientGoneError from error
