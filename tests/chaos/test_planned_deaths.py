"""Deaths at chosen points of the code: each window between two steps is closed, and nothing stays stuck behind it."""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.dags import Dag, is_lost, read_effects, violations
from tests.helpers.daemon import Daemon, path_of
from tests.helpers.launcher import start_launcher
from tests.helpers.processes import is_alive
from tests.helpers.waiting import wait_until
from workers.launcher.journal import decode, encode

DAEMON_POINTS = ("store.before_commit", "store.committed", "pump.recorded")
LAUNCHER_POINTS = (
    "launcher.intent",
    "launcher.forked",
    "launcher.pid",
    "launcher.peek",
    "launcher.exit",
    "launcher.reaped",
)
SLOTS = 3
MOST_DEATHS = 40
UP = "trap 'echo TERM; exit 5' TERM; echo up; while :; do sleep 0.01; done"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path, max_concurrent_workers=SLOTS)
    yield made
    made.end()


def small_dag() -> Dag:
    return Dag.random(random.Random(7), 14, longest_seconds=0.05)


def log_of(daemon: Daemon, worker: str) -> str:
    """The stdout of a worker of the workflow `held`."""
    path = daemon.directory / "work" / "held" / worker / "stdout.log"
    return path.read_text() if path.exists() else ""


async def die_until_it_has_ended(daemon: Daemon, workflow: str, point: str) -> int:
    """One run under daemons that die at the first passage after their start, at the second, the third ...

    Returns how often one died; another serves then.
    """
    for count in range(1, MOST_DEATHS):
        daemon.begin(WATTLE_FAILPOINT=f"{point}:{count}:kill")
        if daemon.becomes_ready() and not has_run(daemon, workflow):
            with contextlib.suppress(ConnectionError):
                daemon.post(path_of("workflows", workflow, "start"))
        await wait_until(lambda: is_over(daemon, workflow), on_timeout=f"death at {point}:{count}, or the run's end")
        if daemon.is_running:
            daemon.kill()  # its own death may still be to come
            daemon.start()
            return count - 1
        assert daemon.wait() == -signal.SIGKILL
    raise AssertionError(f"{MOST_DEATHS} deaths at {point}, and the run has not ended")


def has_run(daemon: Daemon, workflow: str) -> bool:
    """Whether a run is on record, whatever was answered."""
    with sqlite3.connect(daemon.state_dir / "wattle.db") as db:
        query = "SELECT count(*) FROM runs r JOIN workflows w ON w.id = r.workflow_id WHERE w.name = ?"
        return bool(db.execute(query, (workflow,)).fetchone()[0])


def is_over(daemon: Daemon, workflow: str) -> bool:
    """Whether the daemon has died, or the run has ended before it could."""
    try:
        return not daemon.is_running or bool(daemon.latest_run(workflow)["completed_at"])
    except OSError:
        return False


@pytest.mark.timeout(180)
@pytest.mark.parametrize("point", DAEMON_POINTS)
async def test_a_daemon_that_dies_there_again_and_again(daemon: Daemon, point: str) -> None:
    dag = small_dag()
    daemon.start()
    effects = daemon.directory / "effects"
    daemon.create("dag", dag.workers(effects))
    daemon.kill()
    assert await die_until_it_has_ended(daemon, "dag", point) > 2
    run = daemon.latest_run("dag")
    assert list(violations(dag, run["id"], daemon.workers_of(run["id"]), read_effects(effects))) == []
    assert run["number"] == 1


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", ["store.before_commit", "store.committed"])
def test_an_acknowledged_create_holds_and_another_is_all_or_nothing(daemon: Daemon, point: str) -> None:
    dag = small_dag()
    for count in range(1, MOST_DEATHS):
        name = f"dag{count}"
        daemon.begin(WATTLE_FAILPOINT=f"{point}:{count}:kill")
        acknowledged = False
        if daemon.becomes_ready():
            with contextlib.suppress(ConnectionError):
                daemon.create(name, dag.workers(daemon.directory / "effects"))
                acknowledged = True
        daemon.kill()
        daemon.start()
        answer = daemon.ask("GET", path_of("workers", name))
        assert answer.status == (200 if acknowledged else answer.status)
        assert answer.status == 404 or len(answer.data) == len(dag.nodes)
        daemon.kill()
        if acknowledged:
            return
    raise AssertionError(f"{MOST_DEATHS} deaths at {point}, and no workflow")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize("point", LAUNCHER_POINTS)
async def test_a_launcher_that_dies_there(daemon: Daemon, point: str, count: int) -> None:
    """Nothing runs twice and no code is made up; what was in its hands is called lost, all else has its true end."""
    dag = small_dag()
    daemon.state_dir.mkdir(parents=True)
    effects = daemon.directory / "effects"
    with start_launcher(daemon.state_dir, WATTLE_LAUNCHER_FAILPOINT=f"{point}:{count}:kill") as launcher:
        daemon.start()
        daemon.create("dag", dag.workers(effects))
        run_id = daemon.start_run("dag")
        assert await asyncio.to_thread(launcher.wait, 30) == -signal.SIGKILL
        await asyncio.to_thread(daemon.wait_for_run, "dag")
    told = daemon.workers_of(run_id)
    assert list(violations(dag, run_id, told, read_effects(effects))) == []
    assert len([name for name, worker in told.items() if is_lost(worker)]) <= SLOTS
    assert daemon.get("/api/health")["launcher"]["pid"] != launcher.pid


async def test_lost_is_tried_again_only_where_that_was_asked_for(daemon: Daemon) -> None:
    daemon.start()
    text = "echo ran >> $WATTLE_WORKER_NAME.effects; while [ ! -e go ]; do sleep 0.01; done"
    shell = {"command": "sh", "args": ["-c", text]}
    daemon.create("held", [{"name": "again", "on_lost": "retry", **shell}, {"name": "once", **shell}])
    run_id = daemon.start_run("held")
    place = daemon.directory / "work" / "held"
    await wait_until(lambda: len(list(place.glob("*.effects"))) == 2, on_timeout="both run")
    signal_launcher(daemon, signal.SIGKILL)
    await wait_until(lambda: daemon.get("/api/health")["workers"]["running"] == 2, on_timeout="both are adopted")
    (place / "go").touch()
    await asyncio.to_thread(daemon.wait_for_run, "held")
    told = daemon.workers_of(run_id)
    assert (told["again"]["status"], told["again"]["attempts"]) == ("completed", 2)
    assert (told["once"]["status"], told["once"]["attempts"], is_lost(told["once"])) == ("failed", 1, True)
    assert (place / "again.effects").read_text() == "ran\nran\n"
    assert (place / "once.effects").read_text() == "ran\n"


def signal_launcher(daemon: Daemon, number: int) -> int:
    """Signals the launcher that the daemon holds; returns its pid."""
    pid = int(daemon.get("/api/health")["launcher"]["pid"])
    os.kill(pid, number)
    return pid


# -- stops ------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", ["store.before_commit", "store.committed", "pump.recorded"])
async def test_a_stop_that_was_committed_is_driven_to_its_end(daemon: Daemon, point: str) -> None:
    """The daemon dies at every passage around the stop; once the stop is on record, no second one is needed."""
    daemon.start()
    shell = {"command": "sh", "args": ["-c", UP], "stop_grace_seconds": 600}
    waiting = {"name": "waits", "command": "true", "after": ["stubborn"]}
    daemon.create("held", [{"name": "stubborn", **shell}, waiting])
    run_id = daemon.start_run("held")
    await wait_until(lambda: "up" in log_of(daemon, "stubborn"), on_timeout="it is up")
    daemon.kill()
    deaths = 0
    for count in range(1, MOST_DEATHS):
        daemon.begin(WATTLE_FAILPOINT=f"{point}:{count}:kill")
        if daemon.becomes_ready() and await died_of_the_stop(daemon):
            deaths += 1
        daemon.wait()
        if stop_is_on_record(daemon):
            break
    assert deaths >= 1
    daemon.start()
    run = await asyncio.to_thread(daemon.wait_for_run, "held")
    told = daemon.workers_of(run_id)
    assert (run["status"], run["reason"]) == ("cancelled", "stopped by request")
    assert (told["stubborn"]["status"], told["stubborn"]["exit_code"]) == ("cancelled", 5)
    assert (told["waits"]["status"], told["waits"]["attempts"]) == ("cancelled", 0)
    assert log_of(daemon, "stubborn").split() == ["up", "TERM"]


async def died_of_the_stop(daemon: Daemon) -> bool:
    try:
        answer = await asyncio.to_thread(daemon.ask, "POST", path_of("workflows", "held", "stop"))
    except ConnectionError:
        return True
    raise AssertionError(f"the stop was answered, and the daemon lives: {answer}")


def stop_is_on_record(daemon: Daemon) -> bool:
    with sqlite3.connect(daemon.state_dir / "wattle.db") as db:
        return bool(db.execute("SELECT count(*) FROM runs WHERE phase = 'stopping'").fetchone()[0])


async def test_a_restart_of_a_worker_goes_on_too(daemon: Daemon) -> None:
    """Killed while the worker tidies up: its next attempt is still to come, exactly one."""
    daemon.start()
    text = (
        "echo up; trap 'echo TERM; while [ ! -e go ]; do sleep 0.01; done; exit 0' TERM; while :; do sleep 0.01; done"
    )
    worker = {
        "name": "again",
        "command": "sh",
        "args": ["-c", f"[ -e go ] || {{ {text}; }}"],
        "stop_grace_seconds": 600,
    }
    daemon.create("held", [worker])
    run_id = daemon.start_run("held")
    await wait_until(lambda: "up" in log_of(daemon, "again"), on_timeout="it is up")
    asked = asyncio.create_task(asyncio.to_thread(ask_and_lose, daemon, path_of("workers", "held", "again", "restart")))
    await wait_until(lambda: "TERM" in log_of(daemon, "again"), on_timeout="it is told to end")
    daemon.kill()
    await asked
    daemon.start()
    (daemon.directory / "work" / "held" / "go").touch()
    run = await asyncio.to_thread(daemon.wait_for_run, "held")
    told = daemon.workers_of(run_id)["again"]
    assert (run["status"], told["status"], told["attempts"]) == ("completed", "completed", 2)


def ask_and_lose(daemon: Daemon, path: str) -> None:
    with contextlib.suppress(ConnectionError):
        daemon.ask("POST", path)


# -- outputs ----------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", ["store.before_commit", "pump.recorded"])
async def test_an_output_from_stdout_stays_one_however_often_the_daemon_dies(daemon: Daemon, point: str) -> None:
    """The file is written before its end is on record: whoever finds it then must know whose it is."""
    daemon.start()
    daemon.create("held", [{"name": "says", "command": "cat text", "outputs": {"data": "said"}}])
    place = daemon.directory / "work" / "held"
    (place / "text").write_text("first\n")
    daemon.kill()
    await die_until_it_has_ended(daemon, "held", point)
    (attempt,) = daemon.get(path_of("workers", "held", "says", "attempts"))
    assert [output["source"] for output in attempt["outputs"]] == ["stdout"]
    assert (place / "said").read_text() == "first\n"
    (place / "text").write_text("second\n")
    daemon.start_run("held")
    await asyncio.to_thread(daemon.wait_for_run, "held")
    assert (place / "said").read_text() == "second\n"


# -- who else may be there --------------------------------------------------------------------------


async def test_a_second_daemon_is_refused_while_the_first_is_frozen(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start()
    daemon.create("held", [{"name": "one", "command": "sh", "args": ["-c", "while [ ! -e go ]; do sleep 0.01; done"]}])
    run_id = daemon.start_run("held")
    await wait_until(lambda: daemon.get("/api/health")["workers"]["running"], on_timeout="it runs")
    daemon.freeze()
    second = Daemon(tmp_path / "second")
    second.state_dir = daemon.state_dir
    second.begin()
    assert await asyncio.to_thread(second.wait) == 75
    assert f"another daemon (pid {daemon.pid}) holds the state directory" in second.log_path.read_text()
    (daemon.directory / "work" / "held" / "go").touch()
    daemon.thaw()
    await asyncio.to_thread(daemon.wait_for_run, "held")
    assert daemon.workers_of(run_id)["one"]["exit_code"] == 0


async def test_a_restart_of_the_host_loses_what_ran_and_signals_nobody(daemon: Daemon) -> None:
    """Another boot id in the database and in the journal: the pids on record are of strangers now."""
    daemon.start()
    shell = {"command": "sh", "args": ["-c", UP], "stop_grace_seconds": 0}
    daemon.create("held", [{"name": "one", **shell}, {"name": "next", "command": "true", "after": ["one"]}])
    run_id = daemon.start_run("held")
    await wait_until(lambda: "up" in log_of(daemon, "one"), on_timeout="it is up")
    pid = daemon.get(path_of("workers", "held", "one", "attempts"))[0]["pid"]
    launcher = int(daemon.get("/api/health")["launcher"]["pid"])
    daemon.kill()
    os.kill(launcher, signal.SIGKILL)
    await wait_until(lambda: not is_alive(launcher), on_timeout="the launcher is gone")
    boot_before_this(daemon)
    daemon.start()
    await asyncio.to_thread(daemon.wait_for_run, "held")
    told = daemon.workers_of(run_id)
    assert (told["one"]["status"], told["next"]["status"]) == ("failed", "cancelled")
    assert told["one"]["reason"].startswith("lost: the host restarted")
    assert is_alive(pid)
    assert log_of(daemon, "one").split() == ["up"]


def boot_before_this(daemon: Daemon) -> None:
    """All that is on record happened before the host started."""
    other = "00000000-0000-0000-0000-000000000000"
    with sqlite3.connect(daemon.state_dir / "wattle.db") as db:
        ((boot_id,),) = db.execute("SELECT boot_id FROM launchers").fetchall()
        db.execute("UPDATE launchers SET boot_id = ?", (other,))
    path = daemon.state_dir / "launcher.journal"
    records, _ = decode(path.read_bytes())
    path.write_bytes(b"".join(encode(text.replace(boot_id, other)) for text in records))


async def test_without_its_journal_nobody_can_say_what_became_of_it(daemon: Daemon) -> None:
    """It may have run or not, so it is not sent again."""
    daemon.start()
    daemon.create("held", [{"name": "one", "command": "sh", "args": ["-c", f"echo ran >> effects; {UP}"]}])
    run_id = daemon.start_run("held")
    await wait_until(lambda: "up" in log_of(daemon, "one"), on_timeout="it is up")
    launcher = int(daemon.get("/api/health")["launcher"]["pid"])
    daemon.kill()
    os.kill(launcher, signal.SIGKILL)
    await wait_until(lambda: not is_alive(launcher), on_timeout="the launcher is gone")
    (daemon.state_dir / "launcher.journal").unlink()
    daemon.start()
    await asyncio.to_thread(daemon.wait_for_run, "held")
    assert "journal is gone" in daemon.workers_of(run_id)["one"]["reason"]
    assert (daemon.directory / "work" / "held" / "effects").read_text() == "ran\n"
