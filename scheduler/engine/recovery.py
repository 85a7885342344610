"""Bring unfinished runs back into memory after a restart; what became of their attempts, the launcher says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast

from scheduler.engine.effects import StopRun, Wake
from scheduler.engine.runner import Acts, Attempt, Runner
from scheduler.store.runs import StoredAttempt, StoredRun, WorkerState, open_attempts, open_runs, states_of_run
from scheduler.store.workflows import get_workflow_by_id
from schemas.envelope import utc_timestamp
from workers.executor import Report

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from scheduler.engine.definitions import Definition, Definitions
    from scheduler.engine.effects import Effect
    from scheduler.store.database import Database
    from schemas.run import Ended


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run as it stood when the last daemon ended."""

    run: StoredRun
    states: dict[int, WorkerState]
    attempts: list[StoredAttempt]


def read_unfinished(db: sqlite3.Connection) -> list[Unfinished]:
    """Every run that has not ended, with what is on record of its workers."""
    attempts = open_attempts(db)
    return [
        Unfinished(run, states_of_run(db, run.seq), [attempt for attempt in attempts if attempt.run == run.seq])
        for run in open_runs(db)
    ]


async def recover(
    store: Database, definitions: Definitions, make_runner: Callable[[StoredRun, Definition], Runner], acts: Acts
) -> list[Runner]:
    """A runner for every unfinished run, its attempts adopted; what follows from their plans is added to `acts`."""
    runners: list[Runner] = []
    for unfinished in await store.read_many(read_unfinished):
        workflow_id = unfinished.run.workflow_id
        stored = store.read(lambda db, wanted=workflow_id: get_workflow_by_id(db, wanted))  # type: ignore[misc]
        runner = make_runner(unfinished.run, await definitions.get(stored))
        restore(runner, unfinished, acts)
        runners.append(runner)
    return runners


def restore(runner: Runner, unfinished: Unfinished, acts: Acts) -> None:
    """Give a new runner the past that is on record."""
    index = runner.definition.index_by_id
    for stored in unfinished.attempts:
        worker = index[stored.worker_id]
        runner.plan.adopt(worker)
        runner.attempts[worker] = _attempt(runner, worker, stored)
    states = {index[worker_id]: state for worker_id, state in unfinished.states.items()}
    ended = {worker: cast("Ended", state.status) for worker, state in states.items() if state.completed_at}
    attempts = {worker: state.attempts for worker, state in states.items()}
    resting = {
        worker: _seconds_until(state.retry_at)
        for worker, state in states.items()
        if state.phase == "retrying" and worker not in ended and worker not in runner.attempts
    }
    _apply_news(runner, runner.plan.resume(ended, attempts, resting), acts)
    _drive_stops_again(runner, unfinished, acts)


def _apply_news(runner: Runner, effects: list[Effect], acts: Acts) -> None:
    """Do what follows from the record; what is in it (pauses with their reasons, a stop) is not written again."""
    acts.wakes += [(runner, effect.worker, effect.delay_seconds) for effect in effects if isinstance(effect, Wake)]
    runner.apply([effect for effect in effects if not isinstance(effect, Wake | StopRun)], acts)


def _attempt(runner: Runner, worker: int, stored: StoredAttempt) -> Attempt:
    return Attempt(
        id=stored.id,
        runner=runner,
        worker=worker,
        number=stored.number,
        stdout_to=stored.stdout_to,
        boot_id=stored.boot_id,
        journal_id=stored.journal_id,
        pid=stored.pid or 0,
        started_at=_milliseconds(stored.started_at),
        stop_cause=stored.stop_cause,
    )


def _drive_stops_again(runner: Runner, unfinished: Unfinished, acts: Acts) -> None:
    """A stop that was on record goes on: its attempt is signalled again as soon as the launcher answers."""
    for stored in unfinished.attempts:
        if stored.stop_cause is None:
            continue
        worker = runner.definition.index_by_id[stored.worker_id]
        if stored.stop_cause == "restart":
            runner.plan.restart_worker(worker)
        else:
            runner.plan.stop_worker(worker, stored.reason or "stopped by request")
    if unfinished.run.phase == "stopping":
        _apply_news(runner, runner.plan.stop(unfinished.run.reason or "stopped by request"), acts)


def judge_missing(attempt: Attempt, boot_id: str, journal_id: str) -> Report | None:
    """What became of an attempt that a launcher does not list: None if it provably never began (send it again)."""
    if attempt.boot_id != boot_id:
        return Report(attempt.id, "exited", lost="the host restarted while it ran or waited to start")
    if attempt.journal_id != journal_id or attempt.started_at is not None:
        return Report(attempt.id, "exited", lost="the launcher's journal is gone, and with it what became of this")
    if attempt.stop_cause is not None:
        return Report(attempt.id, "exited", never_started=True, cause=attempt.stop_cause)
    return None


def _milliseconds(text: str | None) -> int | None:
    return None if text is None else round(datetime.fromisoformat(text).timestamp() * 1000)


def _seconds_until(text: str | None) -> float:
    if text is None:
        return 0.0
    now = datetime.fromisoformat(utc_timestamp())
    return max(0.0, (datetime.fromisoformat(text) - now).total_seconds())
