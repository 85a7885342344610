"""The launcher dies: nothing runs twice, what is not known is called lost, and what lives on is held again."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.helpers.launcher import HELD, LauncherProcess, Line
from tests.helpers.processes import is_alive
from tests.helpers.waiting import wait_until
from workers.launcher.journal import decode, encode

STUBBORN = "trap 'echo TERM' TERM; echo up; while :; do sleep 0.01; done"


def restarted(launcher: LauncherProcess, slots: int = 4) -> Line:
    launcher.kill()
    launcher.start()
    return launcher.connect(slots)


def rewrite_journal(launcher: LauncherProcess, old: str, new: str) -> None:
    """Gives the journal of a dead launcher another past."""
    path = launcher.state_dir / "launcher.journal"
    records, _ = decode(path.read_bytes())
    path.write_bytes(b"".join(encode(text.replace(old, new)) for text in records))


# -- adopted ----------------------------------------------------------------------------------------


async def test_what_runs_is_adopted_and_lost_only_when_it_ends(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell("echo ran >> effects; " + HELD.format("go") + "; exit 3")
    line.spawn(spec)
    told = line.running(spec["id"])
    later = restarted(launcher)
    assert later.hello["attempts"] == 1
    assert later.listing()[spec["id"]] == told
    (launcher.work / "go").touch()
    end = later.end_of(spec["id"])
    assert (end.get("code"), end.get("signal")) == (None, None)
    assert "the launcher that started it died" in end["lost"]
    assert (end["pid"], end["started_at"]) == (told["pid"], told["started_at"])
    assert (launcher.work / "effects").read_text() == "ran\n"


def test_what_was_begun_is_never_forked_again(launcher: LauncherProcess, line: Line) -> None:
    held, over = (
        launcher.shell("echo held >> effects; " + HELD.format("go")),
        launcher.shell("echo over >> effects; exit 3"),
    )
    line.spawn(held, over)
    line.end_of(over["id"])
    line.running(held["id"])
    for _ in range(2):
        later = restarted(launcher)
        later.spawn(held, over)
        later.sync()
        assert (later.end_of(over["id"])["code"], later.running(held["id"])["state"]) == (3, "running")
    (launcher.work / "go").touch()
    later.end_of(held["id"])
    later.spawn(held)
    later.sync()
    assert sorted((launcher.work / "effects").read_text().split()) == ["held", "over"]


def test_what_was_only_queued_is_unknown_and_may_be_sent_again(launcher: LauncherProcess) -> None:
    line = launcher.connect(slots=1)
    held, queued = launcher.shell(HELD.format("go")), launcher.shell("echo ran >> effects")
    line.spawn(held, queued)
    line.running(held["id"])
    later = restarted(launcher, slots=2)
    assert list(later.listing()) == [held["id"]]
    assert later.run(queued)["code"] == 0
    assert (launcher.work / "effects").read_text() == "ran\n"


def test_ends_outlive_the_launcher(launcher: LauncherProcess, line: Line) -> None:
    specs = [launcher.shell("exit 7"), launcher.shell("kill -SEGV $$"), launcher.spec("none-such")]
    line.spawn(*specs)
    for spec in specs:
        line.end_of(spec["id"])
    line.send(["ack", []])
    listing = restarted(launcher).listing()
    ends = [listing[spec["id"]] for spec in specs]
    assert [(end.get("code"), end.get("signal"), end.get("errno")) for end in ends] == [
        (7, None, None),
        (None, signal.SIGSEGV, None),
        (None, None, 2),
    ]
    assert all("lost" not in end for end in ends)


def test_what_was_acknowledged_stays_forgotten(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.spec("true")
    line.run(spec)
    line.send(["ack", [spec["id"]]])
    line.sync()
    assert restarted(launcher).listing() == {}


async def test_what_ended_while_no_launcher_lived_is_lost(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell(HELD.format("go"))
    line.spawn(spec)
    pid = line.running(spec["id"])["pid"]
    launcher.kill()
    (launcher.work / "go").touch()
    await wait_until(lambda: not is_alive(pid), on_timeout="it ends unseen")
    launcher.start()
    assert "nobody saw its end" in launcher.connect().listing()[spec["id"]]["lost"]


# -- what is adopted can be stopped -----------------------------------------------------------------


async def test_an_adopted_one_is_stopped_with_term_and_grace(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell("trap 'echo tidied; exit' TERM; echo up; while :; do sleep 0.01; done")
    line.spawn(spec)
    await wait_until(lambda: "up" in launcher.stdout_of(spec["id"]), on_timeout="it is up")
    later = restarted(launcher)
    later.send(["stop", spec["id"], 600, "stop"])
    end = later.end_of(spec["id"])
    assert (bool(end["lost"]), end["cause"]) == (True, "stop")
    assert launcher.stdout_of(spec["id"]).split() == ["up", "tidied"]


async def test_an_adopted_one_that_does_not_go_is_killed(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell(STUBBORN)
    line.spawn(spec)
    await wait_until(lambda: "up" in launcher.stdout_of(spec["id"]), on_timeout="it is up")
    pid = line.running(spec["id"])["pid"]
    later = restarted(launcher)
    later.send(["stop", spec["id"], 0.3, "stop"])
    later.end_of(spec["id"])
    assert not is_alive(pid)
    assert launcher.stdout_of(spec["id"]).split() == ["up", "TERM"]


async def test_nothing_of_an_adopted_tree_survives_a_stop(launcher: LauncherProcess, line: Line) -> None:
    """Its leader dies of the TERM at once; what ignores it, in the group and out of it, is killed at the grace."""
    (launcher.work / "stubborn").write_text(f"#!/bin/sh\necho $$ >> pids\n{STUBBORN}\n")
    (launcher.work / "stubborn").chmod(0o755)
    spec = launcher.shell("./stubborn & setsid ./stubborn & (setsid ./stubborn &); exec sleep 600")
    line.spawn(spec)
    pids = await wait_until(lambda: three_of(launcher.work / "pids"), on_timeout="all are up")
    later = restarted(launcher)
    later.send(["stop", spec["id"], 0.3, "stop"])
    assert later.end_of(spec["id"])["lost"]
    await wait_until(lambda: not any(map(is_alive, pids)), on_timeout="all are gone")
    assert launcher.stdout_of(spec["id"]).split().count("TERM") == 3


async def test_what_an_adopted_worker_leaves_behind_ends_with_it(launcher: LauncherProcess, line: Line) -> None:
    (launcher.work / "stubborn").write_text(f"#!/bin/sh\necho $$ >> pids\n{STUBBORN}\n")
    (launcher.work / "stubborn").chmod(0o755)
    spec = launcher.shell("./stubborn & setsid ./stubborn & (setsid ./stubborn &); " + HELD.format("go"))
    line.spawn(spec)
    pids = await wait_until(lambda: three_of(launcher.work / "pids"), on_timeout="all are up")
    later = restarted(launcher)
    (launcher.work / "go").touch()
    assert later.end_of(spec["id"])["lost"]
    await wait_until(lambda: not any(map(is_alive, pids)), on_timeout="all are gone")


async def test_what_a_worker_left_while_no_launcher_lived_ends_too(launcher: LauncherProcess, line: Line) -> None:
    (launcher.work / "stubborn").write_text(f"#!/bin/sh\necho $$ >> pids\n{STUBBORN}\n")
    (launcher.work / "stubborn").chmod(0o755)
    spec = launcher.shell("./stubborn & setsid ./stubborn & (setsid ./stubborn &); exec sleep 600")
    line.spawn(spec)
    leader = line.running(spec["id"])["pid"]
    pids = await wait_until(lambda: three_of(launcher.work / "pids"), on_timeout="all are up")
    launcher.kill()
    os.kill(leader, signal.SIGKILL)
    await wait_until(lambda: not is_alive(leader), on_timeout="the leader ends unseen")
    launcher.start()
    assert launcher.connect().listing()[spec["id"]]["lost"]
    await wait_until(lambda: not any(map(is_alive, pids)), on_timeout="all are gone")


def three_of(path: Path) -> list[int]:
    pids = [int(pid) for pid in path.read_text().split()] if path.exists() else []
    return pids if len(pids) == 3 else []


async def test_the_timeout_of_an_adopted_one_goes_on(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell(STUBBORN, timeout=0.5, grace=0.1)
    line.spawn(spec)
    line.running(spec["id"])
    end = restarted(launcher).end_of(spec["id"])
    assert (bool(end["lost"]), end["cause"]) == (True, "timeout")
    assert end["at"] - end["started_at"] >= 600


# -- strangers --------------------------------------------------------------------------------------


async def test_after_a_restart_of_the_host_no_signal_is_sent(launcher: LauncherProcess, line: Line) -> None:
    """The journal is of another boot: the pids in it are now of strangers, though all else fits."""
    specs = [launcher.shell(STUBBORN), launcher.shell("exit 7")]
    line.spawn(*specs)
    line.end_of(specs[1]["id"])
    pid = line.running(specs[0]["id"])["pid"]
    await wait_until(lambda: "up" in launcher.stdout_of(specs[0]["id"]), on_timeout="it is up")
    launcher.kill()
    rewrite_journal(launcher, line.hello["boot_id"], "00000000-0000-0000-0000-000000000000")
    launcher.start()
    later = launcher.connect()
    later.send(["stop", specs[0]["id"], 0, "stop"])
    listing = later.listing()
    assert "the host restarted" in listing[specs[0]["id"]]["lost"]
    assert listing[specs[1]["id"]]["code"] == 7
    later.run(launcher.spec("sleep", "0.6"))  # the sweep has passed, too
    assert is_alive(pid)
    assert launcher.stdout_of(specs[0]["id"]).split() == ["up"]


def test_a_pid_that_was_given_to_another_is_not_adopted(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell(HELD.format("go"))
    line.spawn(spec)
    told = line.running(spec["id"])
    launcher.kill()
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as stranger:
        try:
            # start times count in ticks of 10 ms: the stranger's may be the same
            rewrite_journal(launcher, f" {told['pid']} {told['ticks']} ", f" {stranger.pid} {told['ticks'] - 1} ")
            launcher.start()
            later = launcher.connect()
            later.send(["stop", spec["id"], 0, "stop"])
            assert "nobody saw its end" in later.listing()[spec["id"]]["lost"]
            later.run(launcher.spec("sleep", "0.6"))
            assert is_alive(stranger.pid)
        finally:
            stranger.kill()


# -- planned deaths ---------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["launcher.intent", "launcher.forked", "launcher.pid"])
async def test_it_dies_while_an_attempt_begins(launcher: LauncherProcess, point: str) -> None:
    """Whether it was forked or not is not always known; forked again it is never."""
    launcher.kill()
    launcher.start(WATTLE_LAUNCHER_FAILPOINT=f"{point}:1:kill")
    spec = launcher.shell("echo ran >> effects; " + HELD.format("go"))
    line = launcher.connect()
    line.spawn(spec)
    assert launcher.wait() == -signal.SIGKILL
    launcher.start()
    later = launcher.connect()
    later.spawn(spec)
    effects = launcher.work / "effects"
    if point == "launcher.intent":
        assert "lost" in later.end_of(spec["id"])
        assert not effects.exists()
        return
    await wait_until(effects.exists, on_timeout="it runs")
    assert later.listing()[spec["id"]]["state"] == "running"
    (launcher.work / "go").touch()
    assert "lost" in later.end_of(spec["id"])
    assert effects.read_text() == "ran\n"


@pytest.mark.parametrize(
    ("point", "is_known"),
    [("launcher.peek", False), ("launcher.exit", True), ("launcher.reaped", True)],
)
def test_it_dies_while_an_attempt_ends(launcher: LauncherProcess, point: str, is_known: bool) -> None:
    launcher.kill()
    launcher.start(WATTLE_LAUNCHER_FAILPOINT=f"{point}:1:kill")
    spec = launcher.shell("echo ran >> effects; exit 7")
    line = launcher.connect()
    line.spawn(spec)
    assert launcher.wait() == -signal.SIGKILL
    launcher.start()
    later = launcher.connect()
    later.spawn(spec)
    end = later.end_of(spec["id"])
    assert end.get("code") == (7 if is_known else None)
    assert ("lost" in end) == (not is_known)
    assert (launcher.work / "effects").read_text() == "ran\n"
