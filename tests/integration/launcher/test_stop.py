"""Stopping: TERM first, KILL only after the grace, the whole tree, and never a stranger."""

import os
import signal
from pathlib import Path

import pytest

from tests.helpers.launcher import HELD, LauncherProcess, Line, Message
from tests.helpers.processes import is_alive, state_of
from tests.helpers.waiting import wait_until

NEVER = 600.0
SHORT = 0.3


async def running(launcher: LauncherProcess, line: Line, spec: Message, said: str = "up") -> Message:
    """Starts it; returns when it has told on stdout that it is ready for what comes."""
    line.spawn(spec)
    told = line.running(spec["id"])
    await wait_until(lambda: said in launcher.stdout_of(spec["id"]), on_timeout=f"it says {said!r}")
    return told


# -- TERM, grace, KILL ------------------------------------------------------------------------------


async def test_term_comes_first_and_is_enough(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.spec("sleep", "600")
    line.spawn(spec)
    line.running(spec["id"])
    line.send(["stop", spec["id"], NEVER, "stop"])
    end = line.end_of(spec["id"])
    assert (end["signal"], end["code"], end["cause"]) == (signal.SIGTERM, None, "stop")


async def test_a_worker_may_end_well_within_its_grace(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell("trap 'echo tidied; exit 3' TERM; echo up; while :; do sleep 0.01; done")
    await running(launcher, line, spec)
    line.send(["stop", spec["id"], NEVER, "stop"])
    end = line.end_of(spec["id"])
    assert (end["code"], end["signal"], end["cause"]) == (3, None, "stop")
    assert launcher.stdout_of(spec["id"]).split() == ["up", "tidied"]


async def test_kill_comes_only_after_the_grace(launcher: LauncherProcess, line: Line) -> None:
    """It counts the TERMs that it ignores; what ends it is the KILL."""
    spec = launcher.shell("trap 'echo TERM' TERM; echo up; while :; do sleep 0.01; done")
    await running(launcher, line, spec)
    line.send(["stop", spec["id"], SHORT, "stop"])
    await wait_until(
        lambda: "TERM" in launcher.stdout_of(spec["id"]), on_timeout="TERM arrives", interval_seconds=0.001
    )
    assert spec["id"] in line.listing()
    end = line.end_of(spec["id"])
    assert (end["signal"], end["cause"]) == (signal.SIGKILL, "stop")
    assert launcher.stdout_of(spec["id"]).split() == ["up", "TERM"]
    assert end["at"] - end["started_at"] >= SHORT * 1000


async def test_without_a_grace_there_is_no_term(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell("trap 'echo TERM' TERM; echo up; while :; do sleep 0.01; done")
    await running(launcher, line, spec)
    line.send(["stop", spec["id"], 0, "kill"])
    assert line.end_of(spec["id"])["signal"] == signal.SIGKILL
    assert launcher.stdout_of(spec["id"]).split() == ["up"]


async def test_a_second_stop_may_hurry_but_not_linger(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell("trap '' TERM; echo up; while :; do sleep 0.01; done")
    await running(launcher, line, spec)
    line.send(["stop", spec["id"], NEVER, "stop"], ["stop", spec["id"], 0, "kill"], ["stop", spec["id"], NEVER, "stop"])
    end = line.end_of(spec["id"])
    assert (end["signal"], end["cause"]) == (signal.SIGKILL, "stop")


async def test_a_frozen_worker_can_act_on_the_term(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell("trap 'echo tidied; exit 4' TERM; echo up; while :; do sleep 0.01; done")
    told = await running(launcher, line, spec)
    os.kill(told["pid"], signal.SIGSTOP)
    await wait_until(lambda: state_of(told["pid"]) == "T", on_timeout="it is frozen")
    line.send(["stop", spec["id"], NEVER, "stop"])
    assert line.end_of(spec["id"])["code"] == 4


async def test_a_timeout_is_a_stop_with_its_own_cause(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell("trap '' TERM; while :; do sleep 0.01; done", timeout=0.1, grace=0.1)
    end = line.run(spec)
    assert (end["signal"], end["cause"]) == (signal.SIGKILL, "timeout")
    assert end["at"] - end["started_at"] >= 200


def test_a_worker_that_ends_in_time_never_hears_of_its_timeout(launcher: LauncherProcess, line: Line) -> None:
    end = line.run(launcher.shell("exit 5", timeout=NEVER))
    assert (end["code"], end["cause"]) == (5, None)


@pytest.mark.parametrize("unknown", ["unknown", ""])
def test_to_stop_what_is_not_there_is_nothing(launcher: LauncherProcess, line: Line, unknown: str) -> None:
    line.send(["stop", unknown, 0, "stop"])
    spec = launcher.spec("true")
    line.run(spec)
    line.send(["stop", spec["id"], 0, "stop"])
    assert line.listing()[spec["id"]]["code"] == 0


# -- the whole tree ---------------------------------------------------------------------------------


async def test_a_group_whose_leader_goes_early_has_the_rest_of_the_grace(launcher: LauncherProcess, line: Line) -> None:
    """The leader dies of the TERM at once; its child tidies up slowly and is let."""
    child = "trap 'sleep 0.2; echo tidied; exit' TERM; echo up; while :; do sleep 0.01; done"
    spec = launcher.shell(f'sh -c "{child}" & wait')
    told = await running(launcher, line, spec)
    line.send(["stop", spec["id"], NEVER, "stop"])
    end = line.end_of(spec["id"])
    assert end["signal"] == signal.SIGTERM
    assert launcher.stdout_of(spec["id"]).split() == ["up", "tidied"]
    assert not is_alive(told["pid"])


async def test_a_group_that_does_not_go_is_killed_at_the_grace(launcher: LauncherProcess, line: Line) -> None:
    child = 'trap "echo TERM" TERM; echo up $$; while :; do sleep 0.01; done'
    spec = launcher.shell(f"sh -c '{child}' & wait")
    await running(launcher, line, spec)
    line.send(["stop", spec["id"], SHORT, "stop"])
    end = line.end_of(spec["id"])
    assert end["signal"] == signal.SIGTERM
    _, pid, term = launcher.stdout_of(spec["id"]).split()
    assert term == "TERM"
    await wait_until(lambda: not is_alive(int(pid)), on_timeout="the child ends")


async def test_what_left_the_group_has_the_rest_of_the_grace_too(launcher: LauncherProcess, line: Line) -> None:
    (launcher.work / "tidy").write_text(
        "#!/bin/sh\ntrap 'sleep 0.2; echo tidied; exit' TERM\necho up\nwhile :; do sleep 0.01; done\n"
    )
    (launcher.work / "tidy").chmod(0o755)
    spec = launcher.shell("(setsid ./tidy &); exec sleep 600")
    await running(launcher, line, spec)
    line.send(["stop", spec["id"], NEVER, "stop"])
    assert line.end_of(spec["id"])["signal"] == signal.SIGTERM
    assert launcher.stdout_of(spec["id"]).split() == ["up", "tidied"]


async def test_nothing_of_a_tree_survives(launcher: LauncherProcess, line: Line) -> None:
    """Own sessions, double forks, an ignored TERM; another worker runs beside it and is not touched."""
    stubborn = "trap '' TERM HUP; echo $$ >> pids; while :; do sleep 0.05; done"
    (launcher.work / "stubborn").write_text(f"#!/bin/sh\n{stubborn}\n")
    (launcher.work / "stubborn").chmod(0o755)
    spec = launcher.shell(
        "setsid ./stubborn & (setsid ./stubborn &); (setsid sh -c './stubborn & ./stubborn' &); ./stubborn"
    )
    other = launcher.spec("sleep", "600")
    line.spawn(other, spec)
    beside = line.running(other["id"])["pid"]
    leader = line.running(spec["id"])["pid"]
    pids = await wait_until(lambda: five_of(launcher.work / "pids"), on_timeout="all five are up")
    line.send(["stop", spec["id"], SHORT, "stop"])
    line.end_of(spec["id"])
    await wait_until(lambda: not any(map(is_alive, [leader, *pids])), on_timeout="all are gone")
    assert is_alive(beside)
    line.send(["stop", other["id"], NEVER, "stop"])
    assert line.end_of(other["id"])["signal"] == signal.SIGTERM


def five_of(path: Path) -> list[int]:
    pids = [int(pid) for pid in path.read_text().split()] if path.exists() else []
    return pids if len(pids) == 5 else []


async def test_what_has_wiped_its_environment_ends_when_nothing_else_runs(
    launcher: LauncherProcess, line: Line
) -> None:
    """Neither group, nor descent, nor marker: only that it was left to the launcher betrays it."""
    (launcher.work / "stubborn").write_text("#!/bin/sh\ntrap '' TERM\necho $$ > pid\nwhile :; do sleep 0.05; done\n")
    (launcher.work / "stubborn").chmod(0o755)
    spec = launcher.shell("(env -i PATH=$PATH setsid ./stubborn &); while :; do sleep 0.01; done")
    line.spawn(spec)
    await wait_until((launcher.work / "pid").exists, on_timeout="it is up")
    pid = int(await wait_until((launcher.work / "pid").read_text, on_timeout="it says its pid"))
    line.send(["stop", spec["id"], NEVER, "stop"])
    line.end_of(spec["id"])
    await wait_until(lambda: not is_alive(pid), on_timeout="it is gone")


async def test_a_storm_of_forks_ends(launcher: LauncherProcess, line: Line) -> None:
    """Each forks its successor into a session of its own and ends: there is never the same process to kill."""
    storm = "#!/bin/sh\n[ -e over ] && exit\necho x >> count\nsetsid ./storm &\n"
    (launcher.work / "storm").write_text(storm)
    (launcher.work / "storm").chmod(0o755)
    spec = launcher.shell("./storm; ./storm; ./storm; sleep 600")
    line.spawn(spec)
    count = launcher.work / "count"
    await wait_until(lambda: count.exists() and count.stat().st_size > 60, on_timeout="the storm rages")
    line.send(["stop", spec["id"], SHORT, "stop"])
    line.end_of(spec["id"])

    def is_calm() -> bool:
        table = [path for path in Path("/proc").glob("[0-9]*/environ") if carries(path, spec["id"])]
        return not table

    await wait_until(is_calm, on_timeout="no process of it is left")


def carries(path: Path, attempt_id: str) -> bool:
    try:
        return f"WATTLE_ATTEMPT_ID={attempt_id}".encode() in path.read_bytes()
    except OSError:
        return False


# -- the launcher's own end -------------------------------------------------------------------------


async def test_sigterm_to_the_launcher_stops_everything_with_its_grace(launcher: LauncherProcess, line: Line) -> None:
    kind = launcher.shell("trap 'echo tidied; exit 0' TERM; echo up; while :; do sleep 0.01; done", grace=NEVER)
    stubborn = launcher.shell("trap '' TERM; echo up; while :; do sleep 0.01; done", grace=SHORT)
    line.send(["configure", 2, {"PATH": "/usr/bin:/bin"}])
    queued = launcher.shell("echo ran > queued")
    for spec in (kind, stubborn):
        await running(launcher, line, spec)
    line.spawn(queued)
    line.sync()
    os.kill(launcher.pid, signal.SIGTERM)
    ends = {spec["id"]: line.end_of(spec["id"]) for spec in (kind, stubborn, queued)}
    assert launcher.wait() == 0
    assert (ends[kind["id"]]["code"], ends[kind["id"]]["cause"]) == (0, "launcher")
    assert ends[stubborn["id"]]["signal"] == signal.SIGKILL
    assert ends[queued["id"]]["never_started"]
    assert not (launcher.work / "queued").exists()
    assert not (launcher.state_dir / "launcher.sock").exists()


async def test_the_daemons_end_is_the_same(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell(HELD.format("never"))
    line.spawn(spec)
    line.running(spec["id"])
    line.send(["end"])
    assert line.end_of(spec["id"])["cause"] == "launcher"
    assert launcher.wait() == 0


def test_an_idle_one_leaves_when_asked_a_busy_one_does_not(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell(HELD.format("go"))
    line.spawn(spec)
    line.running(spec["id"])
    line.send(["end_if_idle"])
    line.sync()
    (launcher.work / "go").touch()
    line.end_of(spec["id"])
    line.send(["end_if_idle"])  # its end is not acknowledged yet
    line.sync()
    line.send(["ack", [spec["id"]]], ["end_if_idle"])
    assert launcher.wait() == 0
