"""Runs over HTTP: the history of executions, read only."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any

from scheduler.api.app_keys import ENGINE, STORE
from scheduler.api.envelope import answer
from scheduler.api.query import read_page, read_query, read_status
from scheduler.api.shapes import run_shape, run_worker_shape, status_of
from scheduler.store import runs, workflows
from schemas.errors import RunNotFound
from schemas.run import STATUSES

if TYPE_CHECKING:
    import sqlite3

    from aiohttp import web

    from scheduler.store.runs import StoredRun, WorkerState
    from scheduler.store.workflows import StoredWorker


def _stored_run(request: web.Request) -> StoredRun:
    run_id = request.match_info["run"]
    run = request.app[STORE].read(lambda db: runs.get_run(db, run_id))
    if run is None:
        raise RunNotFound(run_id=run_id)
    return run


def _workers_of(db: sqlite3.Connection, run: StoredRun) -> list[tuple[StoredWorker, WorkerState | None]]:
    """The workers that took part in a run, each with its state there."""
    states = runs.states_of_run(db, run.seq)
    members = workflows.get_workers_of_revision(db, run.workflow_id, run.revision)
    return [(worker, states.get(worker.id)) for worker in members if run.target in (None, worker.name)]


async def list_runs(request: web.Request) -> web.Response:
    """Runs, newest first, always paged; of one workflow or of one status."""
    query = read_query(request, "workflow", "status", "page", "page_size")
    status, page = read_status(query), read_page(query, always=True)
    assert page is not None
    workflow = query.get("workflow")
    if workflow is not None:
        workflow = unicodedata.normalize("NFC", workflow)
        request.app[STORE].read(lambda db: workflows.get_workflow(db, workflow))
    found, total = await request.app[STORE].read_many(
        lambda db: runs.list_runs(db, workflow, status, page.size, page.offset)
    )
    return answer(request, [run_shape(run) for run in found], pagination=page.describe(total))


async def get_run(request: web.Request) -> web.Response:
    """One run with its workers counted by status."""
    read_query(request)
    run = _stored_run(request)
    members = await request.app[STORE].read_many(lambda db: _workers_of(db, run))
    counted = Counter(status_of(state) for _, state in members)
    return answer(request, run_shape(run, {status: counted[status] for status in STATUSES}))


async def list_run_workers(request: web.Request) -> web.Response:
    """The workers of one run, each with how its latest attempt ended."""
    query = read_query(request, "status", "page", "page_size")
    status, page = read_status(query), read_page(query)
    run = _stored_run(request)

    def read(db: sqlite3.Connection) -> list[dict[str, Any]]:
        attempts = runs.latest_attempts_of_run(db, run.seq)
        return [
            run_worker_shape(worker, state, attempts.get(worker.id))
            for worker, state in _workers_of(db, run)
            if status in (None, status_of(state))
        ]

    shapes = await request.app[STORE].read_many(read)
    chosen = page.cut(shapes) if page else shapes
    unstarted = {
        shape["name"]: shape
        for shape in chosen
        if shape["status"] == "created" and shape["phase"] in (None, "starting")
    }
    for name, (phase, reason) in request.app[ENGINE].explain_waiting(run.seq, unstarted).items():
        unstarted[name].update(phase=phase, reason=reason)
    return answer(request, chosen, pagination=page.describe(len(shapes)) if page else None)
