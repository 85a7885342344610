import pytest
from aiohttp import web

from scheduler.api.app import make_app
from scheduler.api.routing import Route
from scheduler.config import Settings


async def handler(request: web.Request) -> web.Response:
    return web.Response()


def routes_of(*routes: Route) -> set[tuple[str, str]]:
    app = make_app(Settings(state_dir="/x"), routes)
    return {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}


def test_each_route_is_there_with_and_without_the_version() -> None:
    assert routes_of(Route("POST", "/workflows/{workflow}/start", handler, "operate")) == {
        ("POST", "/api/workflows/{workflow}/start"),
        ("POST", "/api/v1/workflows/{workflow}/start"),
    }


def test_get_answers_head_but_not_for_streams() -> None:
    assert {method for method, _ in routes_of(Route("GET", "/a", handler, "read"))} == {"GET", "HEAD"}
    assert {method for method, _ in routes_of(Route("GET", "/a", handler, "read", is_stream=True))} == {"GET"}


@pytest.mark.parametrize("scope", ["", "write", "Read"])
def test_a_route_without_a_known_scope_does_not_start(scope: str) -> None:
    with pytest.raises(ValueError, match=r"POST /a: scope"):
        Route("POST", "/a", handler, scope)


def test_a_scope_cannot_be_left_out() -> None:
    with pytest.raises(TypeError, match="scope"):
        Route("POST", "/a", handler)  # type: ignore[call-arg]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_asked_with_get_only_reads(method: str) -> None:
    with pytest.raises(ValueError, match="has the scope read"):
        Route(method, "/a", handler, "operate")
