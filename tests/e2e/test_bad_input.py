"""Bad definitions and bad requests get a clear error with its place, and nothing is changed or lost by them."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.asking import ask, assert_refused, quiet_daemon
from tests.helpers.daemon import Daemon
from tests.helpers.raw_http import exchange, read_answer, request_bytes

MAX_BODY_BYTES = 64 * 1024
KEPT = {"name": "kept", "workers": [{"name": "a", "command": "echo kept"}]}
DEEP = 40


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with small limits, one workflow that has run, and one that runs."""
    place = tmp_path_factory.mktemp("bad")
    with quiet_daemon(place, max_body_bytes=MAX_BODY_BYTES, body_timeout_seconds=0.5) as running:
        running.post("/api/workflows", KEPT)
        running.start_run("kept")
        running.wait_for_run("kept")
        running.create("busy", [{"name": "a", "command": "sleep 1000"}])
        running.start_run("busy")
        yield running


# -- definitions ----------------------------------------------------------------------------------------------


def of(*workers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A definition; a worker without a command gets one."""
    return {"name": "kept", "workers": [{"command": "true", **worker} for worker in workers], **fields}


INVALID: dict[str, tuple[object, dict[str, str]]] = {
    "missing fields": ({}, {"workers": "is missing"}),
    "no workers": (of(), {"workers": "is empty"}),
    "every wrong type at once": (
        {
            "name": "kept",
            "fail_fast": "no",
            "workers": [
                {"name": "a", "command": 5, "args": "x", "env_vars": {"A": 1}, "inputs": []},
                {"name": "b", "command": "true", "timeout_seconds": -1, "retry": "often", "shell": 1},
                "c",
            ],
        },
        {
            "fail_fast": "must be true or false, not a string",
            "workers[0].command": "must be a string, not a number",
            "workers[0].args": "must be a list, not a string",
            "workers[0].env_vars.A": "must be a string, not a number",
            "workers[0].inputs": "must be an object, not a list",
            "workers[1].timeout_seconds": "must be more than 0",
            "workers[1].retry": "must be a number of retries",
            "workers[1].shell": "must be true or false",
            "workers[2]": "must be an object, not a string",
        },
    ),
    "unknown fields": (
        of({"name": "a", "comand": "x", "env": {}}, wrkers=[]),
        {
            "wrkers": "did you mean 'workers'?",
            "workers[0].comand": "did you mean 'command'?",
            "workers[0].env": "did you mean 'env_vars'?",
        },
    ),
    "a missing command": ({"name": "kept", "workers": [{"name": "a"}]}, {"workers[0].command": "is missing"}),
    "the same name twice": (
        of({"name": "a"}, {"name": "b"}, {"name": "a"}),
        {"workers[2].name": "'a' is the name of workers[0] already"},
    ),
    "another workflow's name": (
        of({"name": "a", "workflow_name": "other"}),
        {"workers[0].workflow_name": "leave it out or write 'kept'"},
    ),
    "names that are paths": (
        of({"name": "../a"}, {"name": ".."}, {"name": "a", "outputs": {"x/y": "f"}}, {"name": "-rf"}),
        {
            "workers[0].name": "holds '/', which a name cannot",
            "workers[1].name": "begins with '.'",
            "workers[2].outputs['x/y']": "holds '/', which a name cannot",
            "workers[3].name": "begins with '-'",
        },
    ),
    "NUL": (
        of({"name": "a", "command": "x\0", "args": ["\0"], "env_vars": {"A": "\0"}, "outputs": {"o": "\0"}}),
        {
            "workers[0].command": "holds a NUL character",
            "workers[0].args[0]": "holds a NUL character",
            "workers[0].env_vars.A": "holds a NUL character",
            "workers[0].outputs.o": "holds a NUL character",
        },
    ),
    "commands that cannot be read": (
        of({"name": "a", "command": "echo 'x"}, {"name": "b", "command": "  "}),
        {"workers[0].command": "a single quote (') that is never closed", "workers[1].command": "is blank"},
    ),
    "a relative directory": (of({"name": "a"}, working_dir="data"), {"working_dir": "'data' is not absolute"}),
    "two outputs in one file": (
        of({"name": "a", "outputs": {"o": "f"}}, {"name": "b", "outputs": {"p": "./x/../f"}}, working_dir="/srv"),
        {"workers[1].outputs.p": "'/srv/f' is the output 'o' of 'a' already"},
    ),
    "an output where the logs are": (
        of({"name": "a", "outputs": {"o": "a"}}),
        {"workers[0].outputs.o": "is the directory of the logs of worker 'a'"},
    ),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("case", INVALID)
async def test_every_problem_of_a_definition_is_told_at_once(daemon: Daemon, case: str) -> None:
    document, expected = INVALID[case]
    for method, path in (
        ("POST", "/api/workflows"),
        ("POST", "/api/workflows/validate"),
        ("PUT", "/api/workflows/kept"),
    ):
        answer = await ask(daemon, method, path, document)
        assert_refused(answer, 422, "VALIDATION_ERROR", "Validation failed: ")
        details = {detail["path"]: detail["message"] for detail in answer.json["error"]["details"]}
        named = {**expected, "name": "is missing"} if case == "missing fields" and method == "POST" else expected
        assert details.keys() == named.keys(), details
        for place, fragment in named.items():
            assert fragment in details[place]


@pytest.mark.usefixtures("untouched")
async def test_a_dependency_that_does_not_exist_names_the_nearest(daemon: Daemon) -> None:
    document = of(
        {"name": "fetcher", "outputs": {"raw": "raw.json"}},
        {
            "name": "processor",
            "inputs": {"a": "fetcher/rwa", "b": "fetchr/raw", "c": "fetcher/raw"},
            "after": ["fetch"],
        },
    )
    answer = await ask(daemon, "POST", "/api/workflows", document)
    fragment = "worker 'processor' depends on 'fetcher/rwa' but that output does not exist"
    assert_refused(answer, 422, "DEPENDENCY_VALIDATION_FAILED", fragment)
    details = {detail["path"]: detail["message"] for detail in answer.json["error"]["details"]}
    assert details.keys() == {"workers[1].inputs.a", "workers[1].inputs.b", "workers[1].after[0]"}
    assert "did you mean 'fetcher/raw'?" in details["workers[1].inputs.a"]
    assert "did you mean 'fetcher/raw'?" in details["workers[1].inputs.b"]
    assert "did you mean 'fetcher'?" in details["workers[1].after[0]"]


@pytest.mark.usefixtures("untouched")
async def test_a_cycle_is_named(daemon: Daemon) -> None:
    document = of(
        {"name": "a", "inputs": {"x": "c/x"}, "outputs": {"x": "a.x"}},
        {"name": "b", "after": ["a"]},
        {"name": "c", "after": ["b"], "outputs": {"x": "c.x"}},
        {"name": "free"},
    )
    answer = await ask(daemon, "POST", "/api/workflows", document)
    assert_refused(answer, 422, "CIRCULAR_DEPENDENCY", "Circular dependency detected")
    assert answer.json["error"]["details"] == {"cycle": ["a", "b", "c", "a"]}
    itself = await ask(daemon, "POST", "/api/workflows", of({"name": "a", "after": ["a"]}))
    assert itself.json["error"]["details"] == {"cycle": ["a", "a"]}


@pytest.mark.usefixtures("untouched")
async def test_a_workflow_that_exists_or_would_be_renamed(daemon: Daemon) -> None:
    assert_refused(await ask(daemon, "POST", "/api/workflows", KEPT), 409, "WORKFLOW_ALREADY_EXISTS", "'kept'")
    renamed = await ask(daemon, "PUT", "/api/workflows/kept", {**KEPT, "name": "other"})
    assert_refused(renamed, 422, "VALIDATION_ERROR", "a workflow cannot be renamed")
    absent = await ask(daemon, "PUT", "/api/workflows/absent", {"workers": KEPT["workers"]})
    assert_refused(absent, 404, "WORKFLOW_NOT_FOUND", "'absent'")


# -- bodies ---------------------------------------------------------------------------------------------------

JSON, YAML = "application/json", "application/yaml"
UNREADABLE: dict[str, tuple[str, bytes, int, str]] = {
    "broken JSON": (JSON, b'{"name": "x",}', 400, "broken JSON at line 1 column 14"),
    "an empty body": (JSON, b"", 400, "the body is empty"),
    "no object": (JSON, b"[]", 400, "the body must be an object with the fields name"),
    "a key twice": (JSON, b'{"name": "a", "name": "b"}', 400, "the key 'name' is given twice"),
    "not a number": (JSON, b'{"name": NaN}', 400, "NaN is not a finite number"),
    "infinity": (JSON, b'{"name": 1e999}', 400, "1e999 is not a finite number"),
    "too deep": (JSON, b"[" * DEEP + b"]" * DEEP, 400, "nested deeper than 32 levels"),
    "half a surrogate pair": (JSON, b'{"name": "\\ud800"}', 400, "half a surrogate pair at name"),
    "beyond 64 bits": (JSON, b'{"name": 9223372036854775808}', 400, "does not fit 64 bits"),
    "no UTF-8": (JSON, b'{"name": "\xff"}', 400, "byte 10 is not valid UTF-8"),
    "broken YAML": (YAML, b"name: [", 400, "broken YAML at line"),
    "YAML with a key twice": (YAML, b"name: a\nname: b\n", 400, "the key 'name' is given twice"),
    "YAML with a tag": (YAML, b"name: !!python/object:os.system x", 400, "is not known here"),
    "two YAML documents": (YAML, b"name: a\n---\nname: b\n", 400, "more than one document"),
    "a form": ("application/x-www-form-urlencoded", b"name=x", 415, "'application/x-www-form-urlencoded'"),
    "plain text": ("text/plain", b'{"name": "x"}', 415, "send application/json or application/yaml"),
    "another charset": ("application/json; charset=latin-1", b"{}", 415, "charset=latin-1"),
    "too large": (JSON, b'{"name": "' + b"x" * MAX_BODY_BYTES + b'"}', 413, f"larger than {MAX_BODY_BYTES} bytes"),
}
CODES = {400: "INVALID_REQUEST", 413: "PAYLOAD_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE"}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("case", UNREADABLE)
async def test_a_body_that_cannot_be_read(daemon: Daemon, case: str) -> None:
    kind, body, status, fragment = UNREADABLE[case]
    for method, path in (
        ("POST", "/api/workflows"),
        ("POST", "/api/v1/workflows/validate"),
        ("PUT", "/api/workflows/kept"),
    ):
        answer = await ask(daemon, method, path, body=body, headers={"Content-Type": kind})
        assert_refused(answer, status, CODES[status], fragment)


@pytest.mark.usefixtures("untouched")
async def test_a_body_without_a_type_or_with_two(daemon: Daemon) -> None:
    assert_refused(await ask(daemon, "POST", "/api/workflows", body=b"{}"), 415, "UNSUPPORTED_MEDIA_TYPE")
    # also where the handler has no use for a body: a form that a web page sends must not reach it
    answer = await ask(daemon, "POST", "/api/workflows/kept/start", body=b"a=b", headers={"Content-Type": "text/plain"})
    assert_refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    headers = [("Host", f"localhost:{daemon.port}"), ("Content-Type", JSON), ("Content-Type", "text/plain")]
    answer = await exchange(daemon.port, request_bytes("POST", "/api/workflows", headers, b"{}"))
    assert answer.status in (400, 415)


@pytest.mark.usefixtures("untouched")
async def test_a_body_that_does_not_come_or_does_not_end(daemon: Daemon) -> None:
    head = f"POST /api/workflows HTTP/1.1\r\nHost: localhost:{daemon.port}\r\nContent-Type: {JSON}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    writer.write(f'{head}Content-Length: 100\r\n\r\n{{"name": '.encode())
    assert_refused(await read_answer(reader), 400, "INVALID_REQUEST", "the body did not arrive within 0.5 s")
    writer.close()
    chunk = f"{MAX_BODY_BYTES:x}\r\n{' ' * MAX_BODY_BYTES}\r\n"
    endless = f"{head}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n".encode()
    assert_refused(await exchange(daemon.port, endless), 413, "PAYLOAD_TOO_LARGE")


# -- at the wrong time ----------------------------------------------------------------------------------------

WRONG_MOMENTS: dict[str, tuple[str, str, int, str]] = {
    "start while running": ("POST", "/api/workflows/busy/start", 409, "WORKFLOW_ALREADY_RUNNING"),
    "delete while running": ("DELETE", "/api/workflows/busy", 409, "WORKFLOW_ALREADY_RUNNING"),
    "delete a worker while running": ("DELETE", "/api/workers/busy/a", 409, "WORKFLOW_ALREADY_RUNNING"),
    "start a worker while it runs": ("POST", "/api/workers/busy/a/start", 409, "WORKER_ALREADY_RUNNING"),
    "stop while not running": ("POST", "/api/workflows/kept/stop", 409, "WORKFLOW_NOT_RUNNING"),
    "stop a worker while not running": ("POST", "/api/workers/kept/a/stop", 409, "WORKER_NOT_RUNNING"),
    "start what is not there": ("POST", "/api/workflows/absent/start", 404, "WORKFLOW_NOT_FOUND"),
    "stop what is not there": ("POST", "/api/workers/kept/absent/stop", 404, "WORKER_NOT_FOUND"),
    "restart what is not there": ("POST", "/api/workers/absent/a/restart", 404, "WORKFLOW_NOT_FOUND"),
    "delete what is not there": ("DELETE", "/api/workers/kept/absent", 404, "WORKER_NOT_FOUND"),
    "read what is not there": ("GET", "/api/workflows/absent", 404, "WORKFLOW_NOT_FOUND"),
    "stream what is not there": ("GET", "/api/workers/kept/absent/logs/stream", 404, "WORKER_NOT_FOUND"),
    "a run that is not there": ("GET", "/api/runs/01ABSENT", 404, "RUN_NOT_FOUND"),
    "runs of what is not there": ("GET", "/api/runs?workflow=absent", 404, "WORKFLOW_NOT_FOUND"),
    "a path for a name": ("GET", "/api/workflows/..%2Fkept", 404, "WORKFLOW_NOT_FOUND"),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("case", WRONG_MOMENTS)
async def test_at_the_wrong_time_or_place(daemon: Daemon, case: str) -> None:
    method, path, status, code = WRONG_MOMENTS[case]
    assert_refused(await ask(daemon, method, path), status, code)


@pytest.mark.usefixtures("untouched")
async def test_a_running_workflow_cannot_be_replaced(daemon: Daemon) -> None:
    answer = await ask(daemon, "PUT", "/api/workflows/busy", {"workers": KEPT["workers"]})
    assert_refused(answer, 409, "WORKFLOW_ALREADY_RUNNING", "'busy' is already running, stop it first")


async def test_a_mistyped_name_gets_the_nearest(daemon: Daemon) -> None:
    assert (await ask(daemon, "GET", "/api/workflows/kpet")).json["error"]["details"] == {"nearest": "kept"}
    daemon.create("lengthy", [{"name": "fetch_data", "command": "true"}])
    answer = await ask(daemon, "GET", "/api/workers/lengthy/fetchdata")
    assert answer.json["error"]["details"] == {"nearest": "fetch_data"}


async def test_all_problems_fit_an_answer_however_many_there_are(daemon: Daemon) -> None:
    document = {"name": "many", "workers": [{"name": f"{number}"} for number in range(500)]}
    details = (await ask(daemon, "POST", "/api/workflows", document)).json["error"]["details"]
    assert len(details) == 101
    assert "400 more" in json.dumps(details[-1])
