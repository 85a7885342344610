"""Gives every request an id: the caller's own when it is fit to be logged and sent back, else a new one."""

import re
import secrets
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

# printable ASCII without blanks: nothing that could break a log line or a header
_FIT: Final = re.compile(r"[!-~]{1,128}")
_KEY: Final = web.RequestKey("request_id", str)


@web.middleware
async def assign_request_id(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Settle the id before anything can fail, so that every log line and answer carries the same one."""
    request_id_of(request)
    return await handler(request)


def request_id_of(request: web.BaseRequest) -> str:
    """The id of this request, from X-Request-ID, X-Correlation-ID or made; the same at every call."""
    known = request.get(_KEY)
    if known is None:
        given = request.headers.get("X-Request-ID") or request.headers.get("X-Correlation-ID") or ""
        known = given if _FIT.fullmatch(given) else secrets.token_hex(8)
        request[_KEY] = known
    return known
