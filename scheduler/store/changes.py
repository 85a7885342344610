"""What can happen to a run, as data: the engine decides on changes, `record` writes them with their events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from schemas.run import Ended

RetryEvent = Literal["worker.retrying", "worker.restarted"]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run came to be. `target`: the one worker it is for, None for all; `revision`: what was read of the workflow."""

    seq: int
    id: str
    workflow_id: int
    revision: int
    target: str | None
    at: str


@dataclass(frozen=True, slots=True)
class RunStopping:
    """A stop of the whole run was asked for."""

    seq: int
    workflow_id: int
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Nothing of the run is left to do."""

    seq: int
    workflow_id: int
    status: Ended
    reason: str | None
    at: str


@dataclass(frozen=True, slots=True)
class AttemptIntended:
    """An attempt will be handed to the launcher once this is on disk."""

    id: str
    run: int
    worker_id: int
    number: int
    launcher: int
    stdout_to: str | None
    at: str


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """The attempt's process lives."""

    id: str
    run: int
    workflow_id: int
    worker_id: int
    pid: int
    ticks: int
    at: str


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """The attempt is over, for good. `outputs` is JSON; `phase` is 'lost' when nobody saw the end."""

    id: str
    status: Ended
    phase: str | None
    reason: str | None
    exit_code: int | None
    signal: int | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    outputs: str | None
    started_at: str | None
    at: str


@dataclass(frozen=True, slots=True)
class WorkerStopping:
    """A stop of one running attempt was decided; it is driven again after a restart of the daemon."""

    attempt_id: str
    run: int
    workflow_id: int
    worker_id: int
    cause: str
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class WorkerRetrying:
    """The worker's attempt failed and there will be another at `retry_at`."""

    run: int
    workflow_id: int
    worker_id: int
    reason: str
    retry_at: str
    at: str
    type: RetryEvent = "worker.retrying"


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """The worker has its final status in this run."""

    run: int
    workflow_id: int
    worker_id: int
    status: Ended
    reason: str | None
    error_message: str | None
    at: str


@dataclass(frozen=True, slots=True)
class StdoutCaptured:
    """An output's last writer was our own capture of standard output."""

    path: str
    version: str


Change = (
    RunStarted
    | RunStopping
    | RunEnded
    | AttemptIntended
    | AttemptStarted
    | AttemptEnded
    | WorkerStopping
    | WorkerRetrying
    | WorkerEnded
    | StdoutCaptured
)
