"""Every type of event, on one page. An event is a fact in the past tense with a sequence number."""

from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

EventType = Literal[
    "workflow.created",
    "workflow.replaced",
    "workflow.deleted",
    "worker.deleted",
    "run.started",
    "run.stopping",
    "run.completed",
    "run.failed",
    "run.cancelled",
    "worker.started",
    "worker.retrying",
    "worker.stopping",
    "worker.restarted",
    "worker.completed",
    "worker.failed",
    "worker.cancelled",
]
EVENT_TYPES: Final[tuple[str, ...]] = get_args(EventType)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, to what, and the facts that a reader needs beside it. `at` is UTC text as in the API."""

    at: str
    type: EventType
    workflow_id: int
    run: int | None = None
    worker_id: int | None = None
    attempt_id: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
