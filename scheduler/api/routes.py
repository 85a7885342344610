"""Every URL on one page. Each line is served under /api and /api/v1; the scope is what a key must be allowed."""

from __future__ import annotations

from typing import Final

from scheduler.api import logs, runs, system, workers, workflows
from scheduler.api.routing import Route

WORKFLOW: Final = "/workflows/{workflow}"
WORKERS: Final = "/workers/{workflow}"
WORKER: Final = "/workers/{workflow}/{worker}"
RUN: Final = "/runs/{run}"

ROUTES: Final = (
    Route("GET", "/workflows", workflows.list_workflows, "read"),
    Route("POST", "/workflows", workflows.create_workflow, "admin"),
    Route("POST", "/workflows/validate", workflows.validate_workflow, "admin"),
    Route("GET", WORKFLOW, workflows.get_workflow, "read"),
    Route("PUT", WORKFLOW, workflows.replace_workflow, "admin"),
    Route("DELETE", WORKFLOW, workflows.delete_workflow, "admin"),
    Route("POST", WORKFLOW + "/start", workflows.start_workflow, "operate"),
    Route("POST", WORKFLOW + "/stop", workflows.stop_workflow, "operate"),
    Route("POST", WORKFLOW + "/restart", workflows.restart_workflow, "operate"),
    Route("GET", WORKFLOW + "/workers", workflows.list_entities, "read"),
    Route("GET", WORKFLOW + "/graph", workflows.get_graph, "read"),
    Route("GET", WORKFLOW + "/definition", workflows.get_definition, "read"),
    Route("GET", WORKERS, workers.list_workers, "read"),
    Route("GET", WORKER, workers.get_worker, "read"),
    Route("DELETE", WORKER, workers.delete_worker, "admin"),
    Route("GET", WORKER + "/schema", workers.get_worker_schema, "read"),
    Route("POST", WORKER + "/start", workers.start_worker, "operate"),
    Route("POST", WORKER + "/stop", workers.stop_worker, "operate"),
    Route("POST", WORKER + "/restart", workers.restart_worker, "operate"),
    Route("GET", WORKER + "/attempts", workers.list_attempts, "read"),
    Route("GET", WORKER + "/metrics", workers.get_metrics, "read"),
    Route("GET", WORKER + "/logs", logs.get_logs, "read"),
    Route("GET", WORKER + "/logs/stream", logs.stream_logs, "read", is_stream=True),
    Route("GET", "/runs", runs.list_runs, "read"),
    Route("GET", RUN, runs.get_run, "read"),
    Route("GET", RUN + "/workers", runs.list_run_workers, "read"),
    Route("GET", "/health", system.get_health, "read"),
)
