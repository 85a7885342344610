"""Refuses unknown paths and methods before anything that costs more is asked about a request."""

from aiohttp import web
from aiohttp.typedefs import Handler


@web.middleware
async def require_known_route(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Raise aiohttp's 404 or 405, which the error mapper words, in its place in the order."""
    unknown = request.match_info.http_exception
    if unknown is not None:
        raise unknown
    return await handler(request)
