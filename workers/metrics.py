"""Measures what each running attempt's process tree uses, all of them in one pass over /proc, and prints it.

Call `ProcessTreeSampler.sample` in a thread: 50 attempts cost a few milliseconds. An attempt's tree is its leader's
session and everything that descends from it, also through a `setsid` of its own; who was once seen in a tree stays in
it, so that a daemonised child counts on.
"""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

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


class CpuTimes(NamedTuple):
    """CPU seconds of a process: `own`, and `reaped` of the children it has waited for."""

    own: float
    reaped: float


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
                with open(f"/proc/{name}/stat", "rb") as file:
                    table[int(name)] = parse_stat(file.read())
            except (FileNotFoundError, ProcessLookupError):
                continue
    return table


def parse_stat(stat: bytes) -> ProcessRow:
    """One /proc/PID/stat; the command name in it may hold anything, parentheses and spaces too."""
    fields = stat[stat.rindex(b")") + 2 :].split()
    return ProcessRow(int(fields[1]), int(fields[3]), int(fields[19]))


def group_processes(
    table: Mapping[int, ProcessRow], leaders: Mapping[str, int], known: Mapping[int, str] | None = None
) -> dict[str, set[int]]:
    """The pids of each attempt, by session and by descent; a pid belongs to its nearest leader. Pure.

    `known` are pids that were already seen in an attempt: they and what descends from them stay with it.
    """
    owners: dict[int, str | None] = {pid: attempt for pid, attempt in (known or {}).items() if pid in table}
    owners.update({pid: attempt for attempt, pid in leaders.items()})
    groups: dict[str, set[int]] = {attempt: set() for attempt in leaders}
    for pid in table:
        owner = _owner(pid, table, owners)
        if owner in groups:
            groups[owner].add(pid)
    return groups


def _owner(pid: int, table: Mapping[int, ProcessRow], owners: dict[int, str | None]) -> str | None:
    """Walks up parents, and to the session's leader, until somebody's owner is known; remembers it for all passed."""
    passed: list[int] = []
    ...


def descendants(pid: int, table: Mapping[int, ProcessRow]) -> set[int]:
    """`pid` and everything that descends from it or lives in its session."""
    return group_processes(table, {"": pid})[""]
