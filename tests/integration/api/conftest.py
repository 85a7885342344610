from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from scheduler.api.app_keys import STOPPING
from scheduler.api.body import read_document
from scheduler.api.envelope import answer
from scheduler.api.routing import Route
from schemas.errors import ServiceUnavailable, WorkflowNotFound
from tests.helpers.api_server import RunningServer, serving


async def echo(request: web.Request) -> web.Response:
    return answer(request, {"path": dict(request.match_info), "query": dict(request.query)})


async def take(request: web.Request) -> web.Response:
    return answer(request, await read_document(request), status=201)


async def start(request: web.Request) -> web.Response:
    """A handler that has no use for a body."""
    return answer(request, "started")


async def missing(request: web.Request) -> web.Response:
    raise WorkflowNotFound(name="non-existent")


async def busy(request: web.Request) -> web.Response:
    raise ServiceUnavailable(reason="the disk is full", retry_after_seconds=30)


async def bug(request: web.Request) -> web.Response:
    raise KeyError("a secret of the daemon")


async def launcher_gone(request: web.Request) -> web.Response:
    raise ConnectionResetError("a secret of the launcher")


async def stream(request: web.Request) -> web.StreamResponse:
    """Sends a first event and then stays open until the server ends."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"data: {}\n\n")
    await request.app[STOPPING].wait()
    return response


async def broken_stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"data: {}\n\n")
    raise KeyError("a secret of the daemon")


ROUTES = [
    Route("GET", "/echo", echo, "read"),
    Route("GET", "/echo/{name}", echo, "read"),
    Route("POST", "/take", take, "admin"),
    Route("POST", "/start", start, "operate"),
    Route("GET", "/missing", missing, "read"),
    Route("GET", "/busy", busy, "read"),
    Route("GET", "/bug", bug, "read"),
    Route("GET", "/launcher-gone", launcher_gone, "read"),
    Route("GET", "/stream", stream, "read", is_stream=True),
    Route("GET", "/broken-stream", broken_stream, "read", is_stream=True),
]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with serving(tmp_path, ROUTES) as running:
        yield running
