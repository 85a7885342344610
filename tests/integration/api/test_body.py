import asyncio
import gzip
from pathlib import Path

import pytest

from tests.helpers.api_server import RunningServer, serving
from tests.helpers.raw_http import read_answer
from tests.integration.api.conftest import ROUTES

JSON = {"Content-Type": "application/json"}
YAML = {"Content-Type": "application/yaml"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"a": [1]}'),
        ("application/json; charset=utf-8", b'{"a": [1]}'),
        ('Application/JSON;charset="UTF-8"', b'{"a": [1]}'),
        ("application/yaml", b"a:\n- 1\n"),
    ],
)
async def test_json_and_yaml_are_read(api: RunningServer, content_type: str, body: bytes) -> None:
    answer = await api.ask("POST", "/api/take", {"Content-Type": content_type}, body)

    assert answer.status == 201
    assert answer.json["data"] == {"a": [1]}


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/json",
        "text/yaml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json, text/plain",
        "application/json; charset=utf-16",
        "application/jsonp",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/api/take", "/api/start"])
async def test_every_other_kind_of_body_is_refused(api: RunningServer, content_type: str, path: str) -> None:
    answer = await api.ask("POST", path, {"Content-Type": content_type}, b"{}")

    assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_body_without_a_type_and_one_with_two_are_refused(api: RunningServer) -> None:
    host = ("Host", f"localhost:{api.port}")
    both = [("Content-Type", "application/json"), ("Content-Type", "text/plain")]

    assert (await api.ask("POST", "/api/take", {}, b"{}")).status == 415
    assert (await api.ask_with([host, *both], "POST", "/api/take", body=b"{}")).status in (400, 415)


async def test_a_request_that_needs_no_body_needs_no_type(api: RunningServer) -> None:
    assert (await api.ask("POST", "/api/start")).status == 200
    assert (await api.ask("POST", "/api/start", {"Content-Length": "0"})).status == 200


async def test_a_compressed_body_is_refused_unread(api: RunningServer) -> None:
    body = gzip.compress(b" " * 50_000_000)

    answer = await api.ask("POST", "/api/take", {**JSON, "Content-Encoding": "gzip"}, body)

    assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is empty"),
        (b'{"a": ', "broken JSON at line 1 column 7"),
        (b'{"a": 1, "a": 2}', "given twice"),
        (b'"\xff"', "not valid UTF-8"),
        (b"[" * 100_000, "nested deeper"),
        (b"[NaN]", "not a finite number"),
    ],
)
async def test_what_is_no_strict_json_is_an_invalid_request(api: RunningServer, body: bytes, reason: str) -> None:
    answer = await api.ask("POST", "/api/take", JSON, body)

    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")
    assert reason in answer.json["error"]["message"]


async def test_yaml_that_laughs_is_refused(api: RunningServer) -> None:
    lines = ["a0: &a0 lol"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]

    answer = await api.ask("POST", "/api/take", YAML, "\n".join(lines).encode())

    assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_body_over_the_limit_is_refused_by_its_length(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES, max_body_bytes=2000) as api:
        at_limit = await api.ask("POST", "/api/take", JSON, b'"' + b"a" * 1998 + b'"')
        over = await api.ask("POST", "/api/take", {**JSON, "Content-Length": "2001"}, b'"')

    assert at_limit.status == 201
    assert (over.status, over.code) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_body_over_the_limit_is_refused_while_it_comes(tmp_path: Path) -> None:
    chunk = b"400\r\n" + b" " * 1024 + b"\r\n"
    async with serving(tmp_path, ROUTES, max_body_bytes=2000) as api, api.connected() as (reader, writer):
        writer.write(api.request("POST", "/api/take", {**JSON, "Transfer-Encoding": "chunked"}))
        writer.write(chunk * 2)
        answer = await read_answer(reader)

    assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")


async def test_the_small_limit_holds_for_what_is_no_definition(api: RunningServer) -> None:
    answer = await api.ask("POST", "/api/take", JSON, b'"' + b"a" * 1024**2 + b'"')

    assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_body_that_does_not_come_is_given_up(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES, body_timeout_seconds=0.1) as api, api.connected() as (reader, writer):
        writer.write(api.request("POST", "/api/take", {**JSON, "Content-Length": "100"}, b"{"))
        answer = await read_answer(reader)
        rest = await asyncio.wait_for(reader.read(), 10)

    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")
    assert "did not arrive within 0.1 s" in answer.json["error"]["message"]
    assert rest == b"", "the connection is closed, since the rest of the body may still come"


async def test_a_body_that_drips_is_given_up_in_the_same_time(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES, body_timeout_seconds=0.2) as api, api.connected() as (reader, writer):
        writer.write(api.request("POST", "/api/take", {**JSON, "Content-Length": "100000"}))
        answered = asyncio.create_task(read_answer(reader))
        while not answered.done():
            writer.write(b" ")
            await asyncio.wait([answered], timeout=0.02)

    assert answered.result().code == "INVALID_REQUEST"


async def test_a_large_body_is_parsed_while_others_are_answered(api: RunningServer) -> None:
    body = b"[" + b'{"a": 1},' * 80_000 + b"1]"
    large = asyncio.create_task(api.ask("POST", "/api/take", JSON, body))

    small = await api.ask("GET", "/api/echo")

    assert small.status == 200
    assert len((await large).json["data"]) == 80_001


async def test_the_connection_stays_usable_after_a_refused_body(api: RunningServer) -> None:
    async with api.connected() as (reader, writer):
        writer.write(api.request("POST", "/api/take", {"Content-Type": "text/plain"}, b"hello"))
        assert (await read_answer(reader)).status == 415
        writer.write(api.request("GET", "/api/echo"))
        assert (await read_answer(reader)).status == 200
