"""The ends of HTTP that aiohttp's application never sees: too many connections, and requests that are no HTTP.

Both are answered in the same envelope and with the same headers as everything else.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from multidict import CIMultiDict

from scheduler.api.envelope import refusal
from scheduler.api.middleware.headers import dress
from scheduler.api.middleware.request_id import request_id_of
from schemas.envelope import failure
from schemas.errors import InternalError, InvalidRequest, ServiceUnavailable, WattleError

log = logging.getLogger(__name__)

# How long a client that is turned away may take to say something and so be able to read why.
_TURN_AWAY_SECONDS: Final = 1.0
_TURN_AWAY_AT_ONCE: Final = 64


class HttpProtocol(web.RequestHandler):
    """One connection; ours are its words for errors outside the application, and that a handler may hear of its end."""

    __slots__ = ("when_lost",)

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self.when_lost: Callable[[], object] | None = None
        """Called once the client has left, which a handler that only waits does not notice."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell the handler too; asyncio's signature."""
        super().connection_lost(exc)
        if self.when_lost is not None:
            self.when_lost()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be read, or an error that passed the error mapper."""
        if isinstance(exc, ConnectionError) or request.writer.output_size > 0:
            # the client is gone, or has half an answer: aiohttp ends the connection without a word
            raise ConnectionResetError("no answer can be sent")
        response = _BareResponse.of(request, _describe(request, status, exc, message))
        response.force_close()
        return response


class _BareResponse(web.Response):
    """An answer that the application's signal for headers does not reach."""

    @classmethod
    def of(cls, request: web.BaseRequest, error: WattleError) -> "_BareResponse":
        made = refusal(request, error)
        return cls(status=made.status, body=made.body, headers=made.headers)

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        assert self._req is not None
        dress(self.headers, request_id_of(self._req))


def _describe(request: web.BaseRequest, status: int, exc: BaseException | None, message: str | None) -> WattleError:
    """Our error for aiohttp's; what a client can cause at will is no traceback in the log."""
    request_id = request_id_of(request)
    if status < 500:
        log.debug("a request from %s was no HTTP: %s", request.remote, exc, extra={"request_id": request_id})
        hint = "; in a path, letters other than ASCII are written as %XX" if "url" in (message or "") else ""
        return InvalidRequest(reason=f"no valid HTTP: {' '.join((message or '').split())[:200]}{hint}")
    log.error("%s failed", request.path[:200], exc_info=exc, extra={"request_id": request_id})
    return InternalError(request_id=request_id)


class _TurnAway(asyncio.Protocol):
    """A connection beyond the limit: it is told so as soon as it has asked for something, and closed."""

    def __init__(self, waiting: set["_TurnAway"], limit: int) -> None:
        self._waiting = waiting
        self._limit = limit
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if len(self._waiting) >= _TURN_AWAY_AT_ONCE:
            transport.abort()
            return
        self._waiting.add(self)
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(_TURN_AWAY_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002  asyncio's signature
        # closing with unread bytes would reset the connection before the answer is read
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_full_answer(self._limit))
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        self._waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()


def _full_answer(limit: int) -> bytes:
    error = ServiceUnavailable(reason=f"{limit} connections are open, which is the limit", retry_after_seconds=1)
    body = failure(error)
    headers = CIMultiDict({"Content-Type": "application/json", "Content-Length": str(len(body))})
    headers.update({"Connection": "close", "Retry-After": str(error.retry_after_seconds)})
    dress(headers, secrets.token_hex(8))
    lines = [f"HTTP/1.1 {error.status} Service Unavailable", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def protocol_factory(server: web.Server, *, max_connections: int, **options: Any) -> Callable[[], asyncio.Protocol]:
    """What makes a protocol for each new connection of `server`; `options` are those of aiohttp's RequestHandler."""
    loop = asyncio.get_running_loop()
    turned_away: set[_TurnAway] = set()

    def make() -> asyncio.Protocol:
        if len(server.connections) >= max_connections:
            return _TurnAway(turned_away, max_connections)
        return HttpProtocol(server, loop=loop, **options)

    return make
