"""Turns the table of routes into aiohttp's: each under /api and /api/v1, none without a scope."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from scheduler.api.app_keys import STREAM_SLOTS
from scheduler.api.middleware.limits import limited_stream

PREFIXES: Final = ("/api", "/api/v1")
SCOPES: Final = ("read", "operate", "admin")


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table: `path` comes after the prefix, `scope` is what a key must be allowed to use it."""

    method: str
    path: str
    handler: Handler
    scope: str
    is_stream: bool = False

    def __post_init__(self) -> None:
        line = f"{self.method} {self.path}"
        if self.scope not in SCOPES:
            raise ValueError(f"{line}: scope '{self.scope}' is none of {', '.join(SCOPES)}")
        if self.method in ("GET", "HEAD") and self.scope != "read":
            raise ValueError(f"{line}: what is asked with GET changes nothing and has the scope read")


def register_routes(app: web.Application, routes: Iterable[Route]) -> None:
    """Add `routes` to `app`. GET answers HEAD too, but for streams, whose headers say nothing by themselves."""
    for route in routes:
        handler = limited_stream(route.handler, app[STREAM_SLOTS]) if route.is_stream else route.handler
        for prefix in PREFIXES:
            if route.method == "GET":
                app.router.add_get(prefix + route.path, handler, allow_head=not route.is_stream)
            else:
                app.router.add_route(route.method, prefix + route.path, handler)
