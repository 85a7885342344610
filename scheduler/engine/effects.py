"""What the plan asks for. Workers are indices into the run's graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.run import Ended


@dataclass(frozen=True, slots=True)
class Launch:
    """The worker may start as soon as there is a slot."""

    worker: int


@dataclass(frozen=True, slots=True)
class Stop:
    """The worker's attempt is to be stopped; `cause` is one word for the record, `reason` a sentence."""

    worker: int
    cause: str
    reason: str


@dataclass(frozen=True, slots=True)
class StopRun:
    """The run is being stopped as a whole, for the record; each attempt under way has a `Stop` of its own."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wake:
    """Call `on_timer` in `delay_seconds`; until then the worker waits to be launched again."""

    worker: int
    delay_seconds: float
    reason: str
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """The worker has its final status in this run."""

    worker: int
    status: Ended
    reason: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing of the run is left to do."""

    status: Ended
    reason: str | None = None


Effect = Launch | Stop | StopRun | Wake | End | Finish
