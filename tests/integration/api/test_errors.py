import logging

import pytest

from tests.helpers.api_server import RunningServer


async def test_a_success_is_the_documented_envelope(api: RunningServer) -> None:
    answer = await api.ask("GET", "/api/echo/x?page=2")

    assert answer.status == 200
    assert answer.header("Content-Type") == "application/json"
    assert list(answer.json) == ["success", "data", "message", "timestamp"]
    assert answer.json["data"] == {"path": {"name": "x"}, "query": {"page": "2"}}


async def test_the_versioned_prefix_is_the_same_api(api: RunningServer) -> None:
    assert (await api.ask("GET", "/api/v1/echo/x")).json["data"] == (await api.ask("GET", "/api/echo/x")).json["data"]


async def test_a_known_error_has_its_code_and_status(api: RunningServer) -> None:
    answer = await api.ask("GET", "/api/missing")

    assert answer.status == 404
    assert answer.header("Content-Type") == "application/json"
    assert answer.json["error"] == {"code": "WORKFLOW_NOT_FOUND", "message": "Workflow 'non-existent' does not exist"}


async def test_the_language_of_a_message_is_the_one_asked_for(api: RunningServer) -> None:
    chinese = {"Accept-Language": "zh-CN,zh;q=0.9"}

    assert (await api.ask("GET", "/api/echo", chinese)).json["message"] == "操作成功"
    error = (await api.ask("GET", "/api/missing", chinese)).json["error"]
    assert error == {"code": "WORKFLOW_NOT_FOUND", "message": "工作流 'non-existent' 不存在"}


@pytest.mark.parametrize("path", ["/", "/api", "/api/v2/echo", "/nothing", "/api/echo/", "/api/echo/x/y", "//api/echo"])
async def test_an_unknown_route_is_an_envelope_too(api: RunningServer, path: str) -> None:
    answer = await api.ask("GET", path)

    assert (answer.status, answer.code) == (404, "ROUTE_NOT_FOUND")


async def test_an_unknown_route_is_said_before_the_body_is_judged(api: RunningServer) -> None:
    assert (await api.ask("POST", "/nothing", {"Content-Type": "text/plain"}, b"x")).status == 404
    assert (await api.ask("POST", "/api/echo", {"Content-Type": "text/plain"}, b"x")).status == 405


async def test_a_wrong_method_names_the_right_ones(api: RunningServer) -> None:
    answer = await api.ask("DELETE", "/api/echo")

    assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")
    assert answer.header("Allow") == "GET, HEAD"


async def test_head_is_get_without_the_body(api: RunningServer) -> None:
    answer = await api.ask("HEAD", "/api/echo")

    assert answer.status == 200
    assert int(answer.header("Content-Length") or 0) > 0
    assert answer.body == b""


async def test_head_of_a_stream_is_not_offered(api: RunningServer) -> None:
    answer = await api.ask("HEAD", "/api/stream")

    assert answer.status == 405
    assert answer.header("Allow") == "GET"


async def test_a_temporary_error_says_when_to_come_back(api: RunningServer) -> None:
    answer = await api.ask("GET", "/api/busy")

    assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
    assert answer.header("Retry-After") == "30"


@pytest.mark.parametrize("path", ["/api/bug", "/api/launcher-gone"])
async def test_a_bug_is_logged_with_its_request_id_and_not_shown(
    api: RunningServer, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await api.ask("GET", path, {"X-Request-ID": "from-me"})

    assert (answer.status, answer.code) == (500, "INTERNAL_ERROR")
    assert "from-me" in answer.json["error"]["message"]
    assert b"secret" not in answer.body
    [logged] = caplog.records
    assert "secret" in str(logged.exc_info)
    assert vars(logged)["request_id"] == "from-me"


async def test_the_id_in_the_message_is_the_one_in_the_header(api: RunningServer) -> None:
    answer = await api.ask("GET", "/api/bug")

    assert (answer.header("X-Request-ID") or "?") in answer.json["error"]["message"]


async def test_an_error_in_the_middle_of_an_answer_ends_the_connection(
    api: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await api.ask("GET", "/api/broken-stream")

    assert answer.status == 200
    assert b"secret" not in answer.body
    assert b"INTERNAL_ERROR" not in answer.body
    assert not answer.body.endswith(b"0\r\n\r\n"), "the client must see that the answer is not complete"
    assert "broke off" in caplog.text
    assert [record.exc_info is not None for record in caplog.records] == [True, False]


MALFORMED = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "noise": b"\x00\xff\xfe garbage\r\n\r\n",
    "version": b"GET /api/echo HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "no host": b"GET /api/echo HTTP/1.1\r\n\r\n",
    "letters in the path": "GET /api/echo/数据 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    "long line": b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "long header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 10_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 500 + b"\r\n",
    "header without a colon": b"GET / HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n",
    "smuggling": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "length": b"POST /api/take HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_no_http_is_an_envelope_and_no_traceback(
    api: RunningServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await api.send(MALFORMED[name])

    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("X-Request-ID")
    assert answer.header("Server") is None
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_a_raw_letter_in_a_path_is_explained(api: RunningServer) -> None:
    answer = await api.send(MALFORMED["letters in the path"])

    assert "written as %XX" in answer.json["error"]["message"]


@pytest.mark.parametrize("escaped", ["%E6%95%B0", "%ff", "%00", "%2f", "%zz", "..", "%2e%2e", "a%0d%0ab"])
async def test_any_name_in_a_path_is_answered_without_a_fault(api: RunningServer, escaped: str) -> None:
    assert (await api.ask("GET", f"/api/echo/{escaped}")).status in (200, 400, 404)


async def test_a_client_that_goes_away_is_no_error(api: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    async with api.connected() as (reader, writer):
        writer.write(api.request("GET", "/api/stream"))
        await reader.readuntil(b"data: {}\n\n")
        writer.transport.abort()

    assert (await api.ask("GET", "/api/echo")).status == 200
    assert caplog.records == []
