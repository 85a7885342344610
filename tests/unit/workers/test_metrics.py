"""Measuring process trees: the grouping and the sums as pure functions, then real processes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.waiting import wait_until
from workers.metrics import (
    Identity,
    ProcessRow,
    ProcessTreeSampler,
    Usage,
    cpu_seconds_between,
    descendants,
    format_cpu,
    format_memory,
    format_runtime,
    group_processes,
    parse_stat,
    read_process_table,
)

Start = Callable[..., subprocess.Popen[bytes]]

BURN = """
import os, resource, sys, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
def child(seconds):
    pid = os.fork()
    if pid == 0:
        burn(seconds)
        os._exit(0)
    os.waitpid(pid, 0)
def used():
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both)
for line in sys.stdin:
    exec(line)
    print(used(), flush=True)
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts leaders as the launcher does, each in a session of its own; kills what is left of them."""
    leaders: list[subprocess.Popen[bytes]] = []

    def start(*argv: str) -> subprocess.Popen[bytes]:
        leader = subprocess.Popen(
            argv, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        leaders.append(leader)
        return leader

    yield start
    for leader in leaders:
        for pid in descendants(leader.pid, read_process_table()) | {leader.pid}:
            kill(pid)
        # not communicate(): a stray child would keep the pipe open
        for pipe in (leader.stdin, leader.stdout):
            assert pipe
            pipe.close()
        leader.wait()


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def running(sampler: ProcessTreeSampler, leader_pid: int) -> int:
    return sum(sample.processes for sample in sampler.sample({"a": leader_pid}).values())


def row(parent: int, session: int, ticks: int = 0, *, zombie: bool = False) -> ProcessRow:
    return ProcessRow(parent, session, ticks, zombie)


# ---- which processes belong to an attempt ---------------------------------------------------------------


def test_groups_by_session_and_by_descent() -> None:
    table = {
        1: row(0, 1),
        10: row(1, 10, 1),  # leader of a
        11: row(10, 10, 2),
        12: row(11, 12, 3),  # called setsid
        13: row(12, 12, 4),
        14: row(1, 12, 5),  # its parent ended: found by the session of 12
        15: row(14, 15, 6),
        20: row(1, 20, 1),  # leader of b
        30: row(1, 30, 1),
    }
    assert group_processes(table, {"a": 10, "b": 20, "c": 99}) == {"a": {10, 11, 12, 13, 14, 15}, "b": {20}, "c": set()}
    assert descendants(12, table) == {12, 13, 14, 15}
    assert descendants(99, table) == set()


def test_a_process_belongs_to_the_nearest_leader() -> None:
    table = {10: row(1, 10, 1), 11: row(10, 10, 2), 12: row(11, 12, 3), 13: row(12, 12, 4)}
    assert group_processes(table, {"outer": 10, "inner": 12}) == {"outer": {10, 11}, "inner": {12, 13}}


def test_what_remains_of_a_leader_that_ended_is_found_by_its_session() -> None:
    assert group_processes({11: row(1, 10, 2)}, {"a": 10}) == {"a": {11}}


def test_who_was_known_stays_and_brings_its_children() -> None:
    table = {40: row(1, 40, 5), 41: row(40, 40, 6), 42: row(1, 42, 6)}
    assert group_processes(table, {"a": 10}, known={40: "a", 77: "a"}) == {"a": {40, 41}}


@given(st.permutations(range(2, 30)))
def test_a_chain_is_found_whatever_its_pids_and_however_fast_it_was_started(pids: list[int]) -> None:
    table = {pid: row(parent, 1) for parent, pid in zip([1, *pids], pids, strict=False)}
    assert descendants(pids[0], table) == set(pids)


def test_parses_a_name_that_looks_like_fields() -> None:
    numbers = " ".join(str(number) for number in range(6, 53))
    stat = f"77 (a) R 1 (b 2) S 5 6 70 {numbers}".encode()
    assert parse_stat(stat) == ProcessRow(parent=5, session=70, start_ticks=21, zombie=False)
    assert parse_stat(stat.replace(b") S ", b") Z ")).zombie


# ---- CPU time --------------------------------------------------------------------------------------------


def test_a_child_that_was_waited_for_is_counted_once() -> None:
    parent, child = (10, 1), (11, 2)
    before = {parent: Usage(1, 1.0, 0.0), child: Usage(10, 5.0, 0.5)}
    after = {parent: Usage(1, 1.25, 6.0)}
    assert cpu_seconds_between(before, after) == pytest.approx(0.25 + 0.5)


def test_a_child_nobody_waited_for_takes_nothing_away() -> None:
    before = {(10, 1): Usage(1, 1.0, 3.0), (11, 2): Usage(10, 5.0, 0.0)}
    assert cpu_seconds_between(before, {(10, 1): Usage(1, 2.0, 3.0)}) == 1.0


def test_a_new_process_with_an_old_pid_is_new() -> None:
    assert cpu_seconds_between({(10, 1): Usage(1, 9.0, 0.0)}, {(10, 7): Usage(1, 2.0, 0.0)}) == 2.0


class Tree:
    """A model of processes that fork, burn and are waited for; the truth is what was burned."""

    def __init__(self) -> None:
        self.usages: dict[Identity, Usage] = {(1, 0): Usage(0, 0.0, 0.0)}
        self.burned = 0.0
        self._next_pid = 2

    def act(self, kind: str, which: int) -> None:
        identities = list(self.usages)
        identity = identities[which % len(identities)]
        usage = self.usages[identity]
        if kind == "burn":
            self.burned += 1.0
            self.usages[identity] = usage._replace(own_seconds=usage.own_seconds + 1.0)
        elif kind == "fork":
            self.usages[self._next_pid, 0] = Usage(identity[0], 0.0, 0.0)
            self._next_pid += 1
        elif identity != (1, 0) and all(each.parent != identity[0] for each in self.usages.values()):
            del self.usages[identity]
            heir = (usage.parent, 0)
            inherited = self.usages[heir].reaped_seconds + usage.total_seconds
            self.usages[heir] = self.usages[heir]._replace(reaped_seconds=inherited)


@given(st.lists(st.lists(st.tuples(st.sampled_from(["burn", "fork", "exit"]), st.integers(0, 50)), max_size=20)))
def test_however_children_come_and_go_the_intervals_add_up(intervals: list[list[tuple[str, int]]]) -> None:
    tree = Tree()
    counted = 0.0
    for interval in intervals:
        before = dict(tree.usages)
        for kind, which in interval:
            tree.act(kind, which)
        counted += cpu_seconds_between(before, tree.usages)
        assert counted == tree.burned


# ---- real processes ----------------------------------------------------------------------------------------


async def test_a_tree_with_children_of_both_kinds(start: Start) -> None:
    leader = start("sh", "-c", "sleep 1000 & setsid sleep 1000 & cat; true")
    sampler = ProcessTreeSampler()
    await wait_until(lambda: sampler.sample({"a": leader.pid})["a"].processes == 4, on_timeout="all four are counted")
    sample = sampler.sample({"a": leader.pid})["a"]
    assert sample.memory_bytes > 4 * 100_000
    assert sample.cpu_percent >= 0
    assert abs(sample.sampled_at - time.time()) < 60
    assert len(sampler._processes) == 4
    assert sampler.sample({}) == {}
    assert (sampler._processes, sampler._trees) == ({}, {})


async def test_a_daemonised_child_counts_on_once_it_was_seen(start: Start) -> None:
    leader = start("sh", "-c", "setsid sleep 1000 & cat; true")
    sampler = ProcessTreeSampler()

    def daemonised() -> set[int]:
        table = read_process_table()
        return {pid for pid in descendants(leader.pid, table) if table[pid].session != leader.pid}

    (child,) = await wait_until(daemonised, on_timeout="the child has a session of its own")
    try:
        sampler.sample({"a": leader.pid})
        os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()
        await wait_until(lambda: running(sampler, leader.pid) == 1, on_timeout="only the child is left")
    finally:
        kill(child)
    await wait_until(lambda: not running(sampler, leader.pid), on_timeout="nothing is left")


def test_a_later_process_with_the_pid_of_a_member_is_no_member(start: Start) -> None:
    leader = start("cat")
    sampler = ProcessTreeSampler()
    sampler.sample({"a": leader.pid})
    table = read_process_table()
    assert sampler._known(table) == {leader.pid: "a"}
    later = table[leader.pid]._replace(start_ticks=table[leader.pid].start_ticks + 1)
    assert sampler._known({leader.pid: later}) == {}


def test_cpu_seconds_are_what_the_kernel_says_children_included(start: Start) -> None:
    leader = start(sys.executable, "-c", BURN)
    assert leader.stdin
    assert leader.stdout
    sampler = ProcessTreeSampler()
    seen = 0.0
    for line in (b"burn(0.15)", b"child(0.15)", b"child(0.1); child(0.1)"):
        leader.stdin.write(line + b"\n")
        leader.stdin.flush()
        true_seconds = float(leader.stdout.readline())
        sample = sampler.sample({"a": leader.pid})["a"]
        assert sample.cpu_seconds >= seen
        seen = sample.cpu_seconds
        # ticks of 10 ms, one for each number that is read
        assert sample.cpu_seconds == pytest.approx(true_seconds, abs=0.08)
        assert sample.cpu_percent > 0


def test_two_looks_right_after_one_another_give_the_same_percentage(start: Start) -> None:
    leader = start(sys.executable, "-c", BURN)
    assert leader.stdin
    assert leader.stdout
    leader.stdin.write(b"burn(0.2)\n")
    leader.stdin.flush()
    leader.stdout.readline()
    sampler = ProcessTreeSampler()
    first = sampler.sample({"a": leader.pid})["a"].cpu_percent
    # a minute ahead, so that the next look comes too soon however slow this machine is
    sampler._trees["a"].looked_at = time.clock_gettime(time.CLOCK_BOOTTIME) + 60
    assert sampler.sample({"a": leader.pid})["a"].cpu_percent == first > 0


async def test_a_zombie_is_no_process_and_uses_nothing(start: Start) -> None:
    leader = start("true")
    sampler = ProcessTreeSampler()
    await wait_until(lambda: sampler.sample({"a": leader.pid})["a"].processes == 0, on_timeout="it has ended")
    assert sampler.sample({"a": leader.pid})["a"].memory_bytes == 0
    leader.wait()
    assert sampler.sample({"a": leader.pid}) == {}


def test_many_attempts_at_once(start: Start) -> None:
    leaders = {str(number): start("cat").pid for number in range(20)}
    samples = ProcessTreeSampler().sample(leaders)
    assert {attempt: sample.processes for attempt, sample in samples.items()} == dict.fromkeys(leaders, 1)


# ---- how numbers are printed -------------------------------------------------------------------------------


@pytest.mark.parametrize(("percent", "text"), [(15.5, "15.5%"), (0, "0.0%"), (199.96, "200.0%"), (0.04, "0.0%")])
def test_format_cpu(percent: float, text: str) -> None:
    assert format_cpu(percent) == text


@pytest.mark.parametrize(
    ("memory_bytes", "text"),
    [
        (128 << 20, "128MB"),
        (0, "0MB"),
        (1, "1KB"),
        (512 * 1024, "512KB"),
        ((1 << 20) - 1, "1MB"),
        (1 << 20, "1MB"),
        (3 << 19, "2MB"),
        (5 << 30, "5120MB"),
    ],
)
def test_format_memory(memory_bytes: int, text: str) -> None:
    assert format_memory(memory_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (323, "00:05:23"),
        (0, "00:00:00"),
        (59.99, "00:00:59"),
        (3600, "01:00:00"),
        (360_000, "100:00:00"),
        (-3, "00:00:00"),
    ],
)
def test_format_runtime(seconds: float, text: str) -> None:
    assert format_runtime(seconds) == text
