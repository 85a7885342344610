"""Runs, the state of their workers, and attempts, as read back from the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

CREATED = "created"


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One row of `runs` with its workflow's name; times are text, UTC."""

    seq: int
    id: str
    workflow_id: int
    workflow: str
    number: int
    revision: int
    target: str | None
    status: str
    phase: str | None
    reason: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One row of `run_workers`: how a worker stands in a run."""

    run: int
    worker_id: int
    status: str
    phase: str | None
    reason: str | None
    error_message: str | None
    attempt_id: str | None
    attempts: int
    retry_at: str | None
    started_at: str | None
    completed_at: str | None


@dataclass(frozen=True, slots=True)
class StoredAttempt:
    """One row of `attempts` with the id of its run."""

    id: str
    run: int
    run_id: str
    worker_id: int
    number: int
    status: str
    phase: str | None
    reason: str | None
    boot_id: str | None
    journal_id: str | None
    pid: int | None
    exit_code: int | None
    signal: int | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    stdout_to: str | None
    stop_cause: str | None
    outputs: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None


_RUN = (
    "SELECT r.seq, r.id, r.workflow_id, w.name, r.number, r.revision,"
    " r.target, r.status, r.phase, r.reason, r.created_at,"
    " r.started_at, r.completed_at FROM runs r JOIN workflows w ON w.id = r.workflow_id"
)
_STATE = (
    "run, worker_id, status, phase, reason, error_message, attempt_id, attempts, retry_at, started_at, completed_at"
)
_ATTEMPT = (
    "SELECT a.id, a.run, r.id, a.worker_id, a.number, a.status, a.phase, a.reason, l.boot_id, l.journal_id, a.pid,"
    " a.exit_code, a.signal, a.cpu_seconds, a.peak_memory_bytes, a.stdout_to, a.stop_cause, a.outputs, a.created_at,"
    " a.started_at, a.completed_at"
    " FROM attempts a JOIN runs r ON r.seq = a.run LEFT JOIN launchers l ON l.id = a.launcher"
)


def last_run_seq(db: sqlite3.Connection) -> int:
    """The highest sequence number given to a run."""
    return int(db.execute("SELECT coalesce(max(seq), 0) FROM runs").fetchone()[0])


def launcher_row(db: sqlite3.Connection, boot_id: str, journal_id: str) -> int:
    """The row of this launcher's journal in this boot, made if it is new."""
    db.execute("INSERT OR IGNORE INTO launchers (boot_id, journal_id) VALUES (?, ?)", (boot_id, journal_id))
    row = db.execute("SELECT id FROM launchers WHERE boot_id = ? AND journal_id = ?", (boot_id, journal_id)).fetchone()
    return int(row[0])


def open_runs(db: sqlite3.Connection) -> list[StoredRun]:
    """Runs that have not ended, oldest first."""
    return [StoredRun(*row) for row in db.execute(f"{_RUN} WHERE r.completed_at IS NULL ORDER BY r.seq")]


def get_run(db: sqlite3.Connection, run_id: str) -> StoredRun | None:
    """The run with that id."""
    row = db.execute(f"{_RUN} WHERE r.id = ?", (run_id,)).fetchone()
    return StoredRun(*row) if row else None


def list_runs(
    db: sqlite3.Connection, workflow: str | None, status: str | None, limit: int, offset: int
) -> tuple[list[StoredRun], int]:
    """Runs of living workflows, newest first, and how many there are in all."""
    where = " WHERE w.deleted_at IS NULL AND (?1 IS NULL OR w.name = ?1) AND (?2 IS NULL OR r.status = ?2)"
    count = "SELECT count(*) FROM runs r JOIN workflows w ON w.id = r.workflow_id"
    total = int(db.execute(count + where, (workflow, status)).fetchone()[0])
    rows = db.execute(f"{_RUN}{where} ORDER BY r.seq DESC LIMIT ?3 OFFSET ?4", (workflow, status, limit, offset))
    return [StoredRun(*row) for row in rows], total


def states_of_run(db: sqlite3.Connection, run: int) -> dict[int, WorkerState]:
    """{worker id: state} of the workers to which something has happened in a run."""
    rows = db.execute(f"SELECT {_STATE} FROM run_workers WHERE run = ?", (run,))  # noqa: S608
    return {row[1]: WorkerState(*row) for row in rows}


def base_run(db: sqlite3.Connection, workflow_id: int) -> int:
    """The latest run of the whole workflow: older ones say nothing about now."""
    return int(db.execute("SELECT base_run FROM workflows WHERE id = ?", (workflow_id,)).fetchone()[0])


def current_states(db: sqlite3.Connection, workflow_id: int, base_run: int) -> dict[int, WorkerState]:
    """{worker id: state} as of now: the latest whole run, then the runs of single workers after it."""
    rows = db.execute(
        f"SELECT {_STATE} FROM run_workers"  # noqa: S608
        " WHERE run IN (SELECT seq FROM runs WHERE workflow_id = ? AND seq >= ?) ORDER BY run",
        (workflow_id, base_run),
    )
    return {row[1]: WorkerState(*row) for row in rows}


def current_state(db: sqlite3.Connection, worker_id: int, base_run: int) -> WorkerState | None:
    """The state of one worker as of now, None if nothing has happened to it."""
    row = db.execute(
        f"SELECT {_STATE} FROM run_workers WHERE worker_id = ? AND run >= ? ORDER BY run DESC LIMIT 1",  # noqa: S608
        (worker_id, base_run),
    ).fetchone()
    return WorkerState(*row) if row else None


def open_attempts(db: sqlite3.Connection) -> list[StoredAttempt]:
    """Attempts that have not ended."""
    query = f"{_ATTEMPT} WHERE a.completed_at IS NULL ORDER BY +a.id"  # without '+' SQLite goes through all there are
    return [StoredAttempt(*row) for row in db.execute(query)]


def get_attempt(db: sqlite3.Connection, attempt_id: str) -> StoredAttempt | None:
    """One attempt."""
    row = db.execute(f"{_ATTEMPT} WHERE a.id = ?", (attempt_id,)).fetchone()
    return StoredAttempt(*row) if row else None


def attempts_of_worker(db: sqlite3.Connection, worker_id: int, limit: int, offset: int = 0) -> list[StoredAttempt]:
    """A worker's attempts, newest first."""
    rows = db.execute(
        f"{_ATTEMPT} WHERE a.worker_id = ? ORDER BY a.run DESC, a.number DESC LIMIT ? OFFSET ?",
        (worker_id, limit, offset),
    )
    return [StoredAttempt(*row) for row in rows]


def next_attempt(db: sqlite3.Connection, attempt: StoredAttempt) -> StoredAttempt | None:
    """The attempt of the same worker that came after one, None if it was the last."""
    row = db.execute(
        f"{_ATTEMPT} WHERE a.worker_id = ? AND (a.run, a.number) > (?, ?) ORDER BY a.run, a.number LIMIT 1",
        (attempt.worker_id, attempt.run, attempt.number),
    ).fetchone()
    return StoredAttempt(*row) if row else None


def count_attempts(db: sqlite3.Connection, worker_id: int) -> int:
    """How many attempts a worker has had."""
    return int(db.execute("SELECT count(*) FROM attempts WHERE worker_id = ?", (worker_id,)).fetchone()[0])


def latest_attempts_of_run(db: sqlite3.Connection, run: int) -> dict[int, StoredAttempt]:
    """{worker id: its latest attempt} in a run."""
    rows = db.execute(f"{_ATTEMPT} JOIN run_workers s ON s.attempt_id = a.id WHERE s.run = ?", (run,))
    return {row[3]: StoredAttempt(*row) for row in rows}


def stdout_versions(db: sqlite3.Connection, paths: Iterable[str]) -> dict[str, str]:
    """{path: version} of those files whose last recorded writer was our own capture of standard output."""
    query = "SELECT version FROM stdout_outputs WHERE path = ?"
    found = ((path, db.execute(query, (path,)).fetchone()) for path in paths)
    return {path: row[0] for path, row in found if row}


def record_peak_memory(db: sqlite3.Connection, peaks: dict[str, int]) -> None:
    """Keep the highest sampled memory of attempts, in bytes."""
    db.executemany(
        "UPDATE attempts SET peak_memory_bytes = max(coalesce(peak_memory_bytes, 0), ?) WHERE id = ?",
        [(peak, attempt_id) for attempt_id, peak in peaks.items()],
    )
