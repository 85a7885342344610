"""What the store's tests share: short ways to say what happened, and to look at what is on record."""

import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from scheduler.store.changes import (
    AttemptEnded,
    AttemptIntended,
    AttemptStarted,
    Change,
    RunEnded,
    RunStarted,
    WorkerEnded,
)
from scheduler.store.database import Database
from scheduler.store.record import record
from scheduler.store.runs import launcher_row
from scheduler.store.workflows import get_workers, get_workflow, insert_workflow
from schemas.events import Event
from schemas.run import Ended
from schemas.workflow import Worker, Workflow


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Database]:
    """An open database in a folder, closed whatever happens; nothing may be fatal to it."""
    fatal: list[BaseException] = []
    store = Database(str(folder / "wattle.db"), fatal.append)
    await store.open()
    try:
        yield store
    finally:
        await store.close()
    assert fatal == []


def at(seconds: int) -> str:
    """A moment of the tests' day."""
    return f"2026-11-20T10:{seconds // 60:02}:{seconds % 60:02}.000Z"


def workflow(name: str = "w", *workers: str, **fields: Any) -> Workflow:
    """A workflow of workers with these names."""
    return Workflow(name=name, workers=[Worker(name=each, command="true") for each in workers or ("a",)], **fields)


def create(db: sqlite3.Connection, name: str = "w", *workers: str) -> int:
    """Create a workflow; returns its id."""
    return insert_workflow(db, workflow(name, *workers), "/work", at(0)).workflow_id


def worker_ids(db: sqlite3.Connection, workflow_id: int) -> dict[str, int]:
    """{name: id} of the living workers."""
    return {worker.name: worker.id for worker in get_workers(db, workflow_id)}


def status_of(db: sqlite3.Connection, name: str = "w") -> str:
    """The status of a workflow."""
    return get_workflow(db, name).status


class Story:
    """Tells the store of one workflow what happens, a second after the other; everything goes through `record`."""

    def __init__(self, db: sqlite3.Connection, name: str = "w", *workers: str) -> None:
        self.db = db
        self.workflow_id = create(db, name, *workers)
        self.workers = worker_ids(db, self.workflow_id)
        self.launcher = launcher_row(db, "boot", "journal")
        self.seconds = 0
        self.runs = 0
        self.attempts: dict[tuple[int, str], int] = {}

    def now(self) -> str:
        self.seconds += 1
        return at(self.seconds)

    def tell(self, *changes: Change) -> list[Event]:
        return record(self.db, changes)

    def start_run(self, target: str | None = None, revision: int = 1) -> int:
        self.runs += 1
        self.tell(RunStarted(self.runs, f"run-{self.runs}", self.workflow_id, revision, target, self.now()))
        return self.runs

    def intend(self, run: int, worker: str) -> str:
        number = self.attempts[run, worker] = self.attempts.get((run, worker), 0) + 1
        attempt_id = f"{run}-{worker}-{number}"
        worker_id = self.workers[worker]
        self.tell(AttemptIntended(attempt_id, run, worker_id, number, self.launcher, None, self.now()))
        return attempt_id

    def started(self, run: int, worker: str) -> list[Event]:
        attempt_id = f"{run}-{worker}-{self.attempts[run, worker]}"
        return self.tell(AttemptStarted(attempt_id, run, self.workflow_id, self.workers[worker], 77, 123, self.now()))

    def attempt_ended(self, run: int, worker: str, status: Ended = "completed", **fields: Any) -> list[Event]:
        attempt_id = f"{run}-{worker}-{self.attempts[run, worker]}"
        return self.tell(attempt_ended(attempt_id, status, at=self.now(), **fields))

    def worker_ended(
        self, run: int, worker: str, status: Ended = "completed", reason: str | None = None
    ) -> list[Event]:
        worker_id = self.workers[worker]
        return self.tell(WorkerEnded(run, self.workflow_id, worker_id, status, reason, None, self.now()))

    def run_ended(self, run: int, status: Ended = "completed", reason: str | None = None) -> list[Event]:
        return self.tell(RunEnded(run, self.workflow_id, status, reason, self.now()))

    def work(self, run: int, worker: str, status: Ended = "completed") -> None:
        """A worker's whole way through a run."""
        self.intend(run, worker)
        self.started(run, worker)
        self.attempt_ended(run, worker, status)
        self.worker_ended(run, worker, status, None if status == "completed" else status)


def attempt_ended(attempt_id: str, status: Ended = "completed", **fields: Any) -> AttemptEnded:
    """An end with nothing remarkable but what is given."""
    nothing: dict[str, Any] = {
        "phase": None,
        "reason": None,
        "exit_code": None,
        "signal": None,
        "cpu_seconds": None,
        "peak_memory_bytes": None,
        "outputs": None,
        "started_at": None,
        "at": at(0),
    }
    return AttemptEnded(id=attempt_id, status=status, **{**nothing, **fields})


def events(db: sqlite3.Connection) -> list[str]:
    """The types of all events, in order."""
    return [row[0] for row in db.execute("SELECT type FROM events ORDER BY seq")]


def snapshot(db: sqlite3.Connection, tables: Iterable[str] = ("workflows", "runs", "run_workers", "attempts")) -> Any:
    """Every row of these tables."""
    return {table: db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables}
