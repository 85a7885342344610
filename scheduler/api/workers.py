"""Workers over HTTP: list, read, start, stop, restart, delete, their schema, metrics and attempts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from scheduler.api.app_keys import ENGINE, SAMPLER, STORE
from scheduler.api.envelope import answer
from scheduler.api.query import read_page, read_query, read_status
from scheduler.api.shapes import attempt_shape, runtime_seconds, status_of, worker_shape, worker_summary
from scheduler.api.workflows import answer_workers, change_definition, stored_workflow
from scheduler.store import runs, workflows
from schemas.messages import data_text
from schemas.worker_schema import worker_json_schema
from workers.metrics import format_cpu, format_memory, format_runtime

if TYPE_CHECKING:
    from aiohttp import web

    from scheduler.store.runs import StoredAttempt, WorkerState
    from scheduler.store.workflows import StoredWorker, StoredWorkflow


def stored_worker(request: web.Request) -> tuple[StoredWorkflow, StoredWorker, WorkerState | None]:
    """The worker that the address names, with how it stands now; raises WorkflowNotFound or WorkerNotFound."""
    stored = stored_workflow(request)
    store = request.app[STORE]
    worker = store.read(lambda db: workflows.get_worker(db, stored, request.match_info["worker"]))
    return stored, worker, store.read(lambda db: runs.current_state(db, worker.id, stored.base_run))


def latest_attempt(request: web.Request, state: WorkerState | None) -> StoredAttempt | None:
    """The attempt that a worker's state speaks of."""
    if state is None or state.attempt_id is None:
        return None
    attempt_id = state.attempt_id
    return request.app[STORE].read(lambda db: runs.get_attempt(db, attempt_id))


async def list_workers(request: web.Request) -> web.Response:
    """The workers of a workflow in short."""
    query = read_query(request, "status", "page", "page_size")
    status, page = read_status(query), read_page(query)
    return await answer_workers(request, status, page, worker_summary)


async def get_worker(request: web.Request) -> web.Response:
    """One worker."""
    read_query(request)
    stored, worker, state = stored_worker(request)
    return answer(request, worker_shape(stored.name, worker, state))


async def get_worker_schema(request: web.Request) -> web.Response:
    """The JSON Schema that every worker's definition must meet."""
    read_query(request)
    stored_worker(request)
    return answer(request, {"schema": worker_json_schema()})


async def start_worker(request: web.Request) -> web.Response:
    """Begin a run of this one worker."""
    read_query(request)
    name, worker = request.match_info["workflow"], request.match_info["worker"]
    run = await asyncio.shield(request.app[ENGINE].start_worker(name, worker))
    return answer(request, data_text("worker_started", workflow=name, name=worker), run=run.id)


async def stop_worker(request: web.Request) -> web.Response:
    """Stop it; answers when its processes are gone."""
    read_query(request)
    name, worker = request.match_info["workflow"], request.match_info["worker"]
    await asyncio.shield(request.app[ENGINE].stop_worker(name, worker))
    return answer(request, data_text("worker_stopped", workflow=name, name=worker))


async def restart_worker(request: web.Request) -> web.Response:
    """Launch it anew, whether it runs or not."""
    read_query(request)
    name, worker = request.match_info["workflow"], request.match_info["worker"]
    await asyncio.shield(request.app[ENGINE].restart_worker(name, worker))
    return answer(request, data_text("worker_restarted", workflow=name, name=worker))


async def delete_worker(request: web.Request) -> web.Response:
    """Hide a worker of a workflow that does not run."""
    read_query(request)
    stored, worker, _ = stored_worker(request)
    await change_definition(
        request, stored.name, lambda db, at: workflows.delete_worker(db, stored.name, worker.name, at)
    )
    return answer(request, data_text("worker_deleted", workflow=stored.name, name=worker.name))


async def list_attempts(request: web.Request) -> web.Response:
    """A worker's attempts in all its runs, newest first, paged."""
    page = read_page(read_query(request, "page", "page_size"), always=True)
    assert page is not None
    _, worker, _ = stored_worker(request)

    def read(db: Any) -> tuple[list[StoredAttempt], int]:
        found = runs.attempts_of_worker(db, worker.id, page.size, page.offset)
        return found, runs.count_attempts(db, worker.id)

    attempts, total = await request.app[STORE].read_many(read)
    return answer(request, [attempt_shape(attempt) for attempt in attempts], pagination=page.describe(total))


async def get_metrics(request: web.Request) -> web.Response:
    """The documented four strings and the numbers behind them: live while it runs, as recorded after the end."""
    read_query(request)
    stored, worker, state = stored_worker(request)
    attempt = latest_attempt(request, state)
    live = request.app[ENGINE].find_attempt(stored.id, worker.name)
    sample = await request.app[SAMPLER].sample_of(live) if live is not None and live.pid else None
    runtime = runtime_seconds(attempt.started_at, attempt.completed_at) if attempt else None
    recorded = attempt.peak_memory_bytes if attempt else None
    memory_bytes = sample.memory_bytes if sample else (recorded or 0)
    metrics: dict[str, Any] = {
        "cpu_usage": format_cpu(sample.cpu_percent if sample else 0.0),
        "memory_usage": format_memory(memory_bytes),
        "runtime": format_runtime(runtime or 0.0),
        "status": status_of(state),
        "cpu_percent": round(sample.cpu_percent, 1) if sample else 0.0,
        "memory_bytes": memory_bytes,
        "runtime_seconds": runtime or 0.0,
        "processes": sample.processes if sample else 0,
    }
    if attempt is not None and attempt.completed_at is not None:
        metrics |= {
            "cpu_seconds": attempt.cpu_seconds,
            "peak_memory_bytes": recorded,
            "exit_code": attempt.exit_code,
            "signal": attempt.signal,
        }
    return answer(request, {"metrics": metrics})
