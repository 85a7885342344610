"""The verb `runs`: what ran, when, and how it ended."""

from collections.abc import Mapping
from typing import Any

import click

from scheduler.cli.client import api_path
from scheduler.cli.output import (
    Cell,
    number_cell,
    print_json,
    print_table,
    runtime_seconds,
    show_duration,
    show_time,
    status_cell,
)
from scheduler.cli.session import Session, verb
from scheduler.cli.targets import WORKFLOW

_HEADERS = ("WORKFLOW", "RUN", "STATUS", "STARTED", "RUNTIME", "ID", "WHAT AND WHY")
# as many as the daemon gives in one page
_MOST = 1000


@click.command()
@click.argument("workflow", type=WORKFLOW, required=False)
@click.option(
    "--status", type=click.Choice(["created", "running", "completed", "failed", "cancelled"]),
    help="Only those with this status.",
)  # fmt: skip
@click.option("-n", "--limit", type=click.IntRange(1, _MOST), default=20, show_default=True, help="At most so many.")
@verb
def runs(session: Session, workflow: str | None, status: str | None, limit: int) -> None:
    """List runs, newest first: of one workflow, or of all."""
    query = {"workflow": workflow, "status": status, "page": 1, "page_size": limit}
    data = session.client.get(api_path("runs"), query).data
    if session.as_json:
        print_json(data)
    elif data:
        print_table(session.screen, _HEADERS, map(_row, data))
    else:
        session.screen.line("There is no such run." if workflow or status else "Nothing ran yet.")


def _row(run: Mapping[str, Any]) -> list[Cell | str]:
    target = f"only {run['target']}" if run.get("target") else None
    return [
        run["workflow"],
        number_cell(f"#{run['number']}"),
        status_cell(run["status"]),
        show_time(run["started_at"]),
        number_cell(show_duration(runtime_seconds(run))),
        str(run["id"]),
        ", ".join(text for text in (target, run.get("reason")) if text),
    ]
