"""The words for how things stand: the five statuses, and nothing else, for workflows, runs, workers and attempts."""

from typing import Final, Literal, get_args

Status = Literal["created", "running", "completed", "failed", "cancelled"]
Ended = Literal["completed", "failed", "cancelled"]
STATUSES: Final[tuple[str, ...]] = get_args(Status)
ENDED: Final[tuple[str, ...]] = get_args(Ended)
