"""Whole trees of processes: signal one, end one, and sweep up what the ended left behind."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from .attempt import EXITED, RUNNING, Attempt
from .processes import ProcessTable, children_of_self, marker_of, signal_group, signal_process

if TYPE_CHECKING:
    from collections.abc import Mapping

KILL_ROUNDS = 5
NO_LEADER = -1  # nobody's pid, group or parent


class Trees:
    """Signals to an attempt's tree: its group, its descendants in other sessions, and bearers of its marker."""

    def __init__(self) -> None:
        self._table: ProcessTable | None = None

    def now(self) -> ProcessTable:
        """A look at /proc that is at most a few milliseconds old."""
        if self._table is None or not self._table.is_recent():
            self._table = ProcessTable()
        return self._table

    def members(self, attempt: Attempt) -> dict[int, int]:
        """{pid: start ticks} of its live processes.

        Nothing pins the ids of an adopted attempt's leader and group once that has ended: they may be a stranger's by
        now, so what is left is known by the marker alone.
        """
        table = self.now()
        leader = table.stats.get(attempt.pid)
        is_gone = attempt.adopted and (leader is None or leader.ticks != attempt.ticks)
        return table.tree(NO_LEADER if is_gone else attempt.pid, attempt.id)

    def eldest(self, attempt_id: str) -> int:
        """The pid of the process that has carried the attempt's marker longest, 0 without one."""
        table = self.now()
        return min(table.marked(attempt_id), key=lambda pid: (table.stats[pid].ticks, pid), default=0)

    def left_behind(self, attempt: Attempt) -> bool:
        """Whether anything lives beside its leader."""
        return bool(self.members(attempt).keys() - {attempt.pid})

    def signal(self, attempt: Attempt, number: int) -> int:
        """Signal the whole tree; returns how many live processes the group's own signal did not reach."""
        found = self.members(attempt)
        if not attempt.adopted:
            signal_group(attempt.pid, number)
            for pid in (attempt.pid, *self.now().group(attempt.pid)):
                found.pop(pid, None)
        for pid, ticks in found.items():
            signal_process(pid, ticks, number)
        return len(found)

    def kill(self, attempt: Attempt) -> None:
        """End the tree; whoever forked while we looked is seen in the next round."""
        for _ in range(KILL_ROUNDS):
            self._table = None
            if not self.signal(attempt, signal.SIGKILL):
                return


def sweep_orphans(attempts: Mapping[str, Attempt]) -> int:
    """Reap and end what workers left behind: it was re-parented to us, and its attempt is over.

    Returns how many children we have that are no attempt's leader.
    """
    leaders = {attempt.pid for attempt in attempts.values() if attempt.state == RUNNING}
    strangers = [pid for pid in children_of_self() if pid not in leaders]
    for pid in strangers:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None:
            continue
        marker = marker_of(pid)
        owner = attempts.get(marker or "")
        unclear = marker is None and leaders  # it may belong to any of those that run: let it be
        if not unclear and (owner is None or owner.state == EXITED):
            os.kill(pid, signal.SIGKILL)  # our own unreaped child: the id cannot be anybody else's
    return len(strangers)
