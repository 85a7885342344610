"""The HTTP application: what every request passes on its way to a handler, in this order.

request id -> error mapper -> Host and Origin -> route and method known -> (keys, in a later version) -> content
type -> handler, which reads the body bounded in size and time -> headers. The connection limit stands before all
of it, in `protocol.py`.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from scheduler.api.app_keys import SETTINGS, STOPPING, STREAM_SLOTS
from scheduler.api.middleware.content_type import require_content_type
from scheduler.api.middleware.errors import map_errors
from scheduler.api.middleware.guard import GuardPolicy, make_guard
from scheduler.api.middleware.headers import set_headers
from scheduler.api.middleware.known_route import require_known_route
from scheduler.api.middleware.limits import StreamSlots
from scheduler.api.middleware.request_id import assign_request_id
from scheduler.api.routing import Route, register_routes
from scheduler.config import Settings


def make_app(
    settings: Settings, routes: Iterable[Route], values: Mapping[web.AppKey[Any], object] | None = None
) -> web.Application:
    """The application that serves `routes`; `values` is what their handlers find in it by app key."""
    app = web.Application(
        middlewares=[
            assign_request_id,
            map_errors,
            make_guard(GuardPolicy.from_settings(settings)),
            require_known_route,
            require_content_type,
        ],
        client_max_size=settings.max_body_bytes,
    )
    app[SETTINGS] = settings
    app[STREAM_SLOTS] = StreamSlots(settings.max_streams)
    app[STOPPING] = asyncio.Event()
    for key, value in (values or {}).items():
        app[key] = value
    app.on_response_prepare.append(set_headers)
    app.on_shutdown.append(_end_streams)
    register_routes(app, routes)
    return app


async def _end_streams(app: web.Application) -> None:
    """A stream never ends by itself; without this each would hold the stop for as long as it waits for answers."""
    app[STOPPING].set()
