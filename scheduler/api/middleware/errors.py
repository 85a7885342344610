"""The one error mapper: whatever is raised below becomes the error envelope with its status, never a traceback."""

import logging
from typing import NoReturn

from aiohttp import web
from aiohttp.typedefs import Handler

from scheduler.api.envelope import refusal
from scheduler.api.middleware.headers import is_answer_under_way
from scheduler.api.middleware.request_id import request_id_of
from schemas.errors import (
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    PayloadTooLarge,
    RouteNotFound,
    WattleError,
)

log = logging.getLogger(__name__)


@web.middleware
async def map_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every exception; one that comes after the first byte of an answer ends the connection instead."""
    try:
        return await handler(request)
    except Exception as problem:
        if _is_client_gone(request, problem):
            raise
        error = problem if isinstance(problem, WattleError) else _translate(request, problem)
        if is_answer_under_way(request):
            _break_off(request, error)
        return refusal(request, error)


def _is_client_gone(request: web.Request, problem: Exception) -> bool:
    """A lost client shows as a ConnectionError; one from elsewhere, e.g. the launcher's socket, is an error."""
    return isinstance(problem, ConnectionError) and (request.transport is None or request.transport.is_closing())


def _translate(request: web.Request, problem: Exception) -> WattleError:
    """Our error for what aiohttp or a bug raised; a bug is logged here with its traceback."""
    path = request.path[:200]
    if isinstance(problem, web.HTTPMethodNotAllowed):
        return MethodNotAllowed(method=request.method[:40], path=path, allowed=sorted(problem.allowed_methods))
    if isinstance(problem, web.HTTPNotFound):
        return RouteNotFound(path=path)
    if isinstance(problem, web.HTTPRequestEntityTooLarge):
        return PayloadTooLarge(limit_bytes=request.client_max_size)
    if isinstance(problem, web.HTTPClientError | web.RequestPayloadError):
        return InvalidRequest(reason=str(problem))
    request_id = request_id_of(request)
    log.error("%s %s failed", request.method, path, exc_info=problem, extra={"request_id": request_id})
    return InternalError(request_id=request_id)


def _break_off(request: web.Request, error: WattleError) -> NoReturn:
    """End the connection in the middle of an answer, so that the client sees that it is not complete."""
    log.warning("an answer broke off: %s", error, extra={"request_id": request_id_of(request)})
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("the answer broke off")
