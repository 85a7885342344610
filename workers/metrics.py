"""Measures what each running attempt's process tree uses, all of them in one pass over /proc, and prints it.

Call `ProcessTreeSampler.sample` in a thread: 50 attempts cost a few milliseconds. An attempt's tree is its leader's
session and everything that descends from it, also through a `setsid` of its own; who was once seen in a tree stays in
it, so that a daemonised child counts on.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import psutil

SHORTEST_INTERVAL_SECONDS: Final = 0.1
"""CPU time is counted in ticks of 10 ms: over less than this a percentage is noise."""
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_MEGABYTE: Final = 1024 * 1024


class ProcessRow(NamedTuple):
    """One line of the process table. `start_ticks` since boot tells a process from a later one with its pid."""

    parent: int
    session: int
    start_ticks: int
    zombie: bool


Identity: TypeAlias = tuple[int, int]
"""pid and start ticks."""


class Usage(NamedTuple):
    """CPU seconds of one process: its own, and those of the children it has waited for."""

    parent: int
    own_seconds: float
    reaped_seconds: float

    @property
    def total_seconds(self) -> float:
        """What its parent inherits when it waits for it."""
        return self.own_seconds + self.reaped_seconds


_NOTHING_YET: Final = Usage(0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process tree uses.

    `cpu_percent` of one core (two busy cores are 200) since the last sample, or since the leader started for the
    first; `memory_bytes` resident, what is shared counted once per process; `cpu_seconds` used by the tree so far as
    far as it was seen, never falling; `sampled_at` seconds since the epoch.
    """

    cpu_percent: float
    memory_bytes: int
    processes: int
    cpu_seconds: float
    sampled_at: float


def read_process_table() -> dict[int, ProcessRow]:
    """Every process there is now, by pid."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                table[int(name)] = parse_stat(_read_stat(f"/proc/{name}/stat"))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return table


def _read_stat(path: str) -> bytes:
    # plain calls: `open` takes half as long again, for each process of the machine
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def parse_stat(stat: bytes) -> ProcessRow:
    """One /proc/PID/stat; the command name in it may hold anything, parentheses and spaces too."""
    fields = stat[stat.rindex(b")") + 2 :].split()
    return ProcessRow(int(fields[1]), int(fields[3]), int(fields[19]), fields[0] in b"ZX")


def group_processes(
    table: Mapping[int, ProcessRow], leaders: Mapping[str, int], known: Mapping[int, str] | None = None
) -> dict[str, set[int]]:
    """The pids of each attempt by session and by descent; a pid belongs to its nearest leader. Pure.

    `known` are pids that were already seen in an attempt: they and what descends from them stay with it.
    """
    owners = {pid: attempt for pid, attempt in (known or {}).items() if pid in table}
    owners.update({pid: attempt for attempt, pid in leaders.items()})
    # who others descend from is older, so that one round finds nearly all; ties within a tick need another
    pending = sorted((pid for pid in table if pid not in owners), key=lambda pid: (table[pid].start_ticks, pid))
    while pending != (left := [pid for pid in pending if not _inherit(pid, table[pid], owners)]):
        pending = left
    groups: dict[str, set[int]] = {attempt: set() for attempt in leaders}
    for pid, attempt in owners.items():
        if pid in table and attempt in groups:
            groups[attempt].add(pid)
    return groups


def _inherit(pid: int, row: ProcessRow, owners: dict[int, str]) -> bool:
    owner = owners.get(row.session) or owners.get(row.parent)
    if owner is not None:
        owners[pid] = owner
    return owner is not None


def descendants(pid: int, table: Mapping[int, ProcessRow]) -> set[int]:
    """`pid`, everything that descends from it and everything in its session, as far as it is in `table`."""
    return group_processes(table, {"tree": pid})["tree"]


def cpu_seconds_between(before: Mapping[Identity, Usage], now: Mapping[Identity, Usage]) -> float:
    """The CPU seconds a tree used between two looks at it; never negative.

    A process that ended hands its total to the parent that waited for it. What of that was counted while it ran is
    taken off again, so that only its last stretch is added. Pure.
    """
    handed = _handed_over(before, now)
    used = 0.0
    for identity, usage in now.items():
        earlier = before.get(identity, _NOTHING_YET)
        used += max(0.0, usage.own_seconds - earlier.own_seconds)
        used += max(0.0, usage.reaped_seconds - earlier.reaped_seconds - handed.get(identity, 0.0))
    return used


def _handed_over(before: Mapping[Identity, Usage], now: Mapping[Identity, Usage]) -> dict[Identity, float]:
    """What was already counted of processes that are gone, by the nearest ancestor that is still there."""
    identities = {pid: (pid, ticks) for pid, ticks in before}
    handed: dict[Identity, float] = {}
    for gone in before.keys() - now.keys():
        heir: Identity | None = gone
        while heir is not None and heir not in now:
            heir = identities.get(before[heir].parent)
        if heir is not None:
            handed[heir] = handed.get(heir, 0.0) + before[gone].total_seconds
    return handed


class _Tree:
    """What is remembered of an attempt between two samples."""

    __slots__ = ("cpu_percent", "cpu_seconds", "looked_at", "members", "usages")

    def __init__(self, looked_at: float) -> None:
        self.members: frozenset[Identity] = frozenset()
        self.usages: dict[Identity, Usage] = {}
        self.cpu_seconds = 0.0
        self.cpu_percent = 0.0
        self.looked_at = looked_at

    def account(self, usages: dict[Identity, Usage], now: float) -> None:
        """Takes in a look at CLOCK_BOOTTIME `now`."""
        self.members = frozenset(usages)
        elapsed = now - self.looked_at
        if self.usages and elapsed < SHORTEST_INTERVAL_SECONDS:
            return
        used = cpu_seconds_between(self.usages, usages)
        self.cpu_percent = 100.0 * used / max(elapsed, SHORTEST_INTERVAL_SECONDS)
        self.cpu_seconds += used
        self.usages = usages
        self.looked_at = now


class ProcessTreeSampler:
    """Samples the trees of all running attempts. One thread at a time."""

    def __init__(self) -> None:
        self._trees: dict[str, _Tree] = {}
        self._processes: dict[Identity, psutil.Process] = {}

    def sample(self, leaders: Mapping[str, int]) -> dict[str, Sample]:
        """One pass for all: attempt id -> leader pid in, attempt id -> sample out. Blocks, so use a thread.

        An attempt of whose tree nothing is left has no entry. Attempts that are not in `leaders` are forgotten.
        """
        table = read_process_table()
        groups = group_processes(table, leaders, self._known(table))
        self._trees = {attempt: tree for attempt, tree in self._trees.items() if attempt in leaders}
        samples = {attempt: self._sample(attempt, pids, table) for attempt, pids in groups.items() if pids}
        alive = {identity for tree in self._trees.values() for identity in tree.members}
        self._processes = {each: process for each, process in self._processes.items() if each in alive}
        return samples

    def _known(self, table: Mapping[int, ProcessRow]) -> dict[int, str]:
        known = {}
        for attempt, tree in self._trees.items():
            for pid, ticks in tree.members:
                if pid in table and table[pid].start_ticks == ticks:
                    known[pid] = attempt
        return known

    def _sample(self, attempt: str, pids: set[int], table: Mapping[int, ProcessRow]) -> Sample:
        usages: dict[Identity, Usage] = {}
        memory_bytes = 0
        for pid in pids:
            row = table[pid]
            measured = self._measure((pid, row.start_ticks))
            if measured is not None:
                usages[pid, row.start_ticks] = Usage(row.parent, *measured[:2])
                memory_bytes += measured[2]
        tree = self._trees.get(attempt)
        if tree is None:
            born = min(table[pid].start_ticks for pid in pids) / _TICKS_PER_SECOND
            tree = self._trees[attempt] = _Tree(born)
        tree.account(usages, time.clock_gettime(time.CLOCK_BOOTTIME))
        running = sum(not table[pid].zombie for pid in pids)
        return Sample(round(tree.cpu_percent, 1), memory_bytes, running, round(tree.cpu_seconds, 2), time.time())

    def _measure(self, identity: Identity) -> tuple[float, float, int] | None:
        """Own CPU seconds, those of reaped children, resident bytes; None if the process is gone."""
        try:
            process = self._processes.get(identity)
            if process is None:
                process = self._processes[identity] = psutil.Process(identity[0])
            with process.oneshot():
                times = process.cpu_times()
                return times.user + times.system, times.children_user + times.children_system, process.memory_info().rss
        except psutil.Error:
            return None


def format_cpu(percent: float) -> str:
    """`15.5` -> "15.5%"."""
    return f"{percent:.1f}%"


def format_memory(memory_bytes: int) -> str:
    """Whole megabytes of 1024 * 1024 bytes, "128MB"; what is below one in whole kilobytes, "512KB"; nothing is "0MB".

    A small process must not look like none, so kilobytes are rounded up.
    """
    if memory_bytes <= 0:
        return "0MB"
    kilobytes = -(-memory_bytes // 1024)
    return f"{kilobytes}KB" if kilobytes < 1024 else f"{round(memory_bytes / _MEGABYTE)}MB"


def format_runtime(seconds: float) -> str:
    """`323` -> "00:05:23", whole seconds; the hours go on past 99."""
    whole = max(0, int(seconds))
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
