"""Refuses unknown paths and methods before anything that costs more is asked about a request."""

import unicodedata

from aiohttp import web
from aiohttp.typedefs import Handler


@web.middleware
async def require_known_route(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Raise aiohttp's 404 or 405, which the error mapper words, in its place in the order.

    Names in the path are brought to NFC, as they are stored: a client may spell an accent in two ways.
    """
    unknown = request.match_info.http_exception
    if unknown is not None:
        raise unknown
    for key, name in request.match_info.items():
        request.match_info[key] = unicodedata.normalize("NFC", name)
    return await handler(request)
