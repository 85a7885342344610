import re

import pytest

from tests.helpers.api_server import RunningServer
from tests.helpers.raw_http import Answer, read_answer

ON_EVERY_ANSWER = {
    "X-API-Version": "v1",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": None,
    "Access-Control-Allow-Origin": None,
}

REQUESTS = [
    ("GET", "/api/echo", 200),
    ("HEAD", "/api/v1/echo", 200),
    ("GET", "/api/missing", 404),
    ("GET", "/nothing", 404),
    ("DELETE", "/api/echo", 405),
    ("OPTIONS", "/api/echo", 405),
    ("GET", "/api/bug", 500),
    ("GET", "/api/busy", 503),
]


def check_headers(answer: Answer) -> None:
    assert {name: answer.header(name) for name in ON_EVERY_ANSWER} == ON_EVERY_ANSWER


@pytest.mark.parametrize(("method", "path", "status"), REQUESTS)
async def test_every_answer_has_the_headers(api: RunningServer, method: str, path: str, status: int) -> None:
    answer = await api.ask(method, path)

    assert answer.status == status
    check_headers(answer)
    assert re.fullmatch(r"[0-9a-f]{16}", answer.header("X-Request-ID") or "")


async def test_a_refusal_by_the_guard_has_them_too(api: RunningServer) -> None:
    answer = await api.ask("GET", "/api/echo", {"Host": "evil.example"})

    assert answer.status == 421
    check_headers(answer)


async def test_a_stream_has_them_too(api: RunningServer) -> None:
    async with api.connected() as (reader, writer):
        writer.write(api.request("GET", "/api/stream", {"X-Request-ID": "mine"}))
        answer = await read_answer(reader, is_head=True)

    check_headers(answer)
    assert answer.header("Content-Type") == "text/event-stream"
    assert answer.header("X-Request-ID") == "mine"


@pytest.mark.parametrize("name", ["X-Request-ID", "X-Correlation-ID"])
@pytest.mark.parametrize("path", ["/api/echo", "/nothing"])
async def test_the_callers_own_id_comes_back(api: RunningServer, name: str, path: str) -> None:
    assert (await api.ask("GET", path, {name: "a-1:b/2"})).header("X-Request-ID") == "a-1:b/2"


async def test_the_request_id_comes_before_the_correlation_id(api: RunningServer) -> None:
    answer = await api.ask("GET", "/api/echo", {"X-Correlation-ID": "second", "X-Request-ID": "first"})

    assert answer.header("X-Request-ID") == "first"


@pytest.mark.parametrize("given", ["a" * 129, "a b", "\xe9", "a\tb", ""])
async def test_an_unfit_id_is_replaced(api: RunningServer, given: str) -> None:
    answer = await api.ask("GET", "/api/echo", {"X-Request-ID": given})

    assert answer.status == 200
    assert re.fullmatch(r"[0-9a-f]{16}", answer.header("X-Request-ID") or "")


async def test_each_request_of_a_connection_has_its_own_id(api: RunningServer) -> None:
    async with api.connected() as (reader, writer):
        ids = set()
        for _ in range(3):
            writer.write(api.request("GET", "/api/echo"))
            ids.add((await read_answer(reader)).header("X-Request-ID"))

    assert len(ids) == 3
