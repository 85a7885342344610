"""Workflows over HTTP: list, read, create, replace, delete, start, stop, restart, draw, validate."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from scheduler.api.app_keys import BUS, ENGINE, SETTINGS, STORE
from scheduler.api.definitions import read_definition
from scheduler.api.envelope import answer
from scheduler.api.query import read_choice, read_page, read_query, read_status
from scheduler.api.shapes import graph_shape, status_of, worker_entity, workflow_shape
from scheduler.api.strict_yaml import dump_yaml
from scheduler.state_dir import is_own_dir
from scheduler.store import runs, workflows
from schemas.envelope import utc_timestamp
from schemas.graph import to_dot, to_mermaid
from schemas.messages import data_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from typing import Any

    from scheduler.api.query import Page
    from scheduler.store.runs import WorkerState
    from scheduler.store.workflows import StoredWorker, StoredWorkflow
    from schemas.events import Event


async def list_workflows(request: web.Request) -> web.Response:
    """All living workflows in the order of their creation, or a page of them, or those of one status."""
    query = read_query(request, "status", "page", "page_size")
    status, page = read_status(query), read_page(query)
    limit, offset = (page.size, page.offset) if page else (-1, 0)
    found, total = await request.app[STORE].read_many(lambda db: workflows.list_workflows(db, status, limit, offset))
    shapes = [workflow_shape(stored) for stored in found]
    return answer(request, shapes, pagination=page.describe(total) if page else None)


async def get_workflow(request: web.Request) -> web.Response:
    """One workflow."""
    read_query(request)
    return answer(request, workflow_shape(stored_workflow(request)))


async def create_workflow(request: web.Request) -> web.Response:
    """Store a definition; on disk before the answer."""
    read_query(request)
    workflow, working_dir, graph = await read_definition(request)
    store, engine = request.app[STORE], request.app[ENGINE]
    engine.guard.check()

    async def create() -> None:
        async with engine.alone(workflow.name):
            at = utc_timestamp()
            event = await store.write(lambda db: workflows.insert_workflow(db, workflow, working_dir, at))
            stored = store.read(lambda db: workflows.get_workflow_by_id(db, event.workflow_id))
            await engine.definitions.learn(stored, workflow, graph)
        request.app[BUS].publish([event])

    await asyncio.shield(create())
    return answer(request, data_text("workflow_created", name=workflow.name), status=201)


async def replace_workflow(request: web.Request) -> web.Response:
    """Give a workflow that does not run another definition."""
    read_query(request)
    stored = stored_workflow(request)
    given_dir = stored.working_dir if is_own_dir(request.app[SETTINGS].state_dir, stored.working_dir) else None
    workflow, working_dir, _ = await read_definition(request, name=stored.name, given_dir=given_dir)
    await change_definition(
        request, stored.name, lambda db, at: workflows.replace_workflow(db, workflow, working_dir, at)
    )
    return answer(request, data_text("workflow_replaced", name=stored.name))


async def delete_workflow(request: web.Request) -> web.Response:
    """Hide a workflow that does not run; its name is free again."""
    read_query(request)
    name = request.match_info["workflow"]
    await change_definition(request, name, lambda db, at: workflows.delete_workflow(db, name, at))
    return answer(request, data_text("workflow_deleted", name=name))


async def validate_workflow(request: web.Request) -> web.Response:
    """Check a definition as create does and store nothing."""
    read_query(request)
    workflow, _, graph = await read_definition(request)
    names = graph.names
    levels = [[names[index] for index in level] for level in graph.levels]
    order = [names[index] for index in graph.order]
    return answer(request, {"valid": True, "name": workflow.name, "order": order, "levels": levels})


async def start_workflow(request: web.Request) -> web.Response:
    """Begin a run of all workers."""
    read_query(request)
    name = request.match_info["workflow"]
    run = await asyncio.shield(request.app[ENGINE].start_workflow(name))
    return answer(request, data_text("workflow_started", name=name), run=run.id)


async def stop_workflow(request: web.Request) -> web.Response:
    """Stop what runs of it; answers when its processes are gone."""
    read_query(request)
    name = request.match_info["workflow"]
    await asyncio.shield(request.app[ENGINE].stop_workflow(name))
    return answer(request, data_text("workflow_stopped", name=name))


async def restart_workflow(request: web.Request) -> web.Response:
    """Stop it if it runs, then begin a new run."""
    read_query(request)
    name = request.match_info["workflow"]
    run = await asyncio.shield(request.app[ENGINE].restart_workflow(name))
    return answer(request, data_text("workflow_restarted", name=name), run=run.id)


async def list_entities(request: web.Request) -> web.Response:
    """The workflow's workers as stored entities."""
    query = read_query(request, "status", "page", "page_size")
    status, page = read_status(query), read_page(query)
    return await answer_workers(request, status, page, worker_entity)


async def get_definition(request: web.Request) -> web.Response:
    """The definition as it was given, ready for PUT; as YAML for `?format=yaml` or Accept: application/yaml."""
    query = read_query(request, "format")
    wanted = read_choice(query, "format", ("json", "yaml"))
    stored = stored_workflow(request)
    store = request.app[STORE]
    rows = await store.read_many(lambda db: workflows.get_workers(db, stored.id))
    definition = workflows.definition_of(stored, rows)
    if wanted == "yaml" or (wanted is None and "application/yaml" in request.headers.get("Accept", "")):
        text = await asyncio.to_thread(dump_yaml, definition)
        return web.Response(text=text, content_type="application/yaml")
    return answer(request, definition)


async def get_graph(request: web.Request) -> web.Response:
    """Nodes with their status and level, edges with their labels; as text for `?format=mermaid|dot`."""
    query = read_query(request, "format")
    wanted = read_choice(query, "format", ("json", "mermaid", "dot"))
    stored = stored_workflow(request)
    graph = (await request.app[ENGINE].definitions.get(stored)).graph
    if wanted in ("mermaid", "dot"):
        return web.Response(text=to_mermaid(graph) if wanted == "mermaid" else to_dot(graph))

    def read(db: sqlite3.Connection) -> dict[str, Any]:
        rows = workers_with_states(db, stored, None)
        return graph_shape(graph, {worker.name: status_of(state) for worker, state in rows})

    return answer(request, await request.app[STORE].read_many(read))


# -- shared with workers ------------------------------------------------------------------------------------


def stored_workflow(request: web.Request) -> StoredWorkflow:
    """The workflow that the address names; raises WorkflowNotFound."""
    return request.app[STORE].read(lambda db: workflows.get_workflow(db, request.match_info["workflow"]))


async def change_definition(
    request: web.Request, name: str, change: Callable[[sqlite3.Connection, str], Event]
) -> None:
    """Write `change(db, at)` to a workflow, never between the moments when a start reads it and is on disk.

    Its time is taken then too: the history of runs tells definitions apart by it.
    """
    async with request.app[ENGINE].alone(name):
        at = utc_timestamp()
        event = await request.app[STORE].write(lambda db: change(db, at))
    request.app[BUS].publish([event])


async def answer_workers(
    request: web.Request,
    status: str | None,
    page: Page | None,
    shape: Callable[[str, StoredWorker, WorkerState | None], dict[str, Any]],
) -> web.Response:
    """The workers of the workflow that the address names, each in a shape; made in a thread: there may be 100,000."""
    stored = stored_workflow(request)

    def read(db: sqlite3.Connection) -> tuple[list[dict[str, Any]], int]:
        rows = workers_with_states(db, stored, status)
        chosen = page.cut(rows) if page else rows
        return [shape(stored.name, worker, state) for worker, state in chosen], len(rows)

    shapes, total = await request.app[STORE].read_many(read)
    return answer(request, shapes, pagination=page.describe(total) if page else None)


def workers_with_states(
    db: sqlite3.Connection, stored: StoredWorkflow, status: str | None
) -> list[tuple[StoredWorker, WorkerState | None]]:
    """The workflow's workers, each with how it stands now, all or those of one status."""
    states = runs.current_states(db, stored.id, stored.base_run)
    rows = [(worker, states.get(worker.id)) for worker in workflows.get_workers(db, stored.id)]
    return rows if status is None else [(worker, state) for worker, state in rows if status_of(state) == status]
