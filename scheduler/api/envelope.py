"""Answers in the documented envelope, in the language the request asks for."""

from aiohttp import web

from schemas.envelope import failure, success
from schemas.errors import MethodNotAllowed, WattleError
from schemas.messages import Language, choose_language


def request_language(request: web.BaseRequest) -> Language:
    """The language of the answer, by Accept-Language; English unless Chinese is preferred."""
    return choose_language(request.headers.get("Accept-Language"))


def answer(
    request: web.BaseRequest,
    data: object,
    *,
    status: int = 200,
    pagination: dict[str, int] | None = None,
    **beside: object,
) -> web.Response:
    """A success with `data`; `pagination` and `beside` stand next to it in the envelope."""
    body = success(data, language=request_language(request), pagination=pagination, **beside)
    return web.Response(status=status, body=body, content_type="application/json")


def refusal(request: web.BaseRequest, error: WattleError) -> web.Response:
    """A failure with the code and status of `error`, and Retry-After when it names a time."""
    body = failure(error, language=request_language(request))
    response = web.Response(status=error.status, body=body, content_type="application/json")
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(error.allowed)
    return response
