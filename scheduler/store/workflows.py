"""Definitions in the store: create, replace, delete (softly), read back as they were given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from scheduler.store.record import write_events
from schemas.errors import WorkerNotFound, WorkflowAlreadyExists, WorkflowAlreadyRunning, WorkflowNotFound
from schemas.events import Event
from schemas.locations import resolve_dir
from schemas.names import nearest

if TYPE_CHECKING:
    import sqlite3

    from schemas.workflow import Workflow

NEAREST_AMONG = 10_000


@dataclass(frozen=True, slots=True)
class StoredWorkflow:
    """One row of `workflows`; times are text, UTC."""

    id: int
    name: str
    working_dir: str
    definition: str
    revision: int
    status: str
    base_run: int
    created_at: str
    started_at: str | None
    completed_at: str | None


@dataclass(frozen=True, slots=True)
class StoredWorker:
    """One row of `workers`; `definition` is JSON."""

    id: int
    name: str
    working_dir: str
    definition: str
    created_at: str


_WORKFLOW = "id, name, working_dir, definition, revision, status, base_run, created_at, started_at, completed_at"
_WORKER = "id, name, working_dir, definition, created_at"


def get_workflow(db: sqlite3.Connection, name: str) -> StoredWorkflow:
    """The living workflow of that name; raises WorkflowNotFound."""
    row = db.execute(f"SELECT {_WORKFLOW} FROM workflows WHERE name = ? AND deleted_at IS NULL", (name,)).fetchone()  # noqa: S608
    if row is None:
        raise WorkflowNotFound(name=name, details=_suggest_workflow(db, name))
    return StoredWorkflow(*row)


def list_workflows(
    db: sqlite3.Connection, status: str | None, limit: int = -1, offset: int = 0
) -> tuple[list[StoredWorkflow], int]:
    """Living workflows in the order of their creation, and how many there are in all."""
    where = "WHERE deleted_at IS NULL AND (?1 IS NULL OR status = ?1)"
    total = int(db.execute(f"SELECT count(*) FROM workflows {where}", (status,)).fetchone()[0])  # noqa: S608
    query = f"SELECT {_WORKFLOW} FROM workflows {where} ORDER BY id LIMIT ?2 OFFSET ?3"  # noqa: S608
    return [StoredWorkflow(*row) for row in db.execute(query, (status, limit, offset))], total


def get_workflow_by_id(db: sqlite3.Connection, workflow_id: int) -> StoredWorkflow:
    """A workflow by its row, deleted or not."""
    row = db.execute(f"SELECT {_WORKFLOW} FROM workflows WHERE id = ?", (workflow_id,)).fetchone()  # noqa: S608
    return StoredWorkflow(*row)


def _suggest_workflow(db: sqlite3.Connection, name: str) -> dict[str, str] | None:
    names = [
        row[0] for row in db.execute("SELECT name FROM workflows WHERE deleted_at IS NULL LIMIT ?", (NEAREST_AMONG,))
    ]
    close = nearest(name, names)
    return {"nearest": close} if close else None


def get_worker(db: sqlite3.Connection, workflow: StoredWorkflow, name: str) -> StoredWorker:
    """The living worker of that name; raises WorkerNotFound."""
    row = db.execute(
        f"SELECT {_WORKER} FROM workers WHERE workflow_id = ? AND name = ? AND deleted_at IS NULL",  # noqa: S608
        (workflow.id, name),
    ).fetchone()
    if row is None:
        names = [worker.name for worker in get_workers(db, workflow.id, limit=NEAREST_AMONG)]
        close = nearest(name, names)
        raise WorkerNotFound(workflow=workflow.name, name=name, details={"nearest": close} if close else None)
    return StoredWorker(*row)


def get_workers(db: sqlite3.Connection, workflow_id: int, limit: int = -1, offset: int = 0) -> list[StoredWorker]:
    """The living workers of a workflow, in the order of their definition."""
    rows = db.execute(
        f"SELECT {_WORKER} FROM workers WHERE workflow_id = ? AND deleted_at IS NULL ORDER BY id LIMIT ? OFFSET ?",  # noqa: S608
        (workflow_id, limit, offset),
    )
    return [StoredWorker(*row) for row in rows]


def get_workers_of_revision(db: sqlite3.Connection, workflow_id: int, revision: int) -> list[StoredWorker]:
    """The workers that a workflow had at a revision, the since deleted ones included."""
    rows = db.execute(
        f"SELECT {_WORKER} FROM workers WHERE workflow_id = ?1 AND since <= ?2"  # noqa: S608
        " AND (until IS NULL OR until > ?2) ORDER BY id",
        (workflow_id, revision),
    )
    return [StoredWorker(*row) for row in rows]


def insert_workflow(db: sqlite3.Connection, workflow: Workflow, working_dir: str, at: str) -> Event:
    """Store a new workflow; raises WorkflowAlreadyExists."""
    if db.execute("SELECT 1 FROM workflows WHERE name = ? AND deleted_at IS NULL", (workflow.name,)).fetchone():
        raise WorkflowAlreadyExists(name=workflow.name)
    cursor = db.execute(
        "INSERT INTO workflows (name, working_dir, definition, created_at) VALUES (?, ?, ?, ?)",
        (workflow.name, working_dir, _own_definition(workflow), at),
    )
    workflow_id = int(cursor.lastrowid or 0)
    _insert_workers(db, workflow_id, 1, workflow, working_dir, at)
    event = Event(at, "workflow.created", workflow_id, data={"workers": len(workflow.workers)})
    write_events(db, [event])
    return event


def replace_workflow(db: sqlite3.Connection, workflow: Workflow, working_dir: str, at: str) -> Event:
    """Give a workflow that does not run another definition; what ran before keeps the old one."""
    stored = get_workflow(db, workflow.name)
    _refuse_while_running(stored)
    revision = stored.revision + 1
    _hide_workers(db, stored.id, revision, at)
    db.execute(
        "UPDATE workflows SET working_dir = ?, definition = ?, revision = revision + 1, status = 'created',"
        " base_run = (SELECT coalesce(max(seq), 0) + 1 FROM runs), started_at = NULL, completed_at = NULL WHERE id = ?",
        (working_dir, _own_definition(workflow), stored.id),
    )
    _insert_workers(db, stored.id, revision, workflow, working_dir, at)
    event = Event(at, "workflow.replaced", stored.id, data={"workers": len(workflow.workers)})
    write_events(db, [event])
    return event


def delete_workflow(db: sqlite3.Connection, name: str, at: str) -> Event:
    """Hide a workflow that does not run, and free its name."""
    stored = get_workflow(db, name)
    _refuse_while_running(stored)
    _hide_workers(db, stored.id, stored.revision + 1, at)
    db.execute("UPDATE workflows SET deleted_at = ? WHERE id = ?", (at, stored.id))
    event = Event(at, "workflow.deleted", stored.id)
    write_events(db, [event])
    return event


def delete_worker(db: sqlite3.Connection, workflow_name: str, name: str, at: str) -> Event:
    """Hide one worker of a workflow that does not run. What depends on it cannot start until it is replaced."""
    stored = get_workflow(db, workflow_name)
    _refuse_while_running(stored)
    worker = get_worker(db, stored, name)
    db.execute("UPDATE workflows SET revision = revision + 1 WHERE id = ?", (stored.id,))
    db.execute("UPDATE workers SET deleted_at = ?, until = ? WHERE id = ?", (at, stored.revision + 1, worker.id))
    event = Event(at, "worker.deleted", stored.id, worker_id=worker.id)
    write_events(db, [event])
    return event


def _refuse_while_running(stored: StoredWorkflow) -> None:
    if stored.status == "running":
        raise WorkflowAlreadyRunning(name=stored.name)


def _own_definition(workflow: Workflow) -> str:
    return workflow.model_dump_json(exclude={"workers"}, exclude_unset=True)


def _hide_workers(db: sqlite3.Connection, workflow_id: int, revision: int, at: str) -> None:
    db.execute(
        "UPDATE workers SET deleted_at = ?, until = ? WHERE workflow_id = ? AND deleted_at IS NULL",
        (at, revision, workflow_id),
    )


def _insert_workers(
    db: sqlite3.Connection, workflow_id: int, revision: int, workflow: Workflow, working_dir: str, at: str
) -> None:
    db.executemany(
        "INSERT INTO workers (workflow_id, name, working_dir, definition, since, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        (
            (
                workflow_id,
                worker.name,
                resolve_dir(worker, working_dir),
                worker.model_dump_json(exclude_unset=True),
                revision,
                at,
            )
            for worker in workflow.workers
        ),
    )


def definition_of(stored: StoredWorkflow, workers: list[StoredWorker]) -> dict[str, object]:
    """The workflow as it was given, ready to be sent again."""
    return {**orjson.loads(stored.definition), "workers": [orjson.loads(worker.definition) for worker in workers]}
