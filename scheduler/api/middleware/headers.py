"""Puts the headers on every answer, streams and errors included, and takes the server's banner off."""

from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from scheduler.api.middleware.request_id import request_id_of

# the browser is told to believe nothing, run nothing and keep nothing of an API answer
SECURITY_HEADERS: Final = {
    "X-API-Version": "v1",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_PREPARED: Final = web.RequestKey("answer_prepared", bool)


async def set_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """The application's on_response_prepare signal: runs once for each answer, just before its headers leave."""
    request[_PREPARED] = True
    dress(response.headers, request_id_of(request))


def dress(headers: CIMultiDict[str], request_id: str) -> None:
    """Add the headers of every answer to `headers`; what an answer set itself, e.g. its own CSP, stays."""
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    headers["X-Request-ID"] = request_id
    headers.pop("Server", None)


def is_answer_under_way(request: web.BaseRequest) -> bool:
    """Whether the headers of an answer have left already, so that no other answer can follow."""
    return _PREPARED in request
