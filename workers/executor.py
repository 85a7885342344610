"""What the engine asks of whatever can launch processes, and what it is told in return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

State = Literal["queued", "running", "exited"]


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """One attempt, ready to be launched. `logs` is the path that `.out` and `.err` are appended to."""

    id: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    logs: str
    grace_seconds: float = 10.0
    timeout_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class LauncherIdentity:
    """Who holds the processes: an attempt is proven unstarted only by the journal that it was sent to."""

    generation: str
    boot_id: str
    journal_id: str
    pid: int
    protocol: int


@dataclass(frozen=True, slots=True)
class Report:
    """What the launcher says of one attempt. Times are milliseconds since 1970 (UTC); `ticks` since boot.

    An end is exactly one of: `exit_code`, `signal`, `lost` (nobody saw the end), `never_started` (taken back),
    `error_number` (nothing ran; `where` is 'log', 'directory' or 'command').
    """

    id: str
    state: State
    pid: int = 0
    ticks: int = 0
    started_at: int | None = None
    ended_at: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    cause: str | None = None
    lost: str | None = None
    never_started: bool = False
    error_number: int | None = None
    where: str | None = None
    error: str | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Reported:
    """News of attempts, in the order in which it happened."""

    reports: list[Report]


@dataclass(frozen=True, slots=True)
class Connected:
    """A launcher answers (again). `reports` is everything it holds: what is missing there never began with it."""

    identity: LauncherIdentity
    reports: list[Report] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Delayed:
    """The machine had no room to fork; the attempt waits in the launcher and is not burnt."""

    id: str
    reason: str


News = Reported | Connected | Delayed


class Executor(Protocol):
    """Launches, adopts, stops. Verbs return at once and are idempotent; what came of them arrives as news."""

    identity: LauncherIdentity | None

    async def start(self, deliver: Callable[[News], None]) -> None:
        """Connect (starting a launcher if none lives) and keep connected; the first news is `Connected`."""

    def launch(self, specs: Iterable[LaunchSpec]) -> None:
        """Hand attempts over, in this order; the launcher starts them as slots become free."""

    def stop(self, attempt_id: str, grace_seconds: float, cause: str) -> None:
        """TERM now, KILL of the whole tree after the grace; a queued one is taken back."""

    def acknowledge(self, attempt_ids: Iterable[str]) -> None:
        """These ends are on record: the launcher may forget them."""

    async def ping(self, timeout_seconds: float) -> bool:
        """Whether the launcher answers in time."""

    async def close(self, *, end_launcher: bool = False) -> None:
        """Let go; running attempts go on, unless the launcher is told to end with them."""
