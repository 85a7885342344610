"""The command `wattle`: every verb on one page, each imported when used; failures become exit codes here."""

# ruff: noqa: PLC0415  a verb starts in the time that its own imports take

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import click

from scheduler.cli.errors import CommandFailed, ExitCode


class _Verb(NamedTuple):
    """Where a verb is, `module:function` in this package, and its line in `wattle --help`."""

    place: str
    help: str


SECTIONS: Final[dict[str, dict[str, _Verb]]] = {
    "Workflows": {
        "create": _Verb("definitions:create", "Create a workflow from a JSON or YAML file."),
        "validate": _Verb("definitions:validate", "Check a file, store nothing."),
        "list": _Verb("workflows:list_workflows", "List the workflows."),
        "show": _Verb("workflows:show", "Show a workflow, or one worker."),
        "graph": _Verb("definitions:graph", "Draw which worker waits for which."),
        "delete": _Verb("definitions:delete", "Delete a workflow, or one worker."),
        "example": _Verb("example:example", "Print a ready workflow."),
    },
    "Running": {
        "start": _Verb("workflows:start", "Start a workflow, or one worker; --follow watches."),
        "stop": _Verb("workflows:stop", "Stop it and wait until it is gone."),
        "restart": _Verb("workflows:restart", "Stop it where it runs, then start it."),
        "status": _Verb("workflows:status", "One word, and the exit code says it too."),
        "workers": _Verb("workers:workers", "List the workers of a workflow."),
        "logs": _Verb("workers:logs", "Print or follow what a worker writes."),
        "metrics": _Verb("workers:metrics", "Show what a worker uses."),
        "runs": _Verb("runs:runs", "List what ran and how it ended."),
    },
    "Daemon": {
        "serve": _Verb("serve:serve", "Run the daemon in this terminal."),
        "config": _Verb("config:config", "Show each setting and where it comes from."),
        "install-service": _Verb("service:install_service", "Write the systemd unit."),
        "demo": _Verb("demo:demo", "See a DAG run, from nothing, in a few seconds."),
        "completion": _Verb("completion:completion", "Completion for bash, zsh or fish."),
        "version": _Verb("about:version", "This command's version and the daemon's."),
    },
}
VERBS: Final = {name: verb for verbs in SECTIONS.values() for name, verb in verbs.items()}

_EPILOG = (
    "Exit codes: 0 done, 1 the request failed, 2 wrong usage, 124 --timeout, 130 Ctrl-C; "
    "'status' has 3 for failed or cancelled and 4 for not ended."
)


class _ReaderLeftError(Exception):
    """Nobody reads our output any more."""


class _LazyGroup(click.Group):
    """A group that imports a verb's module when the verb is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Every verb, as in SECTIONS."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The verb, imported now; None when there is none."""
        if cmd_name not in VERBS:
            return None
        module, _, function = VERBS[cmd_name].place.partition(":")
        command = getattr(importlib.import_module(f"scheduler.cli.{module}"), function)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the verb. A reader that left is told apart here: click would make it exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderLeftError from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb of a command line; an unknown one is answered with the nearest."""
        if args[0] not in VERBS and not args[0].startswith("-") and not ctx.resilient_parsing:
            from schemas.names import nearest

            found = nearest(args[0], VERBS)
            ctx.fail(f"there is no verb '{args[0]}'" + (f", did you mean '{found}'?" if found else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The verbs by section, without importing one."""
        for section, verbs in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, verb.help) for name, verb in verbs.items()])


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from scheduler.cli.about import installed_version

        click.echo(f"wattle {installed_version()}")
        context.exit()


@click.group(cls=_LazyGroup, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)  # fmt: skip
def wattle() -> None:
    """Run a DAG of commands joined by files, watch it, and repair it.

    'wattle demo' shows it in a few seconds. 'wattle serve' starts the daemon; the other verbs talk to it.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # a name that this terminal's encoding cannot show must not end a verb with a traceback
        getattr(stream, "reconfigure", _ignore)(errors="backslashreplace")
    try:
        outcome = wattle.main(arguments, prog_name="wattle", standalone_mode=False)
        sys.stdout.flush()
    except CommandFailed as failure:
        return _report(failure)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except (_ReaderLeftError, BrokenPipeError):
        return _reader_left()
    return int(outcome or ExitCode.OK)


def _ignore(**_: Any) -> None:
    """A stream that somebody replaced by one without an encoding."""


def _report(failure: CommandFailed) -> int:
    """Says what failed; what was printed before stays in front of it."""
    from scheduler.cli.terminal import clean_text, stderr_screen

    try:
        sys.stdout.flush()
        screen = stderr_screen()
        first, *rest = [clean_text(line) for line in failure.lines()]
        screen.lines([screen.paint(first, "red"), *rest])
    except BrokenPipeError:
        _reader_left()
    return failure.exit_code


def _reader_left() -> int:
    """`wattle list | head -1`: quiet, and nothing is left for the interpreter to flush into the closed pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return ExitCode.BROKEN_PIPE


if __name__ == "__main__":
    sys.exit(main())
