"""What the launcher knows of one attempt, from the moment it is handed over until its end is acknowledged."""

from __future__ import annotations

from typing import Any

QUEUED, RUNNING, EXITED = "queued", "running", "exited"
DEFAULT_GRACE_SECONDS = 10.0


class Attempt:
    """One launch of one process: `queued`, then `running`, then `exited` (which may mean that it never started)."""

    __slots__ = (
        "adopted",
        "cause",
        "end",
        "grace",
        "id",
        "kill_at",
        "leader_ended",
        "pid",
        "pidfd",
        "refusals",
        "spec",
        "started_at",
        "state",
        "ticks",
    )

    def __init__(self, attempt_id: str, spec: dict[str, Any] | None = None) -> None:
        self.id = attempt_id
        self.spec = spec  # dropped once it runs
        self.state = QUEUED
        self.pid = 0
        self.ticks = 0
        self.started_at: int | None = None  # milliseconds since 1970
        self.pidfd = -1
        self.grace = float((spec or {}).get("grace", DEFAULT_GRACE_SECONDS))
        self.cause: str | None = None  # why it is being stopped
        self.kill_at: float | None = None  # when KILL follows TERM, boottime
        self.leader_ended = False  # seen, but not reaped yet
        self.refusals = 0  # times the machine had no room for it
        self.adopted = False  # a child of a launcher that died, not ours
        self.end: dict[str, Any] | None = None

    def state_message(self) -> dict[str, Any]:
        """The attempt as the daemon reads it."""
        if self.end is not None:
            return self.end
        return {
            "type": "attempt",
            "id": self.id,
            "state": self.state,
            "pid": self.pid,
            "ticks": self.ticks,
            "started_at": self.started_at,
        }
