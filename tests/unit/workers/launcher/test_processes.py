"""/proc as the launcher reads it: who belongs to an attempt, and signals that reach nobody else."""

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.processes import is_alive, state_of
from tests.helpers.waiting import wait_until
from workers.launcher.clock import boottime
from workers.launcher.processes import (
    MARKER,
    ProcessTable,
    children_of_self,
    marker_of,
    read_stat,
    read_text,
    signal_process,
)

Start = Callable[..., "subprocess.Popen[str]"]

FAMILY = """
import os, subprocess, sys, time
sleep = ["sleep", "600"]
told = {"leader": os.getpid(), "group": subprocess.Popen(sleep).pid}
told["session"] = subprocess.Popen(sleep, start_new_session=True).pid
told["unmarked"] = subprocess.Popen(sleep, start_new_session=True, env={}).pid
reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(writer, str(os.getpid()).encode())
        os.execvp("sleep", sleep)
    os._exit(0)
os.wait()
told["daemon"] = int(os.read(reader, 20))
print(*(f"{name}={pid}" for name, pid in told.items()), flush=True)
time.sleep(600)
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts processes that end with the test."""
    begun: list[subprocess.Popen[str]] = []

    def begin(*argv: str, **options: object) -> "subprocess.Popen[str]":
        begun.append(subprocess.Popen(argv, text=True, **options))  # type: ignore[call-overload]
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


@pytest.fixture
def family(start: Start) -> Iterator[dict[str, int]]:
    """A leader with the attempt id `the-one`, and everything that it can leave behind."""
    environment = {**os.environ, MARKER: "the-one"}
    leader = start(sys.executable, "-c", FAMILY, env=environment, stdout=subprocess.PIPE, start_new_session=True)
    assert leader.stdout is not None
    pids = {name: int(pid) for name, _, pid in (word.partition("=") for word in leader.stdout.readline().split())}
    yield pids
    for pid in pids.values():
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def ticks_of(pid: int) -> int:
    stat = read_stat(pid)
    assert stat is not None
    return stat.ticks


def test_a_name_cannot_deceive(start: Start, tmp_path: Path) -> None:
    """The second field of /proc/PID/stat is what its owner likes."""
    name = tmp_path / "a) Z 1 (b"
    name.symlink_to("/bin/sleep")
    process = start(str(name), "600")
    stat = read_stat(process.pid)
    assert stat is not None
    assert "a) Z 1 (b" in read_text(f"/proc/{process.pid}/stat")
    assert (stat.parent, stat.state in "SRD") == (os.getpid(), True)


def test_what_is_gone_has_no_stat(start: Start) -> None:
    process = start("true")
    process.wait()
    assert read_stat(process.pid) is None
    assert marker_of(process.pid) is None


async def test_the_marker_is_found_wherever_it_stands(start: Start) -> None:
    for environment, found in (
        ({MARKER: "first", "B": "1"}, "first"),
        ({"A": "1", MARKER: "last"}, "last"),
        ({MARKER: ""}, ""),
        ({f"X{MARKER}": "no", "A": f"{MARKER}=no"}, None),
        ({}, None),
    ):
        process = start("/bin/sleep", "600", env={**environment, "END": ""})
        shown = functools.partial(read_text, f"/proc/{process.pid}/environ")
        await wait_until(shown, on_timeout="the kernel shows the environment")
        assert marker_of(process.pid) == found


def test_our_children(start: Start) -> None:
    process = start("sleep", "600")
    assert process.pid in children_of_self()
    assert os.getppid() not in children_of_self()


def test_the_tree_is_everything_that_belongs_and_nothing_else(family: dict[str, int], start: Start) -> None:
    other = start("sleep", "600", env={**os.environ, MARKER: "the-one-beside"}, start_new_session=True)
    tree = ProcessTable().tree(family["leader"], "the-one")
    assert set(tree) == set(family.values())
    assert other.pid not in tree
    assert tree == {pid: ticks_of(pid) for pid in family.values()}


def test_a_process_that_is_over_belongs_to_nothing(family: dict[str, int]) -> None:
    os.kill(family["group"], signal.SIGKILL)
    while state_of(family["group"]) not in ("", "Z"):
        time.sleep(0.001)
    assert family["group"] not in ProcessTable().tree(family["leader"], "the-one")
    assert ProcessTable().group(family["leader"]) == []


def test_the_table_never_contains_ourselves(start: Start) -> None:
    """Were the leader's id ever ours, a stop would be our own."""
    assert os.getpid() not in ProcessTable().tree(os.getpid(), "nothing")


def test_a_table_grows_old() -> None:
    table = ProcessTable()
    table.taken_at -= 1
    assert not table.is_recent()


async def test_a_signal_reaches_the_process_that_was_seen(start: Start) -> None:
    process = start("sleep", "600")
    signal_process(process.pid, ticks_of(process.pid), signal.SIGUSR1)
    assert process.wait(10) == -signal.SIGUSR1


def test_another_process_with_the_same_id_gets_no_signal(start: Start) -> None:
    process = start("sleep", "600")
    for wrong in (-1, 0, 1, 100):
        signal_process(process.pid, ticks_of(process.pid) + wrong if wrong else 0, signal.SIGKILL)
    # were one of those on its way, this one would come after it
    signal_process(process.pid, ticks_of(process.pid), signal.SIGUSR1)
    assert process.wait(10) == -signal.SIGUSR1


def test_a_signal_to_nobody_is_nothing(start: Start) -> None:
    process = start("true")
    process.wait()
    signal_process(process.pid, 1, signal.SIGKILL)


async def test_a_pid_that_was_given_again_is_left_alone(start: Start) -> None:
    """The same number, forced: the kernel is told where to go on counting."""
    path = Path("/proc/sys/kernel/ns_last_pid")
    if not os.access(path, os.W_OK):
        pytest.skip("forcing a pid needs a writable ns_last_pid, which this container does not give")
    old = start("sleep", "600")
    ticks = ticks_of(old.pid)
    old.kill()
    old.wait()
    a_tick = 1 / os.sysconf("SC_CLK_TCK")
    await wait_until(lambda: boottime() > (ticks + 2) * a_tick, on_timeout="start times differ again")

    def given_again() -> "list[subprocess.Popen[str]]":
        path.write_text(str(old.pid - 1))
        new = start("sleep", "600")
        return [new] if new.pid == old.pid else []

    (new,) = await wait_until(given_again, on_timeout=f"pid {old.pid} is given again")
    signal_process(new.pid, ticks, signal.SIGKILL)
    signal_process(new.pid, ticks_of(new.pid), signal.SIGUSR1)
    assert new.wait(10) == -signal.SIGUSR1
