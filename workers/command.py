"""From a worker's `command`, `args` and `shell` to the argv that the launcher executes."""

from collections.abc import Sequence

from schemas.command import check_command, needs_shell, runs_in_shell, split_words
from schemas.shell_text import append_args

__all__ = ["build_argv", "check_command", "needs_shell"]


def build_argv(command: str, args: Sequence[str], shell: bool | None) -> list[str]:
    """The program and its arguments.

    Without a shell the words of `command`, then `args`. With one (`shell`, or None and the command needs it)
    `/bin/sh -c` with `args` as `"$@"`, put behind the last word where the text does not name them itself.
    A caller's value is always a word of its own and never part of the text that a shell reads. ValueError, with
    the sentence of `check_command`, for a command that cannot be read.
    """
    if not runs_in_shell(command, shell):
        return [*split_words(command), *args]
    return ["/bin/sh", "-c", append_args(command) if args else command, "sh", *args]
