"""The one function that changes a status: it writes the change and its event in the caller's transaction.

What has ended stays as it ended: a change that comes late or twice touches no row, and is no event either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from scheduler.store.changes import (
    AttemptEnded,
    AttemptIntended,
    AttemptStarted,
    Change,
    RunEnded,
    RunStarted,
    RunStopping,
    StdoutCaptured,
    WorkerEnded,
    WorkerRetrying,
    WorkerStopping,
)
from schemas.errors import WorkflowNotFound
from schemas.events import Event

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable


def record(db: sqlite3.Connection, changes: Iterable[Change]) -> list[Event]:
    """Apply changes in order; returns the events that became true with them, for the bus."""
    events: list[Event] = []
    for change in changes:
        event = _WRITERS[type(change)](db, change)
        if event is not None:
            events.append(event)
    write_events(db, events)
    return events


def write_events(db: sqlite3.Connection, events: Iterable[Event]) -> None:
    """Append events to the log."""
    db.executemany(
        "INSERT INTO events (at, type, workflow_id, run, worker_id, attempt_id, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                event.at,
                event.type,
                event.workflow_id,
                event.run,
                event.worker_id,
                event.attempt_id,
                orjson.dumps(event.data).decode() if event.data else None,
            )
            for event in events
        ],
    )


def _run_started(db: sqlite3.Connection, change: RunStarted) -> Event:
    base = "base_run" if change.target is not None else str(int(change.seq))
    row = db.execute(
        f"UPDATE workflows SET status = 'running', started_at = ?, completed_at = NULL, run_count = run_count + 1,"  # noqa: S608
        f" base_run = {base} WHERE id = ? AND revision = ? AND deleted_at IS NULL RETURNING run_count, name",
        (change.at, change.workflow_id, change.revision),
    ).fetchone()
    if row is None:  # replaced or deleted since it was read
        raise WorkflowNotFound(name=_workflow_name(db, change.workflow_id))
    db.execute(
        "INSERT INTO runs (seq, id, workflow_id, number, revision, target, status, created_at, started_at)"
        " VALUES (?, ?, ?, ?, ?, ?, 'running', ?, ?)",
        (change.seq, change.id, change.workflow_id, row[0], change.revision, change.target, change.at, change.at),
    )
    data = {"run_id": change.id, "number": row[0]}
    return Event(change.at, "run.started", change.workflow_id, change.seq, data=data)


def _workflow_name(db: sqlite3.Connection, workflow_id: int) -> str:
    return str(db.execute("SELECT name FROM workflows WHERE id = ?", (workflow_id,)).fetchone()[0])


def _run_stopping(db: sqlite3.Connection, change: RunStopping) -> Event | None:
    stopping = db.execute(
        "UPDATE runs SET phase = 'stopping', reason = ? WHERE seq = ? AND completed_at IS NULL",
        (change.reason, change.seq),
    )
    if stopping.rowcount == 0:
        return None
    return Event(change.at, "run.stopping", change.workflow_id, change.seq, data={"reason": change.reason})


def _run_ended(db: sqlite3.Connection, change: RunEnded) -> Event | None:
    ended = db.execute(
        "UPDATE runs SET status = ?, phase = NULL, reason = ?, completed_at = ? WHERE seq = ? AND completed_at IS NULL",
        (change.status, change.reason, change.at, change.seq),
    )
    if ended.rowcount == 0:
        return None
    db.execute(
        # the latest run that has not ended, else the latest; each by its index, however many there have been
        "UPDATE workflows SET (status, completed_at) = (SELECT status, completed_at FROM runs WHERE seq = coalesce("
        "(SELECT max(seq) FROM runs INDEXED BY runs_open WHERE workflow_id = ?1 AND completed_at IS NULL),"
        " (SELECT max(seq) FROM runs WHERE workflow_id = ?1))) WHERE id = ?1",
        (change.workflow_id,),
    )
    event_type: Any = f"run.{change.status}"
    return Event(change.at, event_type, change.workflow_id, change.seq, data={"reason": change.reason})


def _attempt_intended(db: sqlite3.Connection, change: AttemptIntended) -> None:
    db.execute(
        "INSERT INTO attempts (id, run, worker_id, number, status, phase, launcher, stdout_to, created_at)"
        " VALUES (?, ?, ?, ?, 'created', 'starting', ?, ?, ?)",
        (change.id, change.run, change.worker_id, change.number, change.launcher, change.stdout_to, change.at),
    )
    db.execute(
        "INSERT INTO run_workers (run, worker_id, status, phase, attempt_id, attempts)"
        " VALUES (?, ?, 'created', 'starting', ?, ?)"
        " ON CONFLICT DO UPDATE SET phase = 'starting', attempt_id = excluded.attempt_id,"
        " attempts = excluded.attempts, reason = NULL, retry_at = NULL WHERE completed_at IS NULL",
        (change.run, change.worker_id, change.id, change.number),
    )


def _attempt_started(db: sqlite3.Connection, change: AttemptStarted) -> Event | None:
    began = db.execute(
        "UPDATE attempts SET status = 'running', phase = NULL, pid = ?, ticks = ?, started_at = ?"
        " WHERE id = ? AND completed_at IS NULL AND status = 'created'",
        (change.pid, change.ticks, change.at, change.id),
    )
    if began.rowcount == 0:  # known already: a launcher tells the same again after every connection
        return None
    db.execute(
        "UPDATE run_workers SET status = 'running', phase = NULL, started_at = coalesce(started_at, ?)"
        " WHERE run = ? AND worker_id = ? AND completed_at IS NULL",
        (change.at, change.run, change.worker_id),
    )
    return Event(
        change.at,
        "worker.started",
        change.workflow_id,
        change.run,
        change.worker_id,
        change.id,
        {"pid": change.pid},
    )


def _attempt_ended(db: sqlite3.Connection, change: AttemptEnded) -> None:
    db.execute(
        "UPDATE attempts SET status = ?, phase = ?, reason = ?, exit_code = ?, signal = ?, cpu_seconds = ?,"
        " peak_memory_bytes = coalesce(?, peak_memory_bytes), outputs = ?, started_at = coalesce(started_at, ?),"
        " completed_at = ? WHERE id = ? AND completed_at IS NULL",
        (
            change.status,
            change.phase,
            change.reason,
            change.exit_code,
            change.signal,
            change.cpu_seconds,
            change.peak_memory_bytes,
            change.outputs,
            change.started_at,
            change.at,
            change.id,
        ),
    )


def _worker_stopping(db: sqlite3.Connection, change: WorkerStopping) -> Event | None:
    stopping = db.execute(
        "UPDATE attempts SET stop_cause = ?, phase = 'stopping', reason = ? WHERE id = ? AND completed_at IS NULL",
        (change.cause, change.reason, change.attempt_id),
    )
    if stopping.rowcount == 0:
        return None
    db.execute(
        "UPDATE run_workers SET phase = 'stopping', reason = ?"
        " WHERE run = ? AND worker_id = ? AND completed_at IS NULL",
        (change.reason, change.run, change.worker_id),
    )
    return Event(
        change.at,
        "worker.stopping",
        change.workflow_id,
        change.run,
        change.worker_id,
        change.attempt_id,
        {"reason": change.reason},
    )


def _worker_retrying(db: sqlite3.Connection, change: WorkerRetrying) -> Event | None:
    resting = db.execute(
        "UPDATE run_workers SET status = 'created', phase = 'retrying', reason = ?, retry_at = ?"
        " WHERE run = ? AND worker_id = ? AND completed_at IS NULL",
        (change.reason, change.retry_at, change.run, change.worker_id),
    )
    if resting.rowcount == 0:
        return None
    data = {"reason": change.reason, "retry_at": change.retry_at}
    return Event(change.at, change.type, change.workflow_id, change.run, change.worker_id, data=data)


def _worker_ended(db: sqlite3.Connection, change: WorkerEnded) -> Event | None:
    ended = db.execute(
        "INSERT INTO run_workers (run, worker_id, status, reason, error_message, completed_at)"
        " VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET status = excluded.status, phase = NULL, reason = excluded.reason, retry_at = NULL,"
        " error_message = excluded.error_message, completed_at = excluded.completed_at WHERE completed_at IS NULL",
        (change.run, change.worker_id, change.status, change.reason, change.error_message, change.at),
    )
    if ended.rowcount == 0:
        return None
    event_type: Any = f"worker.{change.status}"
    data = {"reason": change.reason} if change.reason else {}
    return Event(change.at, event_type, change.workflow_id, change.run, change.worker_id, data=data)


def _stdout_captured(db: sqlite3.Connection, change: StdoutCaptured) -> None:
    db.execute("INSERT OR REPLACE INTO stdout_outputs VALUES (?, ?)", (change.path, change.version))


_WRITERS: dict[type, Callable[[sqlite3.Connection, Any], Event | None]] = {
    RunStarted: _run_started,
    RunStopping: _run_stopping,
    RunEnded: _run_ended,
    AttemptIntended: _attempt_intended,
    AttemptStarted: _attempt_started,
    AttemptEnded: _attempt_ended,
    WorkerStopping: _worker_stopping,
    WorkerRetrying: _worker_retrying,
    WorkerEnded: _worker_ended,
    StdoutCaptured: _stdout_captured,
}
