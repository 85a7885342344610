"""What every verb has: --json, --url and --timeout, the client they make, and the nearest name when one is unknown."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from scheduler.cli.client import DEFAULT_URL, Client, api_path
from scheduler.cli.errors import CommandFailed, RequestFailed
from scheduler.cli.output import print_json
from scheduler.cli.terminal import Screen, stdout_screen

# The side question for the nearest name must not make a mistyped name slow.
_SUGGEST_SECONDS = 2.0


class Session:
    """One invocation of a verb: its client, its screen, and whether the answer goes out as JSON."""

    def __init__(self, client: Client, *, as_json: bool) -> None:
        self.client = client
        self.as_json = as_json
        self.screen: Screen = stdout_screen()

    def say(self, data: object) -> None:
        """An answer that is one sentence: as it is for people, as a JSON string for programs."""
        if self.as_json:
            print_json(data)
        else:
            self.screen.line(str(data))


def verb(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Makes a click callback out of `function(session, ...)`, which returns its exit code or None for 0.

    Adds --json, --url and --timeout. Unknown workflows and workers are answered with the nearest name.
    """

    @functools.wraps(function)
    def call(*, as_json: bool, url: str | None, timeout_seconds: float | None, **given: Any) -> int | None:
        with connect(url, timeout_seconds) as client, _nearest_named(client):
            return function(Session(client, as_json=as_json), **given)

    return _with_options(call)


@contextmanager
def connect(url: str | None, timeout_seconds: float | None = None) -> Iterator[Client]:
    """A client of the daemon at `url`, by default $WATTLE_URL, then where `wattle serve` would listen."""
    try:
        client = Client(url or os.environ.get("WATTLE_URL") or _own_url(), timeout_seconds=timeout_seconds)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from error
    with client:
        yield client


def _own_url() -> str:
    """The address that the settings give a daemon of this environment; the usual one where they give none."""
    from scheduler.config import ConfigError, load_settings  # noqa: PLC0415  not needed with --url

    try:
        settings = load_settings().settings
    except ConfigError:
        return DEFAULT_URL  # what is wrong with them is for `serve` and `config` to say
    if not settings.port:
        return DEFAULT_URL
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def _with_options(call: Callable[..., int | None]) -> Callable[..., int | None]:
    options = (
        click.option("--json", "as_json", is_flag=True, help="Print the API's data as one JSON document."),
        click.option("--url", metavar="URL", help="The daemon; default $WATTLE_URL, then as 'wattle config' says."),
        click.option(
            "--timeout", "timeout_seconds", metavar="SECONDS", type=click.FloatRange(min=0, min_open=True),
            help="Give up after so long and exit with 124.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        call = option(call)
    return call


@contextmanager
def _nearest_named(client: Client) -> Iterator[None]:
    """Adds 'did you mean' to an answer that a workflow or a worker does not exist."""
    try:
        yield
    except RequestFailed as failure:
        if failure.code in ("WORKFLOW_NOT_FOUND", "WORKER_NOT_FOUND"):
            failure.hint = failure.hint or _suggestion(client, failure.code)
        raise


def _suggestion(client: Client, code: str) -> str | None:
    """The hint for the unknown name on the command line; None when the daemon cannot tell."""
    from schemas.names import nearest  # noqa: PLC0415  difflib, and only after a mistyped name

    target = _asked_for()
    if target is None:
        return None
    workflow, worker = target
    path = api_path("workers", workflow) if code == "WORKER_NOT_FOUND" else api_path("workflows")
    try:
        with client.another(timeout_seconds=_SUGGEST_SECONDS) as other:
            known = [str(entry["name"]) for entry in other.get(path).data]
    except CommandFailed:
        return None
    if not known and code == "WORKFLOW_NOT_FOUND":
        return "There is no workflow yet; 'wattle example | wattle create -' makes one."
    if code == "WORKER_NOT_FOUND":
        found = nearest(worker or "", known)
        return f"Did you mean '{workflow}/{found}'?" if found else f"'wattle workers {workflow}' lists what there is."
    found = nearest(workflow, known)
    return f"Did you mean '{found}'?" if found else "'wattle list' shows what there is."


def _asked_for() -> tuple[str, str | None] | None:
    """The workflow and worker that the command line names, from click's context."""
    given = click.get_current_context().params
    for value in (given.get("target"), given.get("workflow")):
        if value is not None:
            workflow, _, worker = str(value).partition("/")
            return workflow, worker or None
    return None
