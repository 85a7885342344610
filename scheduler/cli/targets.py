"""The arguments WORKFLOW and WORKFLOW/WORKER: checked before a request, completed from the daemon's lists."""

# ruff: noqa: PLC0415  completion and difflib are needed by few invocations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from scheduler.cli.client import DEFAULT_URL, Client, api_path
from scheduler.cli.errors import CommandFailed

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    _TextType = click.ParamType[str]
    _TargetType = click.ParamType["Target"]
else:
    # click has them generic for a short time only; at run time it makes no difference
    _TextType = _TargetType = click.ParamType

# A completion that keeps the shell waiting is worse than none.
_COMPLETION_SECONDS = 1.0
# For WORKFLOW/WORKER without a slash yet, so many workflows are opened to offer their workers.
_WORKFLOWS_OPENED = 5


class Target(NamedTuple):
    """A workflow, or one worker of it."""

    workflow: str
    worker: str | None

    def __str__(self) -> str:
        return self.workflow if self.worker is None else f"{self.workflow}/{self.worker}"

    def path(self, *more: str) -> str:
        """Where the API has it: /api/workflows/{w} or /api/workers/{w}/{n}, and what follows."""
        if self.worker is None:
            return api_path("workflows", self.workflow, *more)
        return api_path("workers", self.workflow, self.worker, *more)


class WorkflowType(_TextType):
    """A workflow's name."""

    name = "workflow"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name in the form in which the daemon stores it (NFC)."""
        return _checked(self, str(value), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":  # noqa: ARG002  click's signature
        """The daemon's workflows that begin so."""
        return _items(ctx, lambda client: _names(client, api_path("workflows")), incomplete)


class TargetType(_TargetType):
    """WORKFLOW/WORKER, or just WORKFLOW where `worker_required` is false."""

    name = "target"

    def __init__(self, *, worker_required: bool = False) -> None:
        self.worker_required = worker_required

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Target:
        """The two names, split at the slash."""
        if isinstance(value, Target):
            return value
        workflow, slash, worker = str(value).partition("/")
        if self.worker_required and not worker:
            self.fail(f"'{value}' names no worker; write it as WORKFLOW/WORKER", param, ctx)
        checked = _checked(self, workflow, param, ctx)
        return Target(checked, _checked(self, worker, param, ctx) if slash else None)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":  # noqa: ARG002  click's signature
        """Workflows first, their workers after the slash; where a worker is needed, theirs at once."""
        workflow, slash, _ = incomplete.partition("/")
        if slash:
            return _items(ctx, lambda client: _workers(client, [workflow]), incomplete)
        if self.worker_required:
            return _items(ctx, lambda client: _workers(client, _matching(client, incomplete)), incomplete)
        return _items(ctx, lambda client: _names(client, api_path("workflows")), incomplete)


WORKFLOW = WorkflowType()
TARGET = TargetType()
WORKER = TargetType(worker_required=True)


def _checked(kind: "click.ParamType[Any]", name: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
    """One name; fails as wrong usage with what to change."""
    from schemas.names import check_name

    try:
        return check_name(name)
    except ValueError as error:
        kind.fail(str(error), param, ctx)


def _names(client: Client, path: str) -> list[str]:
    return [str(entry["name"]) for entry in client.get(path).data]


def _matching(client: Client, start: str) -> list[str]:
    found = [name for name in _names(client, api_path("workflows")) if name.startswith(start)]
    return found[:_WORKFLOWS_OPENED]


def _workers(client: Client, workflows: Iterable[str]) -> list[str]:
    return [f"{name}/{worker}" for name in workflows for worker in _names(client, api_path("workers", name))]


def _items(ctx: click.Context, ask: Callable[[Client], list[str]], incomplete: str) -> "list[CompletionItem]":
    """Completions from the daemon; none, and no noise in the middle of a prompt, when it cannot be asked."""
    from click.shell_completion import CompletionItem

    url = ctx.params.get("url") or os.environ.get("WATTLE_URL") or DEFAULT_URL
    try:
        with Client(url, timeout_seconds=_COMPLETION_SECONDS) as client:
            names = ask(client)
    except (CommandFailed, ValueError):
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
