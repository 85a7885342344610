"""Starting, stopping, failing, trying again: what happens to the others, and what is on record of it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.watched import HELD, Watched, held_by
from tests.helpers.daemon import Daemon
from tests.helpers.processes import is_alive
from tests.helpers.waiting import wait_until

# a leader, a child, and a grandchild in a session of its own; each writes its pid
TREE = (
    "echo $$ > leader; sh -c 'echo $$ > child; exec sleep 1000' & setsid sh -c 'echo $$ > session; exec sleep 1000' & "
)
STUBBORN = "trap '' TERM; " + TREE + "while :; do sleep 0.05; done"


@pytest.mark.parametrize(
    ("target", "verb"), [("worker", "stop"), ("worker", "restart"), ("workflow", "stop"), ("workflow", "restart")]
)
@pytest.mark.parametrize("command", [TREE + "wait", STUBBORN], ids=["obeys", "ignores TERM"])
async def test_a_stop_answers_when_the_whole_tree_is_gone(daemon: Daemon, target: str, verb: str, command: str) -> None:
    watched = Watched(
        daemon,
        f"tree-{target}-{verb}-{'trap' in command}",
        {"name": "a", "command": f"[ -e twice ] || {{ touch twice; {command}; }}", "stop_grace_seconds": 0.3},
    )
    watched.start()
    pids = [int(text) for text in await watched.has_written("leader", "child", "session")]
    daemon.post(watched.of("a", verb) if target == "worker" else watched.path(verb))
    assert [pid for pid in pids if is_alive(pid)] == []
    [first, *_] = watched.attempts("a")
    assert (first["status"], first["signal"]) == ("cancelled", 9 if "trap" in command else 15)


async def test_a_stopped_run(daemon: Daemon) -> None:
    watched = Watched(
        daemon,
        "stopped",
        {"name": "done", "command": "true"},
        {"name": "runs", "command": "sleep 1000", "after": ["done"]},
        {"name": "waits", "command": "true", "after": ["runs"]},
    )
    watched.start()
    await watched.is_now("runs", "running")
    assert daemon.post(watched.path("stop")) == "Workflow 'stopped' stopped successfully"
    run = daemon.latest_run("stopped")
    assert (run["status"], run["reason"], watched.status) == ("cancelled", "stopped by request", "cancelled")
    assert watched.statuses == {"done": "completed", "runs": "cancelled", "waits": "cancelled"}
    assert [state["attempts"] for state in watched.states().values()] == [1, 1, 0]


async def test_one_worker_is_stopped_and_its_branch_cancelled(daemon: Daemon) -> None:
    watched = Watched(
        daemon,
        "branches",
        {"name": "a", "command": "sleep 1000"},
        {"name": "after-a", "command": "true", "after": ["a"]},
        {"name": "b", "command": HELD},
        {"name": "after-b", "command": "true", "after": ["b"]},
    )
    watched.start()
    await watched.is_now("a", "running")
    await watched.is_now("b", "running")
    watched.ask("a", "stop")
    assert watched.statuses == {"a": "cancelled", "after-a": "cancelled", "b": "running", "after-b": "created"}
    assert watched.states()["after-a"]["error_message"] == "upstream 'a' cancelled"
    watched.let_go()
    assert watched.end()["status"] == "cancelled"
    assert watched.statuses == {"a": "cancelled", "after-a": "cancelled", "b": "completed", "after-b": "completed"}


async def test_a_restart_within_a_run_keeps_the_others_waiting(daemon: Daemon) -> None:
    watched = Watched(
        daemon,
        "restarted",
        {"name": "a", "command": HELD},
        {"name": "b", "command": "true", "after": ["a"]},
    )
    run = watched.start()
    await watched.is_now("a", "running")
    watched.ask("a", "restart")
    await watched.is_now("a", "running")
    assert (watched.statuses["b"], watched.status, daemon.latest_run("restarted")["id"]) == ("created", "running", run)
    watched.let_go()
    assert watched.end()["id"] == run
    assert [attempt["status"] for attempt in watched.attempts("a")] == ["cancelled", "completed"]
    assert watched.statuses == {"a": "completed", "b": "completed"}


async def test_a_stop_wins_over_a_restart(daemon: Daemon) -> None:
    """Stopped while its old attempt still has its grace, the worker must not come back."""
    watched = Watched(
        daemon, "stop-wins", {"name": "a", "command": "trap '' TERM; touch set; sleep 1000", "stop_grace_seconds": 0.5}
    )
    watched.start()
    await wait_until((watched.place / "set").exists, on_timeout="the trap is set")
    with ThreadPoolExecutor() as pool:
        restarting = pool.submit(daemon.ask, "POST", watched.of("a", "restart"))
        await wait_until(
            lambda: watched.states()["a"]["phase"] == "stopping", on_timeout="the restart has begun to stop it"
        )
        daemon.post(watched.path("stop"))
        assert restarting.result(20).code == "WORKER_NOT_RUNNING"
    assert len(watched.attempts("a")) == 1
    assert watched.status == "cancelled"


def test_a_failure_cancels_its_branch_and_no_other(daemon: Daemon) -> None:
    watched = Watched(
        daemon,
        "one-branch-fails",
        {"name": "bad", "command": "sh -c 'exit 3'", "outputs": {"o": "bad.out"}},
        {"name": "child", "command": "true", "inputs": {"i": "bad/o"}},
        {"name": "grandchild", "command": "true", "after": ["child"]},
        {"name": "good", "command": "true"},
        {"name": "both", "command": "true", "after": ["good", "grandchild"]},
        {"name": "fine", "command": "true", "after": ["good"]},
    )
    run = watched.run()
    assert (run["status"], run["reason"]) == ("failed", "1 of 6 workers failed")
    messages = {name: state["error_message"] for name, state in watched.states().items()}
    assert messages == {
        "bad": "exited with code 3",
        "child": "upstream 'bad' failed",
        "grandchild": "upstream 'child' cancelled",
        "good": None,
        "both": "upstream 'grandchild' cancelled",
        "fine": None,
    }
    assert [name for name, status in watched.statuses.items() if status == "completed"] == ["good", "fine"]


@pytest.mark.parametrize("where", ["workflow", "worker"])
async def test_fail_fast_stops_the_run(daemon: Daemon, where: str) -> None:
    watched = Watched(
        daemon,
        f"fail-fast-{where}",
        {"name": "bad", "command": f"{HELD}; exit 1", **({"fail_fast": True} if where == "worker" else {})},
        {"name": "runs", "command": "sleep 1000"},
        {"name": "waits", "command": "true", "after": ["runs"]},
        fail_fast=where == "workflow",
    )
    watched.start()
    await watched.is_now("runs", "running")
    watched.let_go()
    run = watched.end()
    assert (run["status"], run["reason"]) == ("failed", "worker 'bad' failed and fail_fast is set")
    assert watched.statuses == {"bad": "failed", "runs": "cancelled", "waits": "cancelled"}
    assert watched.states()["runs"]["reason"] == run["reason"]


def test_a_retry_until_it_works(daemon: Daemon) -> None:
    command = "echo $WATTLE_ATTEMPT >> tries; [ $WATTLE_ATTEMPT = 3 ] || exit 75"
    retry = {"limit": 5, "delay_seconds": 0.05, "backoff_factor": 2, "exit_codes": [75]}
    watched = Watched(
        daemon,
        "retried",
        {"name": "a", "command": command, "retry": retry},
        {"name": "b", "command": "cp tries seen", "after": ["a"]},
    )
    assert watched.run()["status"] == "completed"
    attempts = watched.attempts("a")
    assert [(each["number"], each["status"], each["exit_code"]) for each in attempts] == [
        (1, "failed", 75),
        (2, "failed", 75),
        (3, "completed", 0),
    ]
    assert (watched.place / "seen").read_text() == "1\n2\n3\n"
    state = watched.states()["a"]
    assert (state["status"], state["attempts"], state["exit_code"], state["error_message"]) == ("completed", 3, 0, None)


async def test_a_pause_before_a_retry_is_explained_and_can_be_stopped(daemon: Daemon) -> None:
    retry = {"limit": 2, "delay_seconds": 500, "backoff_factor": 3}
    watched = Watched(daemon, "resting", {"name": "a", "command": "false", "retry": retry})
    watched.start()
    await wait_until(lambda: watched.states()["a"]["phase"] == "retrying", on_timeout="it rests")
    state = watched.states()["a"]
    assert (state["status"], state["reason"]) == ("created", "exited with code 1; attempt 2 of 3 in 500 s")
    watched.ask("a", "stop")
    assert (watched.status, len(watched.attempts("a"))) == ("cancelled", 1)


def test_retries_that_are_not_meant_or_used_up(daemon: Daemon) -> None:
    watched = Watched(
        daemon,
        "no-retry",
        {"name": "other-code", "command": "sh -c 'exit 1'", "retry": {"limit": 5, "exit_codes": [75]}},
        {"name": "used-up", "command": "sh -c 'exit 9'", "retry": {"limit": 2, "delay_seconds": 0}},
        {"name": "number", "command": "sh -c 'exit 9'", "retry": 0},
    )
    assert watched.run()["status"] == "failed"
    states = watched.states()
    assert {name: (state["attempts"], state["error_message"]) for name, state in states.items()} == {
        "other-code": (1, "exited with code 1; not one of the exit codes that are tried again"),
        "used-up": (3, "exited with code 9; gave up after 3 attempts"),
        "number": (1, "exited with code 9"),
    }


async def test_a_timeout_ends_the_whole_tree(daemon: Daemon) -> None:
    watched = Watched(
        daemon, "timed-out", {"name": "a", "command": STUBBORN, "timeout_seconds": 1, "stop_grace_seconds": 0.2}
    )
    watched.start()
    pids = [int(text) for text in await watched.has_written("leader", "child", "session")]
    assert watched.end()["status"] == "failed"
    assert watched.states()["a"]["error_message"] == "timed out after 1 s"
    assert [pid for pid in pids if is_alive(pid)] == []


def test_order_by_files_and_by_after(daemon: Daemon) -> None:
    watched = Watched(
        daemon,
        "ordered",
        {"name": "last", "command": "sh -c 'echo last >> order'", "after": ["by-file", "by-path"]},
        {"name": "by-file", "command": "sh -c 'echo by-file >> order'", "inputs": {"i": "first/o"}},
        {"name": "by-path", "command": "sh -c 'echo by-path >> order'", "inputs": {"i": "o.txt"}, "after": ["by-file"]},
        {"name": "first", "command": "sh -c 'echo first >> order; echo > o.txt'", "outputs": {"o": "o.txt"}},
    )
    assert watched.run()["status"] == "completed"
    assert (watched.place / "order").read_text().split() == ["first", "by-file", "by-path", "last"]


async def test_a_worker_starts_as_soon_as_its_own_inputs_are_there(daemon: Daemon) -> None:
    """No barrier between levels: the slow worker of the first level holds nobody but those who wait for it."""
    watched = Watched(
        daemon,
        "no-barrier",
        {"name": "slow", "command": HELD},
        {"name": "quick", "command": "true"},
        {"name": "next", "command": "true", "after": ["quick"]},
        {"name": "third", "command": "true", "after": ["next"]},
        {"name": "end", "command": "true", "after": ["third", "slow"]},
    )
    watched.start()
    await watched.is_now("third", "completed")
    assert (watched.statuses["slow"], watched.statuses["end"]) == ("running", "created")
    watched.let_go()
    assert watched.end()["status"] == "completed"


async def test_one_worker_alone(daemon: Daemon) -> None:
    watched = Watched(
        daemon,
        "alone",
        {"name": "a", "command": "echo a", "outputs": {"o": "a.txt"}},
        {"name": "b", "command": f"{held_by('b-may')}; [ ! -e bad ]", "inputs": {"i": "a/o"}},
        {"name": "c", "command": "true", "after": ["b"]},
    )
    watched.let_go("b-may")
    assert watched.run()["status"] == "completed"
    watched.hold("b-may")
    (watched.place / "bad").touch()
    watched.ask("b", "start")
    await watched.is_now("b", "running")
    assert (watched.status, watched.statuses["a"], watched.statuses["c"]) == ("running", "completed", "completed")
    assert daemon.ask("POST", watched.path("start")).code == "WORKFLOW_ALREADY_RUNNING"
    watched.let_go("b-may")
    run = watched.end()
    assert (run["target"], run["number"], run["status"], watched.status) == ("b", 2, "failed", "failed")
    assert list(watched.states()) == ["b"]
    assert watched.statuses == {"a": "completed", "b": "failed", "c": "completed"}
    (watched.place / "bad").unlink()
    watched.ask("b", "restart")
    assert watched.end()["number"] == 3
    assert (watched.status, watched.statuses["b"]) == ("completed", "completed")


async def test_workers_of_one_workflow_are_started_at_the_same_time(daemon: Daemon) -> None:
    names = [f"w{number}" for number in range(8)]
    watched = Watched(daemon, "together", *({"name": name, "command": HELD} for name in names))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda name: daemon.ask("POST", watched.of(name, "start")), names))
        assert [answer.status for answer in answers] == [200] * 8
        again = list(pool.map(lambda name: daemon.ask("POST", watched.of(name, "start")), names))
        assert {answer.code for answer in again} == {"WORKER_ALREADY_RUNNING"}
    watched.let_go()
    await wait_until(lambda: watched.status == "completed", on_timeout="all have ended")
    assert set(watched.statuses.values()) == {"completed"}
    assert len(daemon.get("/api/runs?workflow=together")) == 8


def test_only_one_of_many_starts_at_the_same_time_begins_a_run(daemon: Daemon) -> None:
    watched = Watched(daemon, "once", {"name": "a", "command": HELD})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: daemon.ask("POST", watched.path("start")), range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 7
    watched.let_go()
    assert watched.end()["number"] == 1


def test_a_start_and_a_change_of_the_definition_come_one_after_the_other(daemon: Daemon) -> None:
    """Whatever the order, a run is one of the definitions as a whole, and no start says that nothing is there."""
    documents = [
        {"workers": [{"name": "both", "command": "true"}, {"name": f"only-{number}", "command": "true"}]}
        for number in range(2)
    ]
    watched = Watched(daemon, "contended", *documents[0]["workers"])

    def disturb(number: int) -> set[int]:
        statuses = set()
        for turn in range(20):
            if number == 0:
                statuses.add(daemon.ask("PUT", watched.path(), documents[turn % 2]).status)
            else:
                path = watched.path("start") if number == 1 else watched.of("both", "start")
                statuses.add(daemon.ask("POST", path).status)
        return statuses

    with ThreadPoolExecutor(3) as pool:
        assert set().union(*pool.map(disturb, range(3))) <= {200, 409}
    for run in daemon.get("/api/runs?workflow=contended&page_size=1000"):
        names = list(daemon.workers_of(run["id"]))
        assert names in ([["both"]] if run["target"] else [["both", "only-0"], ["both", "only-1"]])


@pytest.mark.parametrize("verb", ["create", "delete"])
def test_only_one_of_many_creates_or_deletes(daemon: Daemon, verb: str) -> None:
    document = {"name": "contested", "workers": [{"name": "a", "command": "true"}]}
    if verb == "delete":
        daemon.ask("POST", "/api/workflows", document)
    with ThreadPoolExecutor(8) as pool:
        asked = (
            ("POST", "/api/workflows", document) if verb == "create" else ("DELETE", "/api/workflows/contested", None)
        )
        answers = list(pool.map(lambda _: daemon.ask(*asked), range(8)))
    expected = [201] + [409] * 7 if verb == "create" else [200] + [404] * 7
    assert sorted(answer.status for answer in answers) == expected


def test_a_fan_out_of_200_workers(daemon: Daemon) -> None:
    parts = [f"part-{number}" for number in range(200)]
    watched = Watched(
        daemon,
        "wide",
        {"name": "split", "command": "echo begun", "outputs": {"o": "begun.txt"}},
        *(
            {"name": part, "command": f"echo {part}", "inputs": {"i": "split/o"}, "outputs": {"o": f"{part}.txt"}}
            for part in parts
        ),
        {"name": "merge", "command": "sh -c 'cat part-*.txt | wc -l'", "inputs": {part: f"{part}/o" for part in parts}},
    )
    assert watched.run()["status"] == "completed"
    assert watched.output("merge") == ["200"]
    run = daemon.get(f"/api/runs/{daemon.latest_run('wide')['id']}")
    assert run["workers"] == {"created": 0, "running": 0, "completed": 202, "failed": 0, "cancelled": 0}
