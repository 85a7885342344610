"""Why a worker has not started, in words for a person. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from scheduler.engine.runner import Runner

SHOWN_UPSTREAMS: Final = 3


def why_waiting(runner: Runner, worker: str, slot_reason: str) -> tuple[str, str] | None:
    """(phase, reason) of a worker of a run in progress, None for one that waits for nothing.

    `slot_reason` says how it stands with slots, which is the same for all that could start.
    """
    index = runner.definition.index_by_name.get(worker)
    if index is None:
        return None
    attempt = runner.attempts.get(index)
    if attempt is not None and attempt.delayed:
        return "starting", f"the machine has no room: {attempt.delayed}"
    upstreams = runner.plan.waits_for(index)
    if upstreams:
        return "waiting", f"waits for {_named(runner, upstreams)}"
    if runner.plan.may_launch(index) or (attempt is not None and attempt.started_at is None):
        return "queued", slot_reason
    return None


def _named(runner: Runner, upstreams: list[int]) -> str:
    names = ", ".join(f"'{runner.definition.worker(upstream).name}'" for upstream in upstreams[:SHOWN_UPSTREAMS])
    more = len(upstreams) - SHOWN_UPSTREAMS
    return f"{names} and {more} more" if more > 0 else names
