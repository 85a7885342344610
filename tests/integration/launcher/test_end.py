"""How attempts end: the true code or signal, kept until it is acknowledged, and nothing left behind."""

import os
import resource
import signal
import socket
from pathlib import Path

import pytest

from tests.helpers.launcher import HELD, PATH, LauncherProcess, Line
from tests.helpers.processes import is_alive, parent_of, state_of
from tests.helpers.waiting import wait_until
from workers.launcher.journal import decode, encode


def children_of(pid: int) -> dict[int, str]:
    """{pid: state letter} of the direct children, defunct ones too."""
    every = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    return {each: state_of(each) for each in every if parent_of(each) == pid}


# -- codes and signals ------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 3, 7, 126, 127, 128, 143, 255])
def test_an_exit_code_is_what_it_was(launcher: LauncherProcess, line: Line, code: int) -> None:
    end = line.run(launcher.shell(f"exit {code}"))
    assert (end["code"], end["signal"], end["cause"]) == (code, None, None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGHUP, 64])
def test_a_death_by_signal_is_no_exit_code(launcher: LauncherProcess, line: Line, number: int) -> None:
    """`exit 143` and death by SIGTERM look the same through a shell; they are told apart here."""
    end = line.run(launcher.shell(f"kill -{int(number)} $$"))
    assert (end["code"], end["signal"], end["cause"]) == (None, number, None)


def test_what_an_attempt_has_used_is_told(launcher: LauncherProcess, line: Line) -> None:
    end = line.run(launcher.spec("python3", "-c", "x = bytearray(200_000_000)\nfor _ in range(2_000_000): pass"))
    assert end["cpu_seconds"] > 0
    assert end["peak_memory_bytes"] > 200_000_000
    assert end["at"] >= end["started_at"]


def test_a_small_worker_is_not_blamed_for_the_launchers_memory(launcher: LauncherProcess, line: Line) -> None:
    assert line.run(launcher.spec("true"))["peak_memory_bytes"] is None


def test_an_end_is_right_under_a_parent_that_ignored_sigchld(launcher: LauncherProcess) -> None:
    """The kernel reaps the children of a process that ignores SIGCHLD by itself, and their codes with them."""
    launcher.kill()
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        launcher.start()
    finally:
        signal.signal(signal.SIGCHLD, before)
    line = launcher.connect()
    assert line.run(launcher.shell("exit 7"))["code"] == 7


# -- kept until acknowledged ------------------------------------------------------------------------


def test_ends_are_kept_for_a_daemon_that_is_away(launcher: LauncherProcess, line: Line) -> None:
    specs = [launcher.shell(f"exit {number}") for number in range(5)]
    line.spawn(*specs)
    assert line.listing()  # they have arrived: what a newer connection finds unread is dropped with the older one
    line.close()
    later = launcher.connect()
    codes = [later.end_of(spec["id"])["code"] if later.listing() else None for spec in specs]
    assert codes == [0, 1, 2, 3, 4]
    later.send(["ack", [specs[0]["id"]]])
    assert sorted(later.listing()) == [spec["id"] for spec in specs[1:]]


async def test_a_worker_goes_on_and_times_out_while_the_daemon_is_away(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell("trap 'exit 9' TERM; echo up; " + HELD.format("never"), timeout=0.2)
    line.spawn(spec)
    line.running(spec["id"])
    line.close()
    await wait_until(lambda: launcher.records(f"X {spec['id']}"), on_timeout="the launcher ends it by itself")
    end = launcher.connect().listing()[spec["id"]]
    assert (end["cause"], end["code"], end["signal"]) in (("timeout", 9, None), ("timeout", None, signal.SIGTERM))


async def test_a_daemon_that_never_reads_is_never_waited_for(launcher: LauncherProcess) -> None:
    """A thousand attempts start and end while nobody takes a byte; whoever comes next hears of all of them."""
    silent = launcher.connect()
    silent.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    specs = [launcher.spec("true") for _ in range(1000)]
    for begin in range(0, len(specs), 50):
        silent.spawn(*specs[begin : begin + 50])
    await wait_until(lambda: len(launcher.records("X ")) == len(specs), on_timeout="all have ended", timeout_seconds=60)
    listing = launcher.connect().listing()
    assert set(listing) == {spec["id"] for spec in specs}
    assert {end["code"] for end in listing.values()} == {0}


def test_a_long_journal_is_compacted_and_forgets_nothing(launcher: LauncherProcess, line: Line) -> None:
    kept, running, over = launcher.shell("exit 3"), launcher.shell(HELD.format("go")), launcher.shell("exit 4")
    line.spawn(kept, running)
    line.running(running["id"])
    line.end_of(kept["id"])
    launcher.kill()
    path = launcher.state_dir / "launcher.journal"
    _, end = decode(path.read_bytes())
    history = b"".join(encode(f"I {number}") + encode(f"A {number}") for number in range(200_000))
    path.write_bytes(path.read_bytes()[:end] + history)
    for _ in range(2):
        launcher.start()
        later = launcher.connect()
        listing = later.listing()
        assert {name: end["state"] for name, end in listing.items()} == {kept["id"]: "exited", running["id"]: "running"}
        assert listing[kept["id"]]["code"] == 3
        later.run(over)
        later.send(["ack", [over["id"]]])
        later.sync()
        assert len(launcher.records()) < 100
        launcher.kill()
    launcher.start()
    later = launcher.connect()
    (launcher.work / "go").touch()
    assert later.end_of(running["id"])["lost"]


# -- nothing left behind ----------------------------------------------------------------------------


async def test_what_the_leader_leaves_in_its_group_ends_with_it(launcher: LauncherProcess, line: Line) -> None:
    """By its group alone: it carries no marker, and it might belong to the other that runs."""
    holder = launcher.shell(HELD.format("go"))
    spec = launcher.shell("trap '' TERM HUP; env -i sleep 600 & env -i sleep 600 & echo $!")
    line.spawn(holder, spec)
    assert line.end_of(spec["id"])["code"] == 0
    pid = int(launcher.stdout_of(spec["id"]))
    await wait_until(lambda: not is_alive(pid), on_timeout="the kernel ends what was killed")
    (launcher.work / "go").touch()
    assert line.end_of(holder["id"])["code"] == 0


async def test_what_left_the_group_ends_too(launcher: LauncherProcess, line: Line) -> None:
    holder = launcher.shell(HELD.format("go"))
    spec = launcher.shell("(setsid sh -c 'echo $$ > daemon; exec sleep 600' &) ; " + HELD.format("daemon"))
    line.spawn(holder, spec)
    assert line.end_of(spec["id"])["code"] == 0
    pid = int(await wait_until((launcher.work / "daemon").read_text, on_timeout="it says its pid"))
    await wait_until(lambda: not is_alive(pid), on_timeout="the double-forked process ends")
    (launcher.work / "go").touch()
    assert line.end_of(holder["id"])["code"] == 0


async def test_what_double_forks_while_its_worker_runs_is_left_alone(launcher: LauncherProcess, line: Line) -> None:
    text = "(setsid sh -c 'echo $$ > daemon; exec sleep 600' &) ; " + HELD.format("go")
    spec, other = launcher.shell(text), launcher.shell("sleep 1.2")
    line.spawn(spec, other)
    await wait_until((launcher.work / "daemon").exists, on_timeout="it forks")
    line.end_of(other["id"])
    assert is_alive(int((launcher.work / "daemon").read_text()))
    (launcher.work / "go").touch()
    line.end_of(spec["id"])


async def test_nobody_stays_defunct(launcher: LauncherProcess, line: Line) -> None:
    """Orphans become the launcher's children; it reaps them, and every attempt, soon."""
    specs = [launcher.shell("for i in 1 2 3; do (setsid sleep 0.0$i &); done") for _ in range(20)]
    line.spawn(*specs)
    for spec in specs:
        line.end_of(spec["id"])
    await wait_until(lambda: not children_of(launcher.pid), on_timeout="all children are reaped")


def test_it_is_the_launcher_whose_children_they_are(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell(HELD.format("go"))
    line.spawn(spec)
    pid = line.running(spec["id"])["pid"]
    assert set(children_of(launcher.pid)) == {pid}
    (launcher.work / "go").touch()
    assert "wattle-launcher" in Path(f"/proc/{launcher.pid}/comm").read_text()


def test_it_runs_without_anything_of_ours(launcher: LauncherProcess) -> None:
    words = Path(f"/proc/{launcher.pid}/cmdline").read_bytes().split(b"\0")
    assert words[1:3] == [b"-I", b"-S"]
    assert f"PATH={PATH}".encode() in Path(f"/proc/{launcher.pid}/environ").read_bytes()


def test_an_end_needs_no_descriptor(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell(HELD.format("go") + "; exit 7")
    line.spawn(spec)
    line.running(spec["id"])
    most = resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, (3, most))
    (launcher.work / "go").touch()
    assert line.end_of(spec["id"])["code"] == 7


# -- a full disk ------------------------------------------------------------------------------------


async def test_a_full_disk_delays_and_loses_nothing(launcher: LauncherProcess, line: Line) -> None:
    """The launcher may not lengthen any file, its own log included, as if the disk were full."""
    running = launcher.shell(HELD.format("go") + "; exit 7")
    line.spawn(running)
    pid = line.running(running["id"])["pid"]
    before = resource.prlimit(launcher.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    late = launcher.shell("exit 3")
    line.spawn(late)
    assert line.until(lambda message: message["type"] == "delayed", "it is told to wait")["id"] == late["id"]
    (launcher.work / "go").touch()
    await wait_until(lambda: state_of(pid) == "Z", on_timeout="it has ended, and nobody reaps it")
    assert {name: end["state"] for name, end in line.listing().items()} == {
        running["id"]: "running",
        late["id"]: "queued",
    }
    line.send(["unknown"])  # which it would like to complain about in its log
    assert line.is_dropped()
    line = launcher.connect()
    resource.prlimit(launcher.pid, resource.RLIMIT_FSIZE, before)
    assert line.end_of(running["id"])["code"] == 7
    assert line.end_of(late["id"])["code"] == 3
