"""What /proc says about processes, and signals that cannot reach a stranger."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
from typing import NamedTuple

from .clock import boottime

MARKER = "WATTLE_ATTEMPT_ID"
TABLE_AGE_SECONDS = 0.02
OWN_MEMORY_AGE_SECONDS = 0.5


class Stat(NamedTuple):
    """The four fields of /proc/PID/stat that matter here; `ticks` is the start time in clock ticks since boot."""

    state: str
    parent: int
    group: int
    ticks: int


def read_text(path: str) -> str:
    """A small file's text, or '' when it is gone or not ours to read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, 1 << 20).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
    finally:
        os.close(fd)


def read_stat(pid: int) -> Stat | None:
    """A process's `Stat`, None when it is gone. Fields count from behind the last ')': a name may hold anything."""
    fields = read_text(f"/proc/{pid}/stat").rpartition(") ")[2].split()
    return Stat(fields[0], int(fields[1]), int(fields[2]), int(fields[19])) if len(fields) > 19 else None


def all_pids() -> list[int]:
    """Every process id that /proc shows now."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def marker_of(pid: int) -> str | None:
    """The attempt id that a process carries in its environment, None without one."""
    _, found, rest = ("\0" + read_text(f"/proc/{pid}/environ")).partition(f"\0{MARKER}=")
    return rest.partition("\0")[0] if found else None


def children_of_self() -> list[int]:
    """Our own children, adopted ones included."""
    path = f"/proc/self/task/{os.getpid()}/children"
    if os.path.exists(path):
        return [int(pid) for pid in read_text(path).split()]
    return [pid for pid in all_pids() if (stat := read_stat(pid)) and stat.parent == os.getpid()]


class OwnMemory:
    """The most memory that this process has had since its exec, and a MiB for what came since the last look."""

    def __init__(self) -> None:
        self._bytes, self._read_at = 0, -OWN_MEMORY_AGE_SECONDS

    def bytes(self) -> int:
        """As of at most half a second ago."""
        if boottime() - self._read_at >= OWN_MEMORY_AGE_SECONDS:
            peak = read_text("/proc/self/status").partition("VmHWM:")[2].split(maxsplit=1)
            if peak:  # not without a descriptor to read it with
                self._bytes, self._read_at = (int(peak[0]) + 1024) * 1024, boottime()
        return self._bytes


class ProcessTable:
    """One look at /proc, shared by all who ask within a few milliseconds: 200 stops in one message cost one look."""

    def __init__(self) -> None:
        self.taken_at = boottime()
        seen = ((pid, read_stat(pid)) for pid in all_pids())
        self.stats = {pid: stat for pid, stat in seen if stat is not None and stat.state not in "ZX"}
        self._children: dict[int, list[int]] = collections.defaultdict(list)
        for pid, stat in self.stats.items():
            self._children[stat.parent].append(pid)
        self._marked: dict[str, list[int]] | None = None

    def is_recent(self) -> bool:
        """Whether it may still be believed."""
        return boottime() - self.taken_at < TABLE_AGE_SECONDS

    def marked(self, attempt_id: str) -> list[int]:
        """Processes that carry this attempt's marker, wherever their parents went."""
        if self._marked is None:
            self._marked = collections.defaultdict(list)
            for pid in self.stats:
                self._marked[marker_of(pid) or ""].append(pid)
        return self._marked.get(attempt_id, [])

    def group(self, leader: int) -> list[int]:
        """Live members of a process group, other than its leader."""
        return [pid for pid, stat in self.stats.items() if stat.group == leader and pid != leader]

    def tree(self, leader: int, attempt_id: str) -> dict[int, int]:
        """{pid: start ticks} of what belongs to an attempt: leader, group, all descendants, bearers of the marker."""
        tree = {*self.group(leader), *self.marked(attempt_id), *({leader} & self.stats.keys())}
        waiting = [leader, *tree]
        while waiting:
            found = [pid for pid in self._children.get(waiting.pop(), ()) if pid not in tree]
            tree.update(found)
            waiting.extend(found)
        tree.discard(os.getpid())
        return {pid: self.stats[pid].ticks for pid in tree}


def signal_process(pid: int, ticks: int, number: int) -> None:
    """Signal exactly the process that was seen: take its descriptor first, then look at its start time again."""
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            stat = read_stat(pid)
            if stat is not None and stat.ticks == ticks:
                signal.pidfd_send_signal(pidfd, number)
        finally:
            os.close(pidfd)


def signal_group(leader: int, number: int) -> None:
    """Signal a whole group. Safe only while its leader is our own unreaped child, which pins the group's id."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def reset_oom_score(pid: int) -> None:
    """Give a worker the ordinary chance to be killed when memory runs out: the protection is the daemon's, not its."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/oom_score_adj", "w") as file:
        file.write("0")
