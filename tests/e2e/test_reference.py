"""Every example of the API reference, run as printed against a daemon, gives what the reference says."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import reference_examples as reference
from tests.e2e.asking import ask, quiet_daemon
from tests.helpers.daemon import Daemon
from tests.helpers.event_stream import following
from tests.helpers.raw_http import Answer
from tests.helpers.waiting import wait_until

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
FETCHER = {"workflow_name": "example-workflow", "worker_name": "data_fetcher"}

# What the reference's example-workflow calls; it goes on when the test makes the next file.
FETCH_DATA = """
import json, os, sys, time

def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.01)

assert sys.argv[1:] == ["--source", "database"], sys.argv
assert os.environ["DATABASE_URL"] == "sqlite:///data.db"
print("Starting data fetch process...")
wait_for("go-1")
print("Warning: Connection timeout, retrying...", file=sys.stderr)
wait_for("go-2")
for name in ("RAW_DATA", "METADATA"):
    with open(os.environ[f"WATTLE_OUTPUT_{name}"], "w") as file:
        json.dump({"rows": [1, 2, 3]}, file)
print("Data fetch completed successfully")
"""
PROCESS_DATA = """
import json, os, sys

assert sys.argv[1] == "--input" and sys.argv[2] == os.environ["WATTLE_INPUT_INPUT_DATA"], sys.argv
assert os.environ["PROCESSING_MODE"] == "batch"
with open(sys.argv[2]) as file, open(os.environ["WATTLE_OUTPUT_PROCESSED_DATA"], "w") as out:
    out.write(str(sum(json.load(file)["rows"])))
"""


class Place:
    """A directory that stands for the reference's /tmp and /opt, and what the reference says seen from there."""

    def __init__(self, daemon: Daemon, directory: Path) -> None:
        self.daemon, self.directory = daemon, directory

    def here(self, text: str) -> str:
        """A text of the reference with its directories and its address replaced by ours."""
        text = text.replace("/tmp/", f"{self.directory}/").replace("/opt/", f"{self.directory}/")
        return text.replace("localhost:9240", f"localhost:{self.daemon.port}")

    def answer_to(self, request: str) -> Any:
        """The `data` that the reference shows for a request, times taken out."""
        expected = json.loads(self.here(reference.ANSWERS[request]))
        assert expected["success"] is True
        return without_times(expected["data"])

    async def ask(self, request: str, **names: str) -> Any:
        """The `data` of an answer, times taken out; the envelope must be the documented one."""
        method, _, path = request.format_map(names).partition(" ")
        return data_of(await ask(self.daemon, method, path))

    async def status_is(self, status: str) -> None:
        """Waits until data_fetcher has this status."""
        path = "/api/workers/example-workflow/data_fetcher"
        await wait_until(lambda: self.daemon.get(path)["status"] == status, on_timeout=f"data_fetcher is {status}")

    async def workflow_ends(self, name: str) -> None:
        """Waits until a workflow has completed."""
        path = f"/api/workflows/{name}"
        status = await wait_until(
            lambda: (status := self.daemon.get(path)["status"]) != "running" and status, on_timeout=f"{name} ends"
        )
        assert status == "completed", self.daemon.get(f"{path}/workers")

    def hold_data_fetcher(self) -> None:
        """data_fetcher will wait after its first line."""
        for name in ("go-1", "go-2"):
            (self.directory / "example-workflow" / name).unlink(missing_ok=True)

    def let_go(self, *names: str) -> None:
        """data_fetcher goes on."""
        for name in names:
            (self.directory / "example-workflow" / name).touch()


def without_times(value: Any) -> Any:
    """A value of JSON with every time of the documented form as '<time>'."""
    return json.loads(TIME.sub("<time>", json.dumps(value, ensure_ascii=False)))


def data_of(answer: Answer) -> Any:
    """The `data` of a success in the documented envelope. A start names its run beside."""
    assert answer.status in (200, 201), answer.body
    assert answer.header("Content-Type") == "application/json"
    envelope = without_times(answer.json)
    assert envelope.keys() - {"run"} == {"success", "data", "message", "timestamp"}
    assert (envelope["success"], envelope["message"], envelope["timestamp"]) == (True, "OK", "<time>")
    return envelope["data"]


def curl(text: str) -> tuple[str, str, dict[str, str], bytes]:
    """(method, address, headers, body) of a printed curl command, read as a shell reads it."""
    word, *words = shlex.split(text.replace("\\\n", ""))
    assert word == "curl"
    given = iter(words)
    method, address, headers, body = "GET", "", {}, b""
    for option in given:
        if option == "-X":
            method = next(given)
        elif option == "-H":
            name, _, value = next(given).partition(": ")
            headers[name] = value
        elif option == "-d":
            body = next(given).encode()
        else:
            address = option
    return method, address.partition("9240")[2], headers, body


def read(path: str) -> str:
    """What is in a file."""
    return Path(path).read_text()


def in_a_shell(text: str) -> Any:
    """What a printed command answers when a shell runs it, with the real curl."""
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, timeout=30, check=True)
    return json.loads(done.stdout)


async def run_printed(place: Place, text: str) -> Answer:
    """The answer to a printed curl command, its directories replaced by ours."""
    method, path, headers, body = curl(text)
    return await ask(place.daemon, method, path, body=place.here(body.decode()).encode(), headers=headers)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a `python` in its PATH, which the reference's commands begin with and not every machine has."""
    directory = tmp_path_factory.mktemp("reference")
    python = directory / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    with quiet_daemon(directory, {"PATH": f"{python.parent}:{os.environ['PATH']}"}) as running:
        yield running


@pytest.fixture
async def place(daemon: Daemon, tmp_path: Path) -> AsyncIterator[Place]:
    """A place with the scripts of the example; the workflows that a test leaves there are stopped and deleted."""
    yield Place(daemon, tmp_path)
    for workflow in daemon.get("/api/workflows"):
        path = f"/api/workflows/{workflow['name']}"
        if workflow["status"] == "running":
            daemon.post(f"{path}/stop")
        assert daemon.ask("DELETE", path).status == 200


@pytest.fixture
async def example(place: Place) -> Place:
    """The place with the reference's example-workflow created in it."""
    work = place.directory / "example-workflow"
    work.mkdir()
    (work / "fetch_data.py").write_text(FETCH_DATA)
    (work / "process_data.py").write_text(PROCESS_DATA)
    request = "POST /api/workflows"
    body = place.here(reference.EXAMPLE_WORKFLOW).encode()
    created = await ask(place.daemon, *request.split(), body=body, headers={"Content-Type": "application/json"})
    assert created.status == 201
    assert data_of(created) == place.answer_to(request)
    return place


async def test_lists_and_details_of_workflows(place: Place) -> None:
    for name, command in (("data-pipeline", "true"), ("ml-training", "sleep 1000")):
        where = place.here(f"/opt/workflows/{name}")
        document = {"name": name, "working_dir": where, "workers": [{"name": "only", "command": command}]}
        place.daemon.post("/api/workflows", document)
        place.daemon.start_run(name)
    await place.workflow_ends("data-pipeline")
    assert await place.ask("GET /api/workflows") == place.answer_to("GET /api/workflows")
    request = "GET /api/workflows/{workflow_name}"
    assert await place.ask(request, workflow_name="data-pipeline") == place.answer_to(request)


async def test_the_example_workflow_while_it_runs(example: Place) -> None:
    start = "POST /api/workflows/{workflow_name}/start"
    assert await example.ask(start, **FETCHER) == example.answer_to(start)
    await example.status_is("running")
    detail = "GET /api/workers/{workflow_name}/{worker_name}"
    assert await example.ask(detail, **FETCHER) == example.answer_to(detail)
    await metrics_are_as_documented(example)
    frames = reference.STREAM_FRAMES.split("\n\n")
    path = reference.STREAM_REQUEST.removeprefix("GET ").format_map(FETCHER)
    async with following(example.daemon.port, path) as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
        for frame, next_step in zip(frames, ("go-1", "go-2", "end"), strict=True):
            event = await stream.next()
            assert event is not None
            assert re.fullmatch(r"id: \w{26}:\d+:\d+\n" + re.escape(frame), event.text), event.text
            example.let_go(next_step)
        assert (await stream.until_end())[1]["status"] == "completed"
    await example.workflow_ends("example-workflow")


async def metrics_are_as_documented(place: Place) -> None:
    request = "GET /api/workers/{workflow_name}/{worker_name}/metrics"
    documented, answered = place.answer_to(request), await place.ask(request, **FETCHER)
    assert answered.keys() == documented.keys() == {"metrics"}
    assert answered["metrics"].keys() >= documented["metrics"].keys()
    forms = {"cpu_usage": r"\d+\.\d%", "memory_usage": r"\d+(KB|MB)", "runtime": r"\d\d:\d\d:\d\d", "status": "running"}
    for metrics in (documented["metrics"], answered["metrics"]):
        for name, form in forms.items():
            assert re.fullmatch(form, metrics[name]), (name, metrics[name])


async def test_the_example_workflow_when_it_has_completed(example: Place) -> None:
    example.let_go("go-1", "go-2")
    example.daemon.start_run("example-workflow")
    await example.workflow_ends("example-workflow")
    assert (example.directory / "processed_data.json").read_text() == "6"
    # the reference shows the first of the two
    for request in ("GET /api/workflows/{workflow_name}/workers", "GET /api/workers/{workflow_name}"):
        first, second = await example.ask(request, **FETCHER)
        assert [first] == example.answer_to(request)
        assert (second.keys(), second["name"]) == (first.keys(), "data_processor")
    request = "GET /api/workers/{workflow_name}/{worker_name}/logs"
    lines = await example.ask(request, **FETCHER)
    assert lines == example.answer_to(request)
    assert [read(line.partition(": ")[2]) for line in lines] == [
        "Starting data fetch process...\nData fetch completed successfully\n",
        "Warning: Connection timeout, retrying...\n",
    ]


async def test_one_worker_is_started_restarted_stopped_and_deleted(example: Place) -> None:
    worker = "/api/workers/{workflow_name}/{worker_name}"
    for request in (f"POST {worker}/start", f"POST {worker}/restart", f"POST {worker}/stop"):
        assert await example.ask(request, **FETCHER) == example.answer_to(request)
        await example.status_is("cancelled" if request.endswith("stop") else "running")
    assert await example.ask(f"DELETE {worker}", **FETCHER) == example.answer_to(f"DELETE {worker}")
    left = await example.ask("GET /api/workers/{workflow_name}", **FETCHER)
    assert [worker["name"] for worker in left] == ["data_processor"]
    gone = await ask(example.daemon, "GET", "/api/workers/example-workflow/data_fetcher")
    assert (gone.status, gone.code) == (404, "WORKER_NOT_FOUND")


async def test_the_schema_holds_what_the_reference_shows(example: Place) -> None:
    request = "GET /api/workers/{workflow_name}/{worker_name}/schema"
    answered = await example.ask(request, **FETCHER)
    assert list(answered) == ["schema"]
    assert missing_from(answered, example.answer_to(request)) == []


def missing_from(value: Any, documented: Any, path: str = "") -> list[str]:
    """Where `documented` says something that `value` does not; `value` may say more."""
    if not isinstance(documented, dict):
        return [] if value == documented else [f"{path}: {value!r} is not {documented!r}"]
    return [
        problem
        for name, each in documented.items()
        for problem in missing_from(value.get(name, "absent"), each, f"{path}/{name}")
    ]


async def test_hello_world(place: Place) -> None:
    created = await run_printed(place, reference.CREATE_HELLO_WORLD)
    assert (created.status, data_of(created)) == (201, "Workflow 'hello-world' created successfully")
    started = await run_printed(place, reference.START_HELLO_WORLD)
    assert (started.status, data_of(started)) == (200, "Workflow 'hello-world' started successfully")
    await place.workflow_ends("hello-world")
    work = place.directory / "hello-world"
    assert data_of(await run_printed(place, reference.SHOW_HELLO_WORLD)) == {
        "name": "hello-world",
        "working_dir": str(work),
        "status": "completed",
        "created_at": "<time>",
        "started_at": "<time>",
        "completed_at": "<time>",
        "deleted_at": None,
    }
    logs = [f"stdout: {work}/greet/stdout.log", f"stderr: {work}/greet/stderr.log"]
    assert data_of(await run_printed(place, reference.LOGS_OF_GREET)) == logs
    assert (work / "greet" / "stdout.log").read_text() == "Hello, Wattle Scheduler!\n"
    assert (work / "greeting.txt").read_text() == "Hello, Wattle Scheduler!\n"


async def test_the_data_pipeline(place: Place) -> None:
    created = await run_printed(place, reference.CREATE_DATA_PIPELINE)
    assert (created.status, data_of(created)) == (201, "Workflow 'data-pipeline' created successfully")
    place.daemon.start_run("data-pipeline")
    await place.workflow_ends("data-pipeline")
    work = place.directory / "data-pipeline"
    assert json.loads((work / "raw.json").read_text()) == {"data": [1, 2, 3, 4, 5]}
    assert (work / "result.txt").read_text() == "Sum: 15\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the same requests without curl are tested above")
async def test_the_printed_commands_in_a_shell(place: Place) -> None:
    for text in (reference.CREATE_HELLO_WORLD, reference.START_HELLO_WORLD, reference.CREATE_DATA_PIPELINE):
        assert in_a_shell(place.here(text))["success"] is True
    await place.workflow_ends("hello-world")
    assert in_a_shell(place.here(reference.SHOW_HELLO_WORLD))["data"]["status"] == "completed"


FAILING_REQUESTS: dict[str, tuple[str, str, list[dict[str, Any]]]] = {
    "WORKFLOW_NOT_FOUND": ("GET", "/api/workflows/non-existent", []),
    "WORKFLOW_ALREADY_EXISTS": ("POST", "/api/workflows", [{"name": "a", "command": "true"}]),
    "DEPENDENCY_VALIDATION_FAILED": (
        "POST",
        "/api/workflows",
        [
            {"name": "fetcher", "command": "true"},
            {"name": "processor", "command": "true", "inputs": {"in": "fetcher/output"}},
        ],
    ),
    "CIRCULAR_DEPENDENCY": (
        "POST",
        "/api/workflows",
        [{"name": "a", "command": "true", "after": ["b"]}, {"name": "b", "command": "true", "after": ["a"]}],
    ),
}
IN_ENGLISH = {
    "WORKFLOW_NOT_FOUND": (404, "Workflow 'non-existent' does not exist"),
    "WORKFLOW_ALREADY_EXISTS": (409, "Workflow 'example-workflow' already exists"),
    "DEPENDENCY_VALIDATION_FAILED": (
        422,
        "Dependency check failed: worker 'processor' depends on 'fetcher/output' but that output does not exist",
    ),
    "CIRCULAR_DEPENDENCY": (422, "Circular dependency detected, the workflow cannot be executed"),
}


@pytest.mark.parametrize("code", reference.FAILURES)
async def test_the_documented_failures_in_both_languages(example: Place, code: str) -> None:
    method, path, workers = FAILING_REQUESTS[code]
    document = {"name": "example-workflow", "workers": workers} if workers else None
    chinese = await ask(example.daemon, method, path, document, headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    documented = without_times(json.loads(reference.FAILURES[code]))
    answered = without_times(chinese.json)
    # the two about a graph say more than the reference shows
    details = answered["error"].pop("details", None)
    assert (details is not None) == (code in ("DEPENDENCY_VALIDATION_FAILED", "CIRCULAR_DEPENDENCY"))
    assert answered == documented
    english = await ask(example.daemon, method, path, document)
    assert (english.status, english.code, english.json["error"]["message"]) == (
        IN_ENGLISH[code][0],
        code,
        IN_ENGLISH[code][1],
    )
    assert chinese.status == english.status


async def test_success_speaks_the_language_of_the_caller(example: Place) -> None:
    for language, message in (("zh", "操作成功"), ("en", "OK"), ("de", "OK"), ("en;q=0.5, zh;q=0.9", "操作成功")):
        answer = await ask(
            example.daemon, "GET", "/api/workflows/example-workflow", headers={"Accept-Language": language}
        )
        assert answer.json["message"] == message, language


async def test_the_same_api_under_its_version(example: Place) -> None:
    for path in ("/workflows", "/workflows/example-workflow", "/workers/example-workflow/data_fetcher", "/runs"):
        plain, versioned = [await ask(example.daemon, "GET", prefix + path) for prefix in ("/api", "/api/v1")]
        assert plain.json["data"] == versioned.json["data"], path
        assert versioned.header("X-API-Version") == "v1"
        assert versioned.header("X-Request-ID")
