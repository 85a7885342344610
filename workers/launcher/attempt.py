"""What the launcher knows of one attempt, from the moment it is handed over until its end is acknowledged."""

from __future__ import annotations

from typing import Any

QUEUED, RUNNING, EXITED = "queued", "running", "exited"
DEFAULT_GRACE_SECONDS = 10.0
LONGEST_ID = 64
LONGEST_SECONDS = 1e9


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
        "timeout",
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
        self.timeout: float | None = (spec or {}).get("timeout")  # seconds from the start, None for ever
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


def check_spec(spec: Any) -> None:
    """Raise ValueError for what is not an attempt: found out later, its intent would stand in the journal."""
    if not isinstance(spec, dict) or not _is_id(spec.get("id")):
        raise ValueError("no attempt, or no id")
    argv, texts = spec.get("argv"), (spec.get("cwd"), spec.get("logs"))
    if not isinstance(argv, list) or not argv or not all(isinstance(text, str) for text in (*argv, *texts)):
        raise ValueError("argv, cwd and logs must be text")
    check_environment(spec.get("env"))
    check_seconds(spec.get("grace", DEFAULT_GRACE_SECONDS))
    if spec.get("timeout") is not None:
        check_seconds(spec["timeout"])


def check_environment(environment: Any) -> None:
    """Raise ValueError for anything but names with texts."""
    if not isinstance(environment, dict) or not all(isinstance(text, str) for text in environment.values()):
        raise ValueError("an environment is names with texts")


def check_seconds(seconds: Any) -> None:
    """Raise ValueError for what is no time to wait; TypeError for what is no number."""
    if not 0 <= seconds <= LONGEST_SECONDS:
        raise ValueError(f"not a number of seconds: {seconds!r}")


def _is_id(text: object) -> bool:
    """An id stands in the journal between spaces, and in a file's name."""
    if not isinstance(text, str) or len(text) > LONGEST_ID:
        return False
    return text.isascii() and text.replace("-", "").replace("_", "").isalnum()
