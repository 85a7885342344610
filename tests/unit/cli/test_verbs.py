"""Each verb asks what the contract says and prints what a person or a program wants."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.cli.contract_server import WORKFLOW, ContractServer, Reply, ok, refused, stream

ENTITY = {
    "workflow_name": "data-pipeline",
    "name": "fetch_data",
    "command": "python3 fetch.py",
    "args": '["--source", "db"]',
    "working_dir": "/tmp/data-pipeline",
    "env_vars": None,
    "inputs": None,
    "outputs": None,
    "status": "failed",
    "error_message": "exit code 1",
    "created_at": "2026-08-30T10:00:00.000Z",
    "started_at": "2026-08-30T10:30:00.000Z",
    "completed_at": "2026-08-30T10:30:01.500Z",
    "deleted_at": None,
}
LISTED_RUN = {
    "id": "01JRUN",
    "number": 3,
    "workflow": "data-pipeline",
    "status": "failed",
    "phase": None,
    "reason": "1 worker failed",
    "target": None,
    "created_at": "2026-08-30T10:30:00.000Z",
    "started_at": "2026-08-30T10:30:00.000Z",
    "completed_at": "2026-08-30T10:30:12.000Z",
}


def test_list(server: ContractServer, run: Run) -> None:
    server.on("GET", "/api/workflows", ok([WORKFLOW, {**WORKFLOW, "name": "数据", "status": "running"}]))
    shown = run("list")
    assert shown.code == 0
    header, first, second = shown.out.splitlines()
    assert header.split() == ["NAME", "STATUS", "STARTED", "RUNTIME", "WORKING", "DIRECTORY"]
    assert first.split()[:2] == ["data-pipeline", "completed"]
    assert second.startswith("数据           running")


def test_list_as_json_is_the_data_as_it_came(server: ContractServer, run: Run) -> None:
    server.on("GET", "/api/workflows", ok([WORKFLOW]))
    shown = run("list", "--json", "--status", "completed")
    assert json.loads(shown.out) == [WORKFLOW]
    assert server.requests[0].query == {"status": "completed"}


def test_an_empty_list_says_what_to_type(server: ContractServer, run: Run) -> None:
    server.on("GET", "/api/workflows", ok([]))
    assert "wattle example | wattle create -" in run("list").out
    assert run("list", "--status", "failed").out == "No workflow is failed.\n"


def test_show_a_workflow(server: ContractServer, run: Run) -> None:
    server.on("GET", "/api/workflows/data-pipeline", ok(WORKFLOW))
    server.on("GET", "/api/runs", ok([LISTED_RUN]))
    server.on("GET", "/api/runs/01JRUN", ok({**LISTED_RUN, "workers": {"completed": 1, "failed": 1}}))
    server.on("GET", "/api/workflows/data-pipeline/workers", ok([ENTITY]))
    shown = run("show", "data-pipeline").out
    assert "run        #3, 01JRUN" in shown
    assert "workers    1 completed, 1 failed" in shown
    assert shown.splitlines()[-1].split()[:2] == ["fetch_data", "failed"]
    assert json.loads(run("show", "data-pipeline", "--json").out) == WORKFLOW


def test_show_a_worker(server: ContractServer, run: Run) -> None:
    worker = {"name": "w", "workflow_name": "data-pipeline", "command": "echo", "args": ["a"], "status": "failed"}
    attempt = {"number": 2, "status": "failed", "started_at": None, "runtime_seconds": 1.0, "exit_code": None}
    attempt |= {"signal": 9, "reason": "timed out after 1 s"}
    place = "/api/workers/data-pipeline/w"
    server.on("GET", place, ok(worker))
    server.on("GET", place + "/logs", ok(["stdout: /tmp/w/stdout.log", "stderr: /tmp/w/stderr.log"]))
    server.on("GET", place + "/attempts", ok([attempt]))
    shown = run("show", "data-pipeline/w").out
    assert "stdout   /tmp/w/stdout.log" in shown
    assert shown.splitlines()[-1].split() == [
        "2",
        "failed",
        "-",
        "1.00",
        "s",
        "SIGKILL",
        "timed",
        "out",
        "after",
        "1",
        "s",
    ]


def test_the_definition_can_be_taken_out(server: ContractServer, run: Run) -> None:
    place = "/api/workflows/x/definition"
    server.on("GET", place, lambda request: Reply(body=b"name: x\n") if request.query else ok({"name": "x"}))
    assert run("show", "x", "--definition").out == "name: x\n"
    assert json.loads(run("show", "x", "--definition", "--json").out) == {"name": "x"}
    assert run("show", "x/w", "--definition").code == 2


@pytest.mark.parametrize(
    ("arguments", "method", "path"),
    [
        (["start", "数据"], "POST", "/api/workflows/数据/start"),
        (["stop", "x"], "POST", "/api/workflows/x/stop"),
        (["restart", "x"], "POST", "/api/workflows/x/restart"),
        (["delete", "x"], "DELETE", "/api/workflows/x"),
        (["start", "x/数"], "POST", "/api/workers/x/数/start"),
        (["stop", "x/w"], "POST", "/api/workers/x/w/stop"),
        (["restart", "x/w"], "POST", "/api/workers/x/w/restart"),
        (["delete", "x/w"], "DELETE", "/api/workers/x/w"),
    ],
)
def test_acts(server: ContractServer, run: Run, arguments: list[str], method: str, path: str) -> None:
    server.on(method, path, ok("it was done"))
    assert run(*arguments).out == "it was done\n"
    assert run(*arguments, "--json").out == '"it was done"\n'
    assert len(server.asked(method, path)) == 2


def test_create_and_replace(server: ContractServer, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text('{"name": "数据", "working_dir": "out", "workers": []}', encoding="utf-8")
    taken = refused(409, "WORKFLOW_ALREADY_EXISTS", "Workflow '数据' already exists")
    server.on_each("POST", "/api/workflows", ok("created"), taken, taken)
    server.on("PUT", "/api/workflows/数据", ok("replaced"))
    assert run("create", str(path)).out == "created\n"
    assert json.loads(server.requests[0].body)["working_dir"] == str(tmp_path / "out")
    again = run("create", str(path))
    assert (again.code, again.out) == (1, "")
    assert again.err.splitlines()[0] == "wattle: Workflow '数据' already exists"
    assert "--replace" in again.err
    assert run("create", str(path), "--replace").out == "replaced\n"


def test_validate(server: ContractServer, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("name: x\n", encoding="utf-8")
    problems = [{"path": "workers", "message": "is missing"}]
    server.on_each(
        "POST", "/api/workflows/validate",
        ok({"valid": True, "levels": [["a"], ["b", "c"]]}),
        refused(422, "VALIDATION_ERROR", "Validation failed: workers: is missing", problems),
    )  # fmt: skip
    assert run("validate", str(path)).out.splitlines() == [
        f"{path} is valid: 3 workers in 2 levels",
        "  1. a",
        "  2. b, c",
    ]
    bad = run("validate", str(path))
    assert (bad.code, bad.err) == (1, "wattle: Validation failed\n  workers: is missing\n")


def test_workers(server: ContractServer, run: Run) -> None:
    server.on("GET", "/api/workflows/x/workers", ok([ENTITY]))
    assert run("workers", "x").out.splitlines()[1].endswith("1.50 s  exit code 1")
    assert json.loads(run("workers", "x", "--json").out) == [ENTITY]


def test_metrics(server: ContractServer, run: Run) -> None:
    values: dict[str, object] = {
        "cpu_usage": "15.5%",
        "memory_usage": "128MB",
        "runtime": "00:05:23",
        "status": "completed",
    }
    values |= {"processes": 3, "cpu_seconds": 1.25, "peak_memory_bytes": 3 * 1024**2, "exit_code": 0, "signal": None}
    server.on("GET", "/api/workers/x/w/metrics", ok({"metrics": values}))
    shown = dict(line.split(maxsplit=1) for line in run("metrics", "x/w").out.replace("k m", "_m").splitlines())
    assert shown["cpu"] == "time     1.250 s"
    assert shown["pea_memory"] == "3.0 MiB"
    assert shown["exit"] == "0"


def test_runs(server: ContractServer, run: Run) -> None:
    server.on("GET", "/api/runs", ok([LISTED_RUN, {**LISTED_RUN, "target": "a", "reason": None}]))
    shown = run("runs", "data-pipeline", "--status", "failed", "-n", "5")
    assert [line.partition("01JRUN  ")[2] for line in shown.out.splitlines()[1:]] == ["1 worker failed", "only a"]
    query = {"workflow": "data-pipeline", "status": "failed", "page": "1", "page_size": "5"}
    assert server.requests[0].query == query
    server.on("GET", "/api/runs", ok([]))
    assert run("runs").out == "Nothing ran yet.\n"


@pytest.mark.parametrize(
    ("status", "code"), [("completed", 0), ("failed", 3), ("cancelled", 3), ("running", 4), ("created", 4)]
)
def test_status_says_it_with_the_exit_code(server: ContractServer, run: Run, status: str, code: int) -> None:
    server.on("GET", "/api/workflows/x", ok({**WORKFLOW, "status": status}))
    shown = run("status", "x")
    assert (shown.out, shown.code) == (f"{status}\n", code)


def test_status_waits(server: ContractServer, run: Run) -> None:
    running = ok({**WORKFLOW, "status": "running"})
    server.on_each("GET", "/api/workflows/x", running, running, ok(WORKFLOW))
    assert run("status", "x", "--wait").code == 0
    assert len(server.requests) == 3


def test_status_does_not_wait_for_ever(server: ContractServer, run: Run) -> None:
    server.on("GET", "/api/workflows/x", ok({**WORKFLOW, "status": "running"}))
    shown = run("status", "x", "--wait", "--timeout", "0.3")
    assert shown.code == 124
    assert shown.err == "wattle: 'x' has not ended within 0.3 s\n"


def test_graph(server: ContractServer, run: Run) -> None:
    nodes = [{"name": "a", "status": "completed", "level": 0}, {"name": "b", "status": "running", "level": 1}]
    data = {"nodes": nodes, "edges": [{"from": "a", "to": "b", "label": "out"}], "levels": [["a"], ["b"]]}
    mermaid = Reply(body=b"graph LR\n", content_type="text/plain")
    server.on("GET", "/api/workflows/x/graph", lambda request: mermaid if request.query else ok(data))
    assert "✔ a ├─out──▶│ ● b │" in run("graph", "x").out
    assert run("graph", "x", "--format", "mermaid").out == "graph LR\n"
    assert json.loads(run("graph", "x", "--json").out) == data


def test_logs_keep_the_two_streams_apart(server: ContractServer, run: Run) -> None:
    paths = ["stdout: /tmp/o", "stderr: /tmp/e"]
    content = {"stdout": ["one", "\x1b[2Jtwo"], "stderr": ["warned"]}
    server.on(
        "GET", "/api/workers/x/w/logs",
        lambda request: ok(paths, content=content[request.query["stream"]]) if request.query else ok(paths),
    )  # fmt: skip
    shown = run("logs", "x/w", "--tail", "all")
    assert (shown.out, shown.err) == ("one\n\x1b[2Jtwo\n", "warned\n")
    assert server.requests[0].query == {"lines": "100000", "stream": "stdout"}
    assert run("logs", "x/w", "--tail", "0").out == ""
    assert run("logs", "x/w", "--stream", "stderr").out == ""
    assert json.loads(run("logs", "x/w", "--json").out) == paths


def test_logs_follow_to_the_end_through_a_break(server: ContractServer, run: Run) -> None:
    place = "/api/workers/x/w/logs/stream"
    server.on_each(
        "GET", place,
        stream('id: 1\ndata: {"type":"stdout","content":"one"}', truncated=True),
        stream('id: 2\ndata: {"type":"stderr","content":"two"}', "event: resync\ndata: {}"),
        stream('id: 3\ndata: {"type":"stdout","content":"数"}', 'event: end\ndata: {"status":"completed"}'),
    )  # fmt: skip
    shown = run("logs", "x/w", "-f", "--tail", "all")
    assert (shown.code, shown.out, shown.err) == (0, "one\n数\n", "two\n")
    assert [request.headers.get("last-event-id") for request in server.requests] == [None, "1", "2"]
    assert server.requests[0].query == {"tail": "all"}


def test_logs_follow_as_json_lines(server: ContractServer, run: Run) -> None:
    frame = '{"type":"stdout","content":"one"}'
    server.on("GET", "/api/workers/x/w/logs/stream", stream(f"data: {frame}", 'event: end\ndata: {"status":"failed"}'))
    assert run("logs", "x/w", "-f", "--json").out == frame + "\n"


@pytest.mark.parametrize("tail", ["-1", "many", "٣", ""])
def test_a_tail_is_a_number_or_all(run: Run, tail: str) -> None:
    assert run("logs", "x/w", "--tail", tail).code == 2


def test_version_tells_of_both(server: ContractServer, run: Run) -> None:
    health = {"version": "9.9", "uptime_seconds": 61.0, "pid": 42}
    server.on("GET", "/api/health", ok(health))
    client, daemon = run("version").out.splitlines()
    assert client.startswith("wattle ")
    assert daemon == f"daemon 9.9 at {server.url}, pid 42, up 1:01"
    assert json.loads(run("version", "--json").out)["daemon"] == health
    server.answers.clear()
    assert run("version").out.splitlines()[1] == f"no daemon at {server.url}"
