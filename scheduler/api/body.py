"""Reads a request's body, bounded in size and time, and parses it strictly: JSON or YAML."""

import asyncio
from functools import partial
from typing import Any, Final

from aiohttp import web

from scheduler.api.app_keys import SETTINGS
from scheduler.api.middleware.content_type import YAML, body_type
from scheduler.api.strict_json import parse_json
from scheduler.api.strict_yaml import parse_yaml
from schemas.errors import InvalidRequest, PayloadTooLarge

# Only a definition needs more; a handler that takes one passes settings.max_body_bytes.
SMALL_BODY_BYTES: Final = 1024**2

# From here on parsing takes longer than the loop should stand still.
_THREAD_ABOVE_BYTES: Final = 64 * 1024


async def read_document(request: web.Request, *, limit_bytes: int = SMALL_BODY_BYTES) -> Any:
    """The value that the body holds.

    Raises UnsupportedMediaType, PayloadTooLarge beyond `limit_bytes` or the setting, InvalidRequest for the rest.
    """
    kind = body_type(request)
    limit_bytes = min(limit_bytes, request.app[SETTINGS].max_body_bytes)
    data = await read_body(request, limit_bytes=limit_bytes)
    if not data:
        raise InvalidRequest(reason="the body is empty")
    parse = partial(parse_yaml, limit_bytes=limit_bytes) if kind == YAML else parse_json
    if len(data) > _THREAD_ABOVE_BYTES:
        return await asyncio.to_thread(parse, data)
    return parse(data)


async def read_body(request: web.Request, *, limit_bytes: int) -> bytes:
    """The bytes of the body. Raises PayloadTooLarge as soon as it is known, InvalidRequest when they are late."""
    if (request.content_length or 0) > limit_bytes:
        raise PayloadTooLarge(limit_bytes=limit_bytes)
    timeout_seconds = request.app[SETTINGS].body_timeout_seconds
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_seconds):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit_bytes:
                    raise PayloadTooLarge(limit_bytes=limit_bytes)
    except TimeoutError:
        raise InvalidRequest(reason=f"the body did not arrive within {timeout_seconds:g} s") from None
    return bytes(body)
