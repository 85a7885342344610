from pathlib import Path

import pytest

from tests.helpers.api_server import RunningServer, serving
from tests.helpers.raw_http import exchange, request_bytes
from tests.integration.api.conftest import ROUTES

# known, unknown, a stream, one that changes something, a wrong method: the guard stands before all of them
TARGETS = [
    ("GET", "/api/echo"),
    ("HEAD", "/api/echo"),
    ("GET", "/api/v1/echo/x"),
    ("GET", "/api/stream"),
    ("POST", "/api/start"),
    ("POST", "/api/take"),
    ("PUT", "/api/echo"),
    ("DELETE", "/api/echo"),
    ("PATCH", "/api/echo"),
    ("OPTIONS", "/api/echo"),
    ("OPTIONS", "*"),
    ("PROPFIND", "/api/echo"),
    ("GET", "/nothing"),
    ("GET", "/"),
]


@pytest.mark.parametrize(("method", "path"), TARGETS)
class TestEveryRouteAndMethod:
    async def test_another_host_is_refused(self, api: RunningServer, method: str, path: str) -> None:
        for host in ("evil.example", f"evil.example:{api.port}", "localhost", "localhost:1"):
            answer = await api.ask(method, path, {"Host": host})
            assert answer.status == 421
            assert method == "HEAD" or answer.code == "HOST_NOT_ALLOWED"

    async def test_another_origin_is_refused(self, api: RunningServer, method: str, path: str) -> None:
        for origin in ("http://evil.example", "null", f"http://127.0.0.1:{api.port}"):
            answer = await api.ask(method, path, {"Origin": origin})
            assert answer.status == 403
            assert method == "HEAD" or answer.code == "FORBIDDEN"

    async def test_another_site_is_refused(self, api: RunningServer, method: str, path: str) -> None:
        for site in ("cross-site", "same-site"):
            answer = await api.ask(method, path, {"Sec-Fetch-Site": site})
            assert answer.status == 403
            assert method == "HEAD" or answer.code == "FORBIDDEN"

    async def test_a_typed_address_only_reads(self, api: RunningServer, method: str, path: str) -> None:
        if method in ("GET", "HEAD"):
            return
        assert (await api.ask(method, path, {"Sec-Fetch-Site": "none"})).status == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
async def test_our_own_names_are_answered(api: RunningServer, host: str) -> None:
    assert (await api.ask("GET", "/api/echo", {"Host": f"{host}:{api.port}"})).status == 200


async def test_ipv6_is_answered_where_there_is_any(api: RunningServer) -> None:
    if len(api.server.urls) == 1:
        pytest.skip("this machine has no IPv6")
    answer = await api.ask("GET", "/api/echo", {"Host": f"[::1]:{api.port}"}, host="::1")
    assert answer.status == 200
    assert (await api.ask("GET", "/api/echo", {"Host": "evil.example"}, host="::1")).status == 421


async def test_our_own_page_may_change_things(api: RunningServer) -> None:
    ours = {"Origin": f"http://localhost:{api.port}", "Sec-Fetch-Site": "same-origin"}

    assert (await api.ask("POST", "/api/start", ours)).status == 200


async def test_a_typed_address_may_read(api: RunningServer) -> None:
    assert (await api.ask("GET", "/api/echo", {"Sec-Fetch-Site": "none"})).status == 200


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_no_host_and_two_hosts_are_refused(api: RunningServer, version: str) -> None:
    ours, other = ("Host", f"localhost:{api.port}"), ("Host", "evil.example")
    for headers in ([], [ours, ours], [ours, other], [other, ours]):
        assert (await api.ask_with(headers, version=version)).status in (400, 421)


async def test_a_request_line_with_another_host_is_refused(api: RunningServer) -> None:
    assert (await api.ask("GET", "http://evil.example/api/echo")).status == 421
    assert (await api.ask("CONNECT", "evil.example:443")).status in (400, 421)


async def test_the_unix_socket_needs_no_port_but_is_guarded_too(api: RunningServer) -> None:
    path = str(api.state_dir / "wattle.sock")

    ours = await exchange(path, request_bytes("GET", "/api/echo", [("Host", "localhost")]))
    other = await exchange(path, request_bytes("GET", "/api/echo", [("Host", "evil.example")]))

    assert (ours.status, other.status) == (200, 421)


async def test_the_settings_add_hosts_and_origins(tmp_path: Path) -> None:
    allowed = {"allowed_hosts": ("wattle.example",), "allowed_origins": ("https://wattle.example",)}
    async with serving(tmp_path, ROUTES, **allowed) as api:
        proxied = {"Host": "wattle.example", "Origin": "https://wattle.example", "Sec-Fetch-Site": "same-origin"}
        assert (await api.ask("POST", "/api/start", proxied)).status == 200
        assert (await api.ask("POST", "/api/start", {"Host": "wattle.example:1"})).status == 421
