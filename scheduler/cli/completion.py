"""The verb `completion`: the line that makes a shell complete verbs, options, and the daemon's own names."""

# ruff: noqa: PLC0415  click's completion code is needed by this verb only

import click

from scheduler.cli.errors import ExitCode
from scheduler.cli.terminal import stdout_screen


@click.command(
    epilog="bash: add  eval \"$(wattle completion bash)\"  to ~/.bashrc; zsh likewise in ~/.zshrc; "
    "fish: wattle completion fish > ~/.config/fish/completions/wattle.fish"
)  # fmt: skip
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print the completion script of a shell; names come from the daemon while one types."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    script = found(context.find_root().command, {}, "wattle", "_WATTLE_COMPLETE")
    # not .source(): for bash that runs the bash on PATH to judge its version, which may not be the one that asks
    stdout_screen().stream.write(script.source_template % script.source_vars())
    return ExitCode.OK
