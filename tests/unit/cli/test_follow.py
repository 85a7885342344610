"""`start --follow` tells who starts and ends, shows what a failing worker said, and ends with the run's outcome."""

import json
import signal
from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.cli.contract_server import ContractServer, Reply, Request, ok, refused

RUN: dict[str, Any] = {
    "id": "01J",
    "number": 3,
    "workflow": "x",
    "status": "running",
    "reason": None,
    "started_at": "2026-08-30T10:30:00.000Z",
    "completed_at": None,
    "workers": {"running": 1, "created": 1},
}
ENDED = {**RUN, "completed_at": "2026-08-30T10:30:02.000Z"}
COMPLETED = {**ENDED, "status": "completed", "workers": {"completed": 2}}
FAILED = {**ENDED, "status": "failed", "workers": {"completed": 1, "failed": 1}}


def worker(name: str, status: str, **more: Any) -> dict[str, Any]:
    row = {"name": name, "status": status, "attempts": 0 if status == "created" else 1, "reason": None}
    return {**row, "error_message": None, "exit_code": None, "signal": None, "runtime_seconds": None, **more}


@pytest.fixture(autouse=True)
def _started(server: ContractServer) -> None:
    server.on("POST", "/api/workflows/x/start", ok("Workflow 'x' started successfully", run="01J"))


def shows(server: ContractServer, *looks: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    """What the daemon answers look by look."""
    # the first answer is for the start, which asks which run it is
    server.on_each("GET", "/api/runs/01J", ok(RUN), *(ok(run) for run, _ in looks))
    server.on_each("GET", "/api/runs/01J/workers", *(ok(workers) for _, workers in looks))


def test_a_run_that_completes(server: ContractServer, run: Run) -> None:
    shows(
        server,
        (RUN, [worker("a", "running"), worker("b", "created")]),
        (RUN, [worker("a", "completed", runtime_seconds=1.5), worker("b", "running")]),
        (COMPLETED, [worker("a", "completed", runtime_seconds=1.5), worker("b", "completed", runtime_seconds=0.5)]),
    )
    shown = run("start", "x", "--follow")
    assert shown.code == 0
    assert shown.out.splitlines() == [
        "● a started",
        "✔ a completed in 1.50 s",
        "● b started",
        "✔ b completed in 0.50 s",
        "✔ run #3 of 'x' completed in 2.00 s: 2 completed",
    ]


def test_a_failing_worker_has_the_last_word(server: ContractServer, run: Run) -> None:
    bad = worker("b", "failed", runtime_seconds=0.1, exit_code=7, error_message="exit code 7")
    shows(server, (FAILED, [worker("a", "completed", runtime_seconds=1), bad]))
    server.on("GET", "/api/workers/x/b/logs", ok([], content=["Traceback", "ValueError: \x1b[31m数\x1b[0m"]))
    shown = run("start", "x", "--follow")
    assert shown.code == 1
    assert shown.out.splitlines()[1:] == [
        "✘ b failed in 0.10 s: exit code 7",
        "    | Traceback",
        "    | ValueError: \x1b[31m数\x1b[0m",
        "✘ run #3 of 'x' failed in 2.00 s: 1 completed, 1 failed",
        "  'wattle logs x/WORKER --tail all' shows all that a worker wrote.",
    ]
    assert server.asked("GET", "/api/workers/x/b/logs")[0].query == {"lines": "10", "stream": "stderr"}


def test_stdout_speaks_where_stderr_is_silent(server: ContractServer, run: Run) -> None:
    shows(server, (FAILED, [worker("b", "failed", signal=9)]))
    said = {"stderr": [], "stdout": ["out of memory"]}
    server.on("GET", "/api/workers/x/b/logs", lambda request: ok([], content=said[request.query["stream"]]))
    assert run("start", "x", "--follow").out.splitlines()[:2] == ["✘ b failed: exit SIGKILL", "    | out of memory"]


def test_a_log_that_cannot_be_had_does_not_end_the_watching(server: ContractServer, run: Run) -> None:
    shows(server, (FAILED, [worker("b", "failed", exit_code=1)]), (FAILED, []))
    assert run("start", "x", "--follow").out.splitlines()[0] == "✘ b failed: exit 1"


def test_another_attempt_and_a_cancelled_worker(server: ContractServer, run: Run) -> None:
    late = worker("b", "cancelled", error_message="upstream 'a' failed")
    cancelled = {**ENDED, "status": "cancelled", "workers": {"cancelled": 2}}
    shows(
        server,
        (RUN, [worker("a", "running"), worker("b", "created")]),
        (RUN, [worker("a", "created", phase="retrying", reason="exited with code 1; attempt 2 of 3 in 1 s")]),
        (RUN, [worker("a", "running", attempts=2), worker("b", "created")]),
        (cancelled, [worker("a", "cancelled", attempts=2), late]),
    )
    shown = run("start", "x", "--follow")
    assert shown.code == 1
    assert shown.out.splitlines()[1:5] == [
        "○ a tries again: exited with code 1; attempt 2 of 3 in 1 s",
        "● a started again, attempt 2",
        "⊘ a cancelled, attempt 2",
        "⊘ b cancelled: upstream 'a' failed",
    ]


def test_of_many_workers_only_the_ends_are_told(server: ContractServer, run: Run) -> None:
    many = [worker(f"w{at}", "running") for at in range(101)]
    shows(server, (RUN, many), (COMPLETED, [worker(f"w{at}", "completed") for at in range(101)]))
    lines = run("start", "x", "--follow").out.splitlines()
    assert lines[:2] == ["✔ w0 completed", "✔ w1 completed"]
    assert len(lines) == 102


def test_with_json_the_run_is_the_one_document(server: ContractServer, run: Run) -> None:
    shows(server, (COMPLETED, [worker("a", "completed")]))
    shown = run("start", "x", "--follow", "--json")
    assert json.loads(shown.out) == COMPLETED
    assert shown.err == "✔ a completed\n"


def test_the_daemon_may_be_away_for_a_moment(server: ContractServer, run: Run) -> None:
    away = Reply(502, b"<html>", "text/html")
    ending = refused(503, "SERVICE_UNAVAILABLE", "the daemon ends")
    server.on_each("GET", "/api/runs/01J", ok(RUN), ok(RUN), ending, away, ok(COMPLETED))
    server.on("GET", "/api/runs/01J/workers", ok([]))
    shown = run("start", "x", "--follow")
    assert shown.code == 0
    assert shown.out.splitlines()[0] == "the daemon does not answer; its workers go on, waiting for its return"


def test_ctrl_c_only_ends_the_watching(server: ContractServer, run: Run) -> None:
    def interrupt(_: Request) -> Reply:
        signal.raise_signal(signal.SIGINT)
        return ok([])

    server.on("GET", "/api/runs/01J", ok(RUN))
    server.on("GET", "/api/runs/01J/workers", interrupt)
    shown = run("start", "x", "--follow")
    assert shown.code == 130
    assert "No longer watching; run #3 of 'x' goes on." in shown.err.splitlines()
    assert server.asked("POST", "/api/workflows/x/stop") == []


def test_the_timeout_ends_the_watching_too(server: ContractServer, run: Run) -> None:
    shows(server, (RUN, [worker("a", "running")]))
    shown = run("start", "x", "--follow", "--timeout", "0.3")
    assert shown.code == 124
    assert "run #3 of 'x' goes on" in shown.err


def test_one_worker_can_be_followed(server: ContractServer, run: Run) -> None:
    server.on("POST", "/api/workers/x/a/restart", ok("Worker 'x/a' restarted"))
    server.on("GET", "/api/runs", ok([RUN]))
    shows(server, (COMPLETED, [worker("a", "completed")]))
    assert run("restart", "x/a", "--follow").code == 0
    assert server.asked("GET", "/api/runs")[0].query == {"workflow": "x", "page": "1", "page_size": "1"}


def test_a_start_that_is_refused(server: ContractServer, run: Run) -> None:
    busy = refused(409, "WORKFLOW_ALREADY_RUNNING", "Workflow 'x' is already running, stop it first")
    server.on("POST", "/api/workflows/x/start", busy)
    shown = run("start", "x", "--follow")
    assert (shown.code, shown.err) == (1, "wattle: Workflow 'x' is already running, stop it first\n")
