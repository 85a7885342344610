"""The documented shapes of workflows, workers, runs and attempts, made from rows. Pure."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from scheduler.store.runs import StoredAttempt, StoredRun, WorkerState
    from scheduler.store.workflows import StoredWorker, StoredWorkflow
    from schemas.graph import Graph


def workflow_shape(stored: StoredWorkflow) -> dict[str, Any]:
    """WorkflowEntity of the reference."""
    return {
        "name": stored.name,
        "working_dir": stored.working_dir,
        "status": stored.status,
        "created_at": stored.created_at,
        "started_at": stored.started_at,
        "completed_at": stored.completed_at,
        "deleted_at": None,
    }


def _as_text(value: object) -> str | None:
    """A member as the JSON string that the reference shows, null when it was left out."""
    return None if value is None else json.dumps(value, ensure_ascii=False)


def worker_entity(workflow: str, stored: StoredWorker, state: WorkerState | None) -> dict[str, Any]:
    """WorkerEntity of the reference: args, env_vars, inputs and outputs are JSON strings."""
    definition = orjson.loads(stored.definition)
    return {
        "workflow_name": workflow,
        "name": stored.name,
        "command": definition["command"],
        "args": _as_text(definition.get("args")),
        "working_dir": stored.working_dir,
        "env_vars": _as_text(definition.get("env_vars")),
        "inputs": _as_text(definition.get("inputs")),
        "outputs": _as_text(definition.get("outputs")),
        "status": status_of(state),
        "error_message": state.error_message if state else None,
        "created_at": stored.created_at,
        "started_at": state.started_at if state else None,
        "completed_at": state.completed_at if state else None,
        "deleted_at": None,
    }


def worker_summary(workflow: str, stored: StoredWorker, state: WorkerState | None) -> dict[str, Any]:
    """The seven members of the reference's list of workers."""
    return {
        "name": stored.name,
        "workflow_name": workflow,
        "status": status_of(state),
        "command": orjson.loads(stored.definition)["command"],
        "created_at": stored.created_at,
        "started_at": state.started_at if state else None,
        "completed_at": state.completed_at if state else None,
    }


def worker_shape(workflow: str, stored: StoredWorker, state: WorkerState | None) -> dict[str, Any]:
    """One worker as the reference shows it, its members parsed."""
    definition = orjson.loads(stored.definition)
    return {
        "name": stored.name,
        "workflow_name": workflow,
        "command": definition["command"],
        "args": definition.get("args") or [],
        "working_dir": stored.working_dir,
        "env_vars": definition.get("env_vars") or {},
        "status": status_of(state),
    }


def status_of(state: WorkerState | None) -> str:
    """A worker to which nothing has happened is 'created'."""
    return "created" if state is None else state.status


def graph_shape(graph: Graph, statuses: dict[str, str]) -> dict[str, Any]:
    """A workflow's graph by names; `statuses` by worker name."""
    names = graph.names
    level_of = {index: level for level, members in enumerate(graph.levels) for index in members}
    return {
        "nodes": [
            {"name": name, "status": statuses.get(name, "created"), "level": level_of[index]}
            for index, name in enumerate(names)
        ],
        "edges": [
            {"from": names[edge.upstream], "to": names[edge.downstream], "label": edge.label} for edge in graph.edges
        ],
        "levels": [[names[index] for index in level] for level in graph.levels],
    }


def run_shape(run: StoredRun, counts: dict[str, int] | None = None) -> dict[str, Any]:
    """A run; `counts` are its workers by status."""
    shape = {
        "id": run.id,
        "number": run.number,
        "workflow": run.workflow,
        "status": run.status,
        "phase": run.phase,
        "reason": run.reason,
        "target": run.target,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
    }
    return shape if counts is None else {**shape, "workers": counts}


def run_worker_shape(stored: StoredWorker, state: WorkerState | None, attempt: StoredAttempt | None) -> dict[str, Any]:
    """A worker within a run, with how its latest attempt ended."""
    return {
        "name": stored.name,
        "status": status_of(state),
        "phase": state.phase if state else None,
        "reason": state.reason if state else None,
        "error_message": state.error_message if state else None,
        "attempts": state.attempts if state else 0,
        "exit_code": attempt.exit_code if attempt else None,
        "signal": attempt.signal if attempt else None,
        "started_at": state.started_at if state else None,
        "completed_at": state.completed_at if state else None,
        "runtime_seconds": runtime_seconds(attempt.started_at, attempt.completed_at) if attempt else None,
        "outputs": orjson.loads(attempt.outputs) if attempt and attempt.outputs else [],
    }


def attempt_shape(attempt: StoredAttempt) -> dict[str, Any]:
    """One attempt."""
    return {
        "id": attempt.id,
        "run_id": attempt.run_id,
        "number": attempt.number,
        "status": attempt.status,
        "phase": attempt.phase,
        "reason": attempt.reason,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "pid": attempt.pid,
        "created_at": attempt.created_at,
        "started_at": attempt.started_at,
        "completed_at": attempt.completed_at,
        "runtime_seconds": runtime_seconds(attempt.started_at, attempt.completed_at),
        "cpu_seconds": attempt.cpu_seconds,
        "peak_memory_bytes": attempt.peak_memory_bytes,
        "outputs": orjson.loads(attempt.outputs) if attempt.outputs else [],
    }


def runtime_seconds(started_at: str | None, completed_at: str | None) -> float | None:
    """Seconds between two times of the store; None before a start, up to now before an end."""
    if started_at is None:
        return None
    start = datetime.fromisoformat(started_at)
    end = datetime.fromisoformat(completed_at) if completed_at else datetime.now(start.tzinfo)
    return round(max(0.0, (end - start).total_seconds()), 3)
