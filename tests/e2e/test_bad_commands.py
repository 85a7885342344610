"""What goes wrong when a worker starts or ends: it has failed, and its sentence says what to mend."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.asking import ask, assert_refused
from tests.helpers.daemon import Daemon
from tests.helpers.processes import is_alive
from tests.helpers.waiting import wait_until

# worker -> (definition, what error_message says, exit code, signal); {place} is the workflow's directory
FAILING: dict[str, tuple[dict[str, Any], list[str], int | None, int | None]] = {
    "not-found": ({"command": "no_such_command --x"}, ["command 'no_such_command' was not found in PATH"], None, None),
    "no-such-file": (
        {"command": "./absent.sh"},
        ["command './absent.sh' was not found, or the interpreter"],
        None,
        None,
    ),
    "not-executable": ({"command": "./plain.txt"}, ["'./plain.txt' is not executable: set its x bit"], None, None),
    "no-interpreter": ({"command": "./odd.sh"}, ["command './odd.sh' was not found, or the interpreter"], None, None),
    "not-a-program": (
        {"command": "./binary"},
        ["'./binary' is neither a program nor a script with a '#!'"],
        None,
        None,
    ),
    "a-directory": ({"command": "./folder"}, ["'./folder' is not executable"], None, None),
    "no-directory": (
        {"command": "true", "working_dir": "plain.txt/x"},
        ["working directory '{place}/plain.txt/x' cannot be made: Not a directory"],
        None,
        None,
    ),
    "a-file-as-directory": (
        {"command": "true", "working_dir": "plain.txt"},
        ["working directory '{place}/plain.txt' cannot be made: a file of that name is there"],
        None,
        None,
    ),
    "no-output-directory": (
        {"command": "true", "outputs": {"o": "plain.txt/x/o"}},
        ["output directory '{place}/plain.txt/x' cannot be made: Not a directory"],
        None,
        None,
    ),
    "no-input": (
        {"command": "true", "inputs": {"config": "absent.toml", "there": "plain.txt"}},
        ["input 'config' ({place}/absent.toml) does not exist"],
        None,
        None,
    ),
    "no-output": (
        {
            "command": "sh -c 'mkdir -p out && touch out/raw_dta.json out/notes'",
            "outputs": {"raw": "out/raw_data.json", "log": "elsewhere/log"},
        },
        [
            "output 'raw' was not written: '{place}/out/raw_data.json' does not exist (written beside it: ",
            "'notes'",
            "is 'raw_dta.json' meant?",
            "output 'log' was not written: '{place}/elsewhere/log' does not exist",
        ],
        0,
        None,
    ),
    "exit-code": ({"command": "sh -c 'exit 7'"}, ["exited with code 7"], 7, None),
    "signal": ({"command": "sh -c 'kill -SEGV $$'"}, ["killed by SIGSEGV"], None, 11),
    "too-slow": ({"command": "sleep 1000", "timeout_seconds": 0.2}, ["timed out after 0.2 s"], None, 15),
}


def test_a_failure_says_what_to_mend(daemon: Daemon) -> None:
    place = make_place(daemon, "failing")
    workers = [{"name": name, **definition} for name, (definition, *_) in FAILING.items()]
    daemon.create("failing", workers)
    run = daemon.start_run("failing")
    assert daemon.wait_for_run("failing")["status"] == "failed"
    states = daemon.workers_of(run)
    for name, (_, sentences, exit_code, signal) in FAILING.items():
        state = states[name]
        assert (state["status"], state["exit_code"], state["signal"]) == ("failed", exit_code, signal), name
        for sentence in sentences:
            assert sentence.format(place=place) in state["error_message"], name
    entities = {each["name"]: each["error_message"] for each in daemon.get("/api/workflows/failing/workers")}
    assert entities == {name: state["error_message"] for name, state in states.items()}


def make_place(daemon: Daemon, name: str) -> Path:
    """The directory that `daemon.create` gives to a workflow, with files of the wrong kinds in it."""
    place = daemon.directory / "work" / name
    (place / "folder").mkdir(parents=True)
    (place / "plain.txt").write_text("echo no x bit\n")
    for file, content in (("odd.sh", "#!/no/such/interpreter\n"), ("binary", "\x00\x01")):
        (place / file).write_text(content)
        (place / file).chmod(0o755)
    return place


async def test_one_worker_alone_needs_its_inputs(daemon: Daemon) -> None:
    daemon.create(
        "inputs",
        [
            {"name": "first", "command": "echo 1", "outputs": {"raw": "raw.json"}},
            {"name": "second", "command": "cat raw.json", "inputs": {"x": "first/raw", "y": "own.txt"}},
        ],
    )
    place = daemon.directory / "work" / "inputs"
    refused = await ask(daemon, "POST", "/api/workers/inputs/second/start")
    assert_refused(refused, 409, "INPUT_MISSING", "'inputs/second'", f"{place}/raw.json, {place}/own.txt")
    assert daemon.get("/api/runs?workflow=inputs") == []
    for name in ("raw.json", "own.txt"):
        (place / name).write_text("here\n")
    assert daemon.post("/api/workers/inputs/second/start") == "Worker 'inputs/second' started"
    assert daemon.wait_for_run("inputs")["status"] == "completed"


async def test_a_deleted_worker_is_missed_by_those_that_need_it(daemon: Daemon) -> None:
    daemon.create(
        "missed",
        [
            {"name": "first", "command": "echo 1", "outputs": {"raw": "raw.json"}},
            {"name": "second", "command": "cat raw.json", "inputs": {"x": "first/raw"}},
        ],
    )
    assert daemon.ask("DELETE", "/api/workers/missed/first").status == 200
    for method, path in (("POST", "/start"), ("GET", "/graph")):
        answer = await ask(daemon, method, f"/api/workflows/missed{path}")
        assert_refused(answer, 422, "DEPENDENCY_VALIDATION_FAILED", "'second' depends on 'first/raw'")
    assert daemon.ask("DELETE", "/api/workers/missed/second").status == 200
    assert daemon.get("/api/workflows/missed/graph") == {"nodes": [], "edges": [], "levels": []}
    daemon.start_run("missed")
    assert daemon.wait_for_run("missed")["status"] == "completed"


@pytest.mark.parametrize("code", [0, 3])
async def test_what_a_worker_left_running_ends_with_it(daemon: Daemon, code: int) -> None:
    """A background process would otherwise hold files, ports and memory that nobody knows of."""
    name = f"leaver-{code}"
    daemon.create(name, [{"name": "a", "command": f"sleep 1000 & echo $! > pid; exit {code}"}])
    daemon.start_run(name)
    assert daemon.wait_for_run(name)["status"] == ("failed" if code else "completed")
    pid = int((daemon.directory / "work" / name / "pid").read_text())
    await wait_until(lambda: not is_alive(pid), on_timeout="the background process ends")
