"""What holds for every route: web pages are kept out, and what a route does not know is refused by name."""

from collections.abc import Iterator

import pytest

from scheduler.api.routes import ROUTES
from scheduler.api.routing import Route
from tests.e2e.asking import ask, assert_refused, quiet_daemon
from tests.helpers.daemon import Daemon

KEPT = {"name": "kept", "workers": [{"name": "a", "command": "echo kept"}]}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a workflow that has run."""
    with quiet_daemon(tmp_path_factory.mktemp("routes")) as running:
        running.post("/api/workflows", KEPT)
        running.start_run("kept")
        running.wait_for_run("kept")
        yield running


def address(route: Route, prefix: str = "/api") -> str:
    """A path that the route answers."""
    return prefix + route.path.format(workflow="kept", worker="a", run="01ABSENT")


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


FOREIGN: dict[str, tuple[dict[str, str], int, str]] = {
    "another host": ({"Host": "evil.example"}, 421, "HOST_NOT_ALLOWED"),
    "another port": ({"Host": "localhost:1"}, 421, "HOST_NOT_ALLOWED"),
    "a page of another origin": ({"Origin": "http://evil.example"}, 403, "FORBIDDEN"),
    "no origin in a frame": ({"Origin": "null"}, 403, "FORBIDDEN"),
    "a browser for another site": ({"Sec-Fetch-Site": "cross-site"}, 403, "FORBIDDEN"),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("route", ROUTES, ids=named)
async def test_no_route_answers_a_web_page(daemon: Daemon, route: Route) -> None:
    for prefix in ("/api", "/api/v1"):
        for case, (headers, status, code) in FOREIGN.items():
            answer = await ask(daemon, route.method, address(route, prefix), headers=headers)
            assert (answer.status, answer.code) == (status, code), case


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("route", ROUTES, ids=named)
async def test_no_route_takes_a_parameter_that_it_does_not_know(daemon: Daemon, route: Route) -> None:
    document = KEPT if route.method in ("POST", "PUT") else None
    answer = await ask(daemon, route.method, address(route) + "?colour=red", document)
    assert_refused(answer, 400, "INVALID_REQUEST", "unknown query parameter 'colour'")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
async def test_other_methods_are_refused_by_name(daemon: Daemon, path: str) -> None:
    here = [route for route in ROUTES if route.path == path]
    allowed = {route.method for route in here}
    allowed |= {"HEAD"} if any(route.method == "GET" and not route.is_stream for route in here) else set()
    if path == "/workflows/validate":  # may also be the name of a workflow
        allowed |= {"GET", "HEAD", "PUT", "DELETE"}
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} - allowed:
        answer = await ask(daemon, method, address(here[0]))
        assert_refused(answer, 405, "METHOD_NOT_ALLOWED", f"does not answer {method}")
        assert set((answer.header("Allow") or "").split(", ")) == allowed


@pytest.mark.parametrize("route", [each for each in ROUTES if each.method == "GET"], ids=named)
async def test_head_is_get_without_a_body(daemon: Daemon, route: Route) -> None:
    expected = 405 if route.is_stream else (await ask(daemon, "GET", address(route))).status
    answer = await ask(daemon, "HEAD", address(route))
    assert (answer.status, answer.body) == (expected, b"")
    assert int(answer.header("Content-Length") or 0) > 0


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/", "/api/workflows/", "/api/v2/workflows", "/API/workflows", "/x?y"]
)
async def test_unknown_paths(daemon: Daemon, path: str) -> None:
    assert_refused(await ask(daemon, "GET", path), 404, "ROUTE_NOT_FOUND", f"'{path.partition('?')[0]}'")


WRONG_VALUES = {
    "/api/workflows?status=done": "one of created, running, completed, failed, cancelled, not 'done'",
    "/api/workflows?statu=running": "did you mean 'status'?",
    "/api/workflows?page=0": "'page' must be a whole number from 1",
    "/api/workflows?page_size=1001": "'page_size' must be a whole number from 1 to 1000",
    "/api/workflows?page=1&page=2": "'page' is given more than once",
    "/api/workflows/kept/graph?format=png": "one of json, mermaid, dot, not 'png'",
    "/api/workflows/kept/definition?format=xml": "one of json, yaml, not 'xml'",
    "/api/workers/kept/a/logs?lines=many": "'lines' must be a whole number",
    "/api/workers/kept/a/logs?stream=stdin": "one of stdout, stderr, not 'stdin'",
    "/api/workers/kept/a/logs/stream?tail=-1": "'tail' must be a whole number from 0 to 100000, or 'all'",
}


@pytest.mark.parametrize("path", WRONG_VALUES)
async def test_wrong_values_of_parameters(daemon: Daemon, path: str) -> None:
    assert_refused(await ask(daemon, "GET", path), 400, "INVALID_REQUEST", WRONG_VALUES[path])
