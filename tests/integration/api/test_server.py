import asyncio
import os
import socket
from pathlib import Path

import pytest
from aiohttp import web

from scheduler.api.app import make_app
from scheduler.api.listen import ListenError
from scheduler.api.routing import Route
from scheduler.api.server import Server
from scheduler.config import ConfigError, Settings
from tests.helpers.api_server import RunningServer, serving
from tests.helpers.raw_http import exchange, read_answer, request_bytes
from tests.helpers.waiting import wait_until
from tests.integration.api.conftest import ROUTES


def make_server(state_dir: Path, **settings: object) -> Server:
    values = Settings(state_dir=str(state_dir), **settings)  # type: ignore[arg-type]
    return Server(make_app(values, ROUTES), values)


async def test_the_server_says_where_it_listens(api: RunningServer) -> None:
    assert api.server.urls[0] == f"http://127.0.0.1:{api.port}"
    assert all(url == f"http://[::1]:{api.port}" for url in api.server.urls[1:])


async def test_a_port_in_use_is_a_sentence_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ListenError, match="the port is in use"):
        await make_server(tmp_path, port=taken.getsockname()[1]).start()

    assert os.listdir(tmp_path) == []


async def test_a_state_directory_that_cannot_hold_the_socket_frees_the_port(tmp_path: Path) -> None:
    (tmp_path / "wattle.sock").write_text("mine")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    with pytest.raises(ListenError, match=r"wattle\.sock"):
        await make_server(tmp_path, port=port).start()

    socket.create_server(("127.0.0.1", port)).close()


async def test_a_public_address_is_refused_where_the_socket_would_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        await make_server(tmp_path, port=0, host="0.0.0.0").start()
    with pytest.raises(ConfigError):
        await make_server(tmp_path, port=0, auth="required").start()


async def test_after_the_stop_the_port_is_free_and_the_socket_gone(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES) as api:
        async with api.connected() as (reader, writer):
            writer.write(api.request("GET", "/api/echo"))
            await read_answer(reader)
            await api.server.stop()
            assert await reader.read() == b"", "an idle connection is closed at once"

        assert os.listdir(tmp_path) == []
        socket.create_server(("127.0.0.1", api.port)).close()


async def test_the_stop_ends_a_stream_properly(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES) as api, api.connected() as (reader, writer):
        writer.write(api.request("GET", "/api/stream"))
        await reader.readuntil(b"data: {}\n\n")
        await api.server.stop()
        assert (await reader.read()).endswith(b"0\r\n\r\n"), "the last chunk says that the stream is complete"


@pytest.mark.parametrize("sent", [b"", b"GET /api/echo HTTP/1.1\r\nHost: loc"], ids=["silent", "half a request"])
async def test_a_connection_that_asks_nothing_is_closed(tmp_path: Path, sent: bytes) -> None:
    async with serving(tmp_path, ROUTES, idle_timeout_seconds=0.1) as api, api.connected() as (reader, writer):
        writer.write(sent)
        assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_a_connection_is_kept_for_the_next_request_and_then_closed(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES, idle_timeout_seconds=0.1) as api, api.connected() as (reader, writer):
        for _ in range(2):
            writer.write(api.request("GET", "/api/echo"))
            assert (await read_answer(reader)).status == 200
        assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_a_stream_outlives_the_idle_time(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES, idle_timeout_seconds=0.1) as api, api.connected() as (reader, writer):
        writer.write(api.request("GET", "/api/stream"))
        await reader.readuntil(b"data: {}\n\n")
        async with api.connected() as (idle_reader, _):
            assert await asyncio.wait_for(idle_reader.read(), 10) == b""
        assert not reader.at_eof()


async def test_a_connection_beyond_the_limit_is_told_so(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES, max_connections=1) as api:
        async with api.connected() as (reader, writer):
            writer.write(api.request("GET", "/api/echo"))
            await read_answer(reader)

            refused = await api.ask("GET", "/api/echo")

            assert (refused.status, refused.code) == (503, "SERVICE_UNAVAILABLE")
            assert refused.header("Retry-After") == "1"
            assert refused.header("X-Content-Type-Options") == "nosniff"
            by_unix = await exchange(
                str(tmp_path / "wattle.sock"), request_bytes("GET", "/api/echo", [("Host", "localhost")])
            )
            assert by_unix.status == 200, "the CLI gets in all the same"

        async def is_free() -> bool:
            return (await api.ask("GET", "/api/echo")).status == 200

        await wait_until(is_free, on_timeout="the closed connection's place is free again")


async def test_silent_connections_beyond_the_limit_are_dropped(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES, max_connections=1) as api, api.connected(), api.connected() as (reader, _):
        assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_streams_have_a_limit_of_their_own(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES, max_streams=1) as api, api.connected() as (reader, writer):
        writer.write(api.request("GET", "/api/stream"))
        await reader.readuntil(b"data: {}\n\n")

        refused = await api.ask("GET", "/api/stream")

        assert (refused.status, refused.code) == (503, "SERVICE_UNAVAILABLE")
        assert refused.header("Retry-After") == "5"
        assert (await api.ask("GET", "/api/echo")).status == 200


async def test_a_stream_that_ends_or_breaks_gives_its_place_back(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES, max_streams=1) as api:
        statuses = [(await api.ask("GET", "/api/broken-stream")).status for _ in range(3)]

    assert statuses == [200, 200, 200]


async def test_the_send_buffer_of_a_stream_is_small(tmp_path: Path) -> None:
    """A stalled reader must hold little: the kernel takes what the buffers do, and the writer then waits."""
    sizes: list[int] = []

    async def measured(request: web.Request) -> web.StreamResponse:
        connection = request.get_extra_info("socket")
        sizes.append(connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF))
        return web.Response()

    async with serving(tmp_path, [Route("GET", "/measured", measured, "read", is_stream=True)]) as api:
        assert (await api.ask("GET", "/api/measured")).status == 200

    assert sizes == [2 * 128 * 1024], "the kernel doubles what is set"
