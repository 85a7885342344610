"""From a body to a checked definition: parse, resolve, order; the same for create, replace and validate."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from scheduler.api.app_keys import SETTINGS
from scheduler.api.body import read_document
from scheduler.state_dir import own_dir
from scheduler.store.ulid import new_ulid
from schemas.errors import InvalidRequest, ValidationFailed
from schemas.graph import Graph, build_graph
from schemas.workflow import Workflow, parse_workflow

if TYPE_CHECKING:
    from aiohttp import web

THREAD_ABOVE_WORKERS = 50


async def read_definition(
    request: web.Request, *, name: str | None = None, given_dir: str | None = None
) -> tuple[Workflow, str, Graph]:
    """(workflow, its absolute directory, its graph) from the body, or every problem that it has.

    `name` is the one in the URL, which the body may leave out and must not contradict; `given_dir` is the directory
    that a workflow without `working_dir` was given before.
    """
    document = await read_document(request, limit_bytes=request.app[SETTINGS].max_body_bytes)
    if not isinstance(document, dict):
        raise InvalidRequest(reason="the body must be an object with the fields name, working_dir, fail_fast, workers")
    if name is not None:
        given = document.setdefault("name", name)
        if given != name:
            problem = f"is '{given}', but the address names '{name}'; a workflow cannot be renamed"
            raise ValidationFailed(details=[{"path": "name", "message": problem}])
    default_dir = given_dir or own_dir(request.app[SETTINGS].state_dir, new_ulid())
    if _is_large(document):
        return await asyncio.to_thread(_check, document, default_dir)
    return _check(document, default_dir)


def _is_large(document: dict[str, Any]) -> bool:
    workers = document.get("workers")
    return isinstance(workers, list) and len(workers) > THREAD_ABOVE_WORKERS


def _check(document: object, default_dir: str) -> tuple[Workflow, str, Graph]:
    workflow = parse_workflow(document)
    working_dir = workflow.working_dir or default_dir
    return workflow, working_dir, build_graph(workflow, working_dir)
