"""Lets bodies in only as JSON or YAML: what a web form can send without asking is refused unread."""

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from schemas.errors import UnsupportedMediaType

JSON: Final = "application/json"
YAML: Final = "application/yaml"


@web.middleware
async def require_content_type(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a body of any other kind, also where the handler would not look at it."""
    if request.body_exists:
        body_type(request)
    return await handler(request)


def body_type(request: web.BaseRequest) -> str:
    """JSON or YAML, by the one Content-Type header. Raises UnsupportedMediaType, also for compressed bodies."""
    given = ", ".join(request.headers.getall("Content-Type", []))
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        # no decompression: a small body must not become a large one
        raise UnsupportedMediaType(given=f"{given}, Content-Encoding: {encoding}"[:200])
    kind, _, parameters = (part.strip().lower() for part in given.partition(";"))
    if kind not in (JSON, YAML) or parameters.replace('"', "") not in ("", "charset=utf-8"):
        raise UnsupportedMediaType(given=given[:200])
    return kind
