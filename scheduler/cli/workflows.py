"""Verbs about workflows as they run: list, show, start, stop, restart, status."""

import time
from typing import Any

import click

from scheduler.cli.client import Client, api_path
from scheduler.cli.errors import ExitCode, TimedOut
from scheduler.cli.follow import follow_run, latest_run, run_begun_by
from scheduler.cli.output import (
    Cell,
    print_facts,
    print_json,
    print_table,
    runtime_seconds,
    show_duration,
    show_time,
    status_cell,
)
from scheduler.cli.progress import counts_text
from scheduler.cli.session import Session, verb
from scheduler.cli.targets import TARGET, Target
from scheduler.cli.workers import print_workers, show_worker

_STATUSES = ("created", "running", "completed", "failed", "cancelled")
_OUTCOMES = {"completed": ExitCode.OK, "failed": ExitCode.NOT_COMPLETED, "cancelled": ExitCode.NOT_COMPLETED}
_WAIT_INTERVAL_SECONDS = 0.2


@click.command("list")
@click.option("--status", type=click.Choice(_STATUSES), help="Only those with this status.")
@verb
def list_workflows(session: Session, status: str | None) -> None:
    """List the workflows with their status."""
    data = session.client.get(api_path("workflows"), {"status": status}).data
    if session.as_json:
        print_json(data)
    elif data:
        print_table(session.screen, _LIST_HEADERS, map(_list_row, data))
    elif status:
        session.screen.line(f"No workflow is {status}.")
    else:
        session.screen.line("There is no workflow yet; 'wattle example | wattle create -' makes one.")


_LIST_HEADERS = ("NAME", "STATUS", "STARTED", "RUNTIME", "WORKING DIRECTORY")


def _list_row(workflow: dict[str, Any]) -> list[Cell | str]:
    return [
        workflow["name"],
        status_cell(workflow["status"]),
        show_time(workflow["started_at"]),
        Cell(show_duration(runtime_seconds(workflow)), right=True),
        workflow["working_dir"] or "-",
    ]


@click.command()
@click.argument("target", metavar="WORKFLOW[/WORKER]", type=TARGET)
@click.option("--definition", is_flag=True, help="Print the definition as created (YAML, or JSON with --json).")
@verb
def show(session: Session, target: Target, definition: bool) -> None:
    """Show one workflow with its workers, or one worker with its attempts."""
    if definition:
        _show_definition(session, target)
        return
    data = session.client.get(target.path()).data
    if session.as_json:
        print_json(data)
    elif target.worker is None:
        _show_workflow(session, data)
    else:
        show_worker(session, target, data)


def _show_definition(session: Session, target: Target) -> None:
    if target.worker is not None:
        raise click.UsageError("--definition is of a whole workflow, not of a worker")
    path = target.path("definition")
    if session.as_json:
        print_json(session.client.get(path).data)
    else:
        session.screen.stream.write(session.client.get_text(path, {"format": "yaml"}))


def _show_workflow(session: Session, data: dict[str, Any]) -> None:
    run = latest_run(session.client, data["name"])
    print_facts(
        session.screen,
        {
            "workflow": Cell(data["name"], "bold"),
            "status": status_cell(data["status"]),
            "directory": data["working_dir"],
            "created": show_time(data["created_at"]),
            "started": show_time(data["started_at"]),
            "runtime": show_duration(runtime_seconds(data)),
            **(_run_facts(run) if run else {}),
        },
    )
    session.screen.line()
    print_workers(session.screen, session.client.get(api_path("workflows", data["name"], "workers")).data)


def _run_facts(run: dict[str, Any]) -> dict[str, str | None]:
    return {
        "run": f"#{run['number']}, {run['id']}",
        "phase": run.get("phase"),
        "reason": run.get("reason"),
        "workers": counts_text(run["workers"]),
    }


@click.command(epilog="Example: wattle start data-pipeline --follow")
@click.argument("target", metavar="WORKFLOW[/WORKER]", type=TARGET)
@click.option("-f", "--follow", is_flag=True, help="Draw its progress and exit with its outcome.")
@verb
def start(session: Session, target: Target, follow: bool) -> int:
    """Start a workflow, or run one worker of it alone.

    With --follow: exit 0 when the run completed, 1 when it failed or was cancelled. The first Ctrl-C only
    stops watching; the run goes on.
    """
    return _start(session, target, "start", follow)


@click.command()
@click.argument("target", metavar="WORKFLOW[/WORKER]", type=TARGET)
@click.option("-f", "--follow", is_flag=True, help="Draw its progress and exit with its outcome.")
@verb
def restart(session: Session, target: Target, follow: bool) -> int:
    """Stop a workflow or a worker where it runs, then start it again."""
    return _start(session, target, "restart", follow)


def _start(session: Session, target: Target, action: str, follow: bool) -> int:
    answer = session.client.post(target.path(action))
    if not follow:
        session.say(answer.data)
        return ExitCode.OK
    return follow_run(session, run_begun_by(session.client, answer, target.workflow))


@click.command()
@click.argument("target", metavar="WORKFLOW[/WORKER]", type=TARGET)
@verb
def stop(session: Session, target: Target) -> None:
    """Stop a workflow or one worker and wait until its processes are gone.

    They get SIGTERM and, after the worker's stop_grace_seconds, SIGKILL.
    """
    session.say(session.client.post(target.path("stop")).data)


@click.command(epilog="Example: wattle status data-pipeline --wait --timeout 600 || echo 'not completed'")
@click.argument("target", metavar="WORKFLOW[/WORKER]", type=TARGET)
@click.option("--wait", is_flag=True, help="While it runs, wait for its end (--timeout limits that).")
@verb
def status(session: Session, target: Target, wait: bool) -> int:
    """Print the status in one word and say it with the exit code.

    0 completed, 3 failed or cancelled, 4 created or running, 1 the daemon could not tell.
    """
    data = _ended(session.client, target) if wait else session.client.get(target.path()).data
    if session.as_json:
        print_json(data)
    else:
        session.screen.line(session.screen.status(data["status"]))
    return _OUTCOMES.get(data["status"], ExitCode.UNFINISHED)


def _ended(client: Client, target: Target) -> Any:
    """The entity once it does not run any more."""
    while True:
        try:
            data = client.get(target.path()).data
            client.check_deadline()
        except TimedOut as error:
            raise TimedOut(f"'{target}' has not ended within {client.timeout_seconds:g} s") from error
        if data["status"] != "running":
            return data
        time.sleep(_WAIT_INTERVAL_SECONDS)
