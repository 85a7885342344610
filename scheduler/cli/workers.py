"""Verbs about workers: workers, metrics, logs."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click
import orjson

from scheduler.cli.client import api_path
from scheduler.cli.errors import Unreachable
from scheduler.cli.output import (
    Cell,
    number_cell,
    print_facts,
    print_json,
    print_table,
    runtime_seconds,
    show_duration,
    show_exit,
    show_output,
    show_size,
    show_time,
    status_cell,
)
from scheduler.cli.session import Session, verb
from scheduler.cli.targets import WORKER, WORKFLOW, Target
from scheduler.cli.terminal import Screen, stderr_screen

if TYPE_CHECKING:
    _TextType = click.ParamType[str]
else:
    _TextType = click.ParamType

T = TypeVar("T")

# What the daemon gives in one answer; more is in the file, and what was left out is told.
_MOST_LINES = 100_000
_AWAY_SECONDS = 60.0
_AGAIN_SECONDS = 0.5


@click.command()
@click.argument("workflow", type=WORKFLOW)
@verb
def workers(session: Session, workflow: str) -> None:
    """List the workers of a workflow with status, runtime and what went wrong."""
    data = session.client.get(api_path("workflows", workflow, "workers")).data
    if session.as_json:
        print_json(data)
    else:
        print_workers(session.screen, data)


def print_workers(screen: Screen, entities: Iterable[Mapping[str, Any]]) -> None:
    """The table of worker entities (the rows of `/api/workflows/{w}/workers`)."""
    rows = [
        [
            worker["name"],
            status_cell(worker["status"]),
            show_time(worker["started_at"]),
            number_cell(show_duration(runtime_seconds(worker))),
            worker.get("error_message") or worker["command"],
        ]
        for worker in entities
    ]
    print_table(screen, ("WORKER", "STATUS", "STARTED", "RUNTIME", "COMMAND OR ERROR"), rows)


def show_worker(session: Session, target: Target, data: Mapping[str, Any]) -> None:
    """The page of one worker: what it is, where its logs are, and its attempts, newest first."""
    screen = session.screen
    print_facts(
        screen,
        {
            "worker": Cell(str(target), "bold"),
            "status": status_cell(data["status"]),
            "command": " ".join([data["command"], *(data.get("args") or [])]),
            "directory": data.get("working_dir"),
            **{f"env {name}": value for name, value in (data.get("env_vars") or {}).items()},
            **{f"input {name}": value for name, value in (data.get("inputs") or {}).items()},
            **{f"output {name}": value for name, value in (data.get("outputs") or {}).items()},
            **_log_facts(session.client.get(target.path("logs")).data),
        },
    )
    attempts = session.client.get(target.path("attempts")).data
    if attempts:
        screen.line()
        print_table(
            screen,
            ("ATTEMPT", "STATUS", "STARTED", "RUNTIME", "EXIT", "REASON OR OUTPUTS"),
            map(_attempt_row, attempts),
        )


def _log_facts(paths: Iterable[str]) -> dict[str, str]:
    """`stdout: PATH` lines as facts."""
    return {name: path for name, _, path in (line.partition(": ") for line in paths)}


def _attempt_row(attempt: Mapping[str, Any]) -> list[Cell | str]:
    return [
        number_cell(str(attempt["number"])),
        status_cell(attempt["status"]),
        show_time(attempt["started_at"]),
        number_cell(show_duration(attempt["runtime_seconds"])),
        number_cell(show_exit(attempt)),
        attempt.get("reason") or ", ".join(map(show_output, attempt.get("outputs") or [])),
    ]


@click.command()
@click.argument("target", metavar="WORKFLOW/WORKER", type=WORKER)
@verb
def metrics(session: Session, target: Target) -> None:
    """Show what a worker uses now, or what it used when it has ended."""
    data = session.client.get(target.path("metrics")).data
    if session.as_json:
        print_json(data)
        return
    values = data["metrics"]
    print_facts(
        session.screen,
        {
            "status": status_cell(values["status"]),
            "cpu": values["cpu_usage"],
            "memory": values["memory_usage"],
            "runtime": values["runtime"],
            "processes": str(values["processes"]) if values.get("processes") else None,
            "cpu time": _known(values.get("cpu_seconds"), lambda seconds: f"{seconds:.3f} s"),
            "peak memory": _known(values.get("peak_memory_bytes"), show_size),
            "exit": None if show_exit(values) == "-" else show_exit(values),
        },
    )


def _known(value: T | None, show: Callable[[T], str]) -> str | None:
    return None if value is None else show(value)


class _TailType(_TextType):
    """A number of lines, or `all`."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text that the API takes."""
        text = str(value)
        if text != "all" and not (text.isascii() and text.isdigit()):
            self.fail(f"'{text}' is neither a number of lines nor 'all'", param, ctx)
        return text


@click.command(epilog="Example: wattle logs data-pipeline/fetch_data -f --tail 20")
@click.argument("target", metavar="WORKFLOW/WORKER", type=WORKER)
@click.option("-f", "--follow", is_flag=True, help="Go on with every new line until the worker ends.")
@click.option(
    "--tail", metavar="N|all", type=_TailType(), default="100", show_default=True, help="How many lines from before."
)
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only one of the two.")
@verb
def logs(session: Session, target: Target, follow: bool, tail: str, stream: str | None) -> None:
    """Print what a worker wrote: its stdout to stdout, its stderr to stderr.

    --json gives the paths of the log files, and with -f one JSON object a line.
    """
    if follow:
        _follow_logs(session, target, tail, stream)
        return
    if session.as_json:
        print_json(session.client.get(target.path("logs")).data)
        return
    for name in [stream] if stream else ["stdout", "stderr"]:
        _print_log(session, target, name, tail)


def _print_log(session: Session, target: Target, stream: str, tail: str) -> None:
    wanted = _MOST_LINES if tail == "all" else min(int(tail), _MOST_LINES)
    answer = session.client.get(target.path("logs"), {"lines": max(wanted, 1), "stream": stream})
    content = (answer.envelope.get("content") or [])[:wanted]
    screen = _screen_of(session, stream)
    screen.lines(screen.log_text(str(line)) for line in content)
    told = stderr_screen()
    if len(content) == wanted > 0 and (told.is_terminal or wanted == _MOST_LINES):
        whole = _log_facts(answer.data).get(stream)
        told.line(told.paint(f"(the last {wanted} lines of {stream}, all of it is in {whole})", "dim"))


def _screen_of(session: Session, stream: str) -> Screen:
    return stderr_screen() if stream == "stderr" else session.screen


def _follow_logs(session: Session, target: Target, tail: str, stream: str | None) -> None:
    """Prints the stream until the worker has ended; after a break it goes on where it was, without a gap."""
    last_id, away_since = "", None
    while True:
        query = {"tail": tail, "stream": stream}
        try:
            for event in session.client.events(target.path("logs", "stream"), query, last_event_id=last_id):
                last_id, away_since = event.id or last_id, None
                if event.kind == "end":
                    _say_end(orjson.loads(event.data))
                    return
                if event.kind == "message":
                    _print_frame(session, event.data)
                session.client.check_deadline()
        except Unreachable:
            if not last_id and away_since is None:
                raise
        session.client.check_deadline()
        away_since = away_since or time.monotonic()
        if time.monotonic() - away_since > _AWAY_SECONDS:
            raise Unreachable(f"the log of '{target}' cannot be followed any more: {session.client.url} is away")
        time.sleep(_AGAIN_SECONDS)


def _print_frame(session: Session, data: str) -> None:
    if session.as_json:
        sys.stdout.write(data + "\n")
        sys.stdout.flush()
        return
    frame = orjson.loads(data)
    screen = _screen_of(session, frame["type"])
    screen.line(screen.log_text(frame["content"]))


def _say_end(end: Mapping[str, Any]) -> None:
    """How the worker ended, for a person who watches; a pipe gets only the log."""
    screen = stderr_screen()
    if not screen.is_terminal:
        return
    why = end.get("reason") or f"exit {show_exit(end)}"
    text = "it has not run yet" if end["status"] == "created" else f"{end['status']}, {why}"
    screen.line(screen.paint(f"({text})", "dim"))
