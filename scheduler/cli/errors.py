"""How a verb can end: the exit codes, and the failures that carry one with a sentence for the person."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

# A stop that kills 10,000 workers or a file with 10,000 mistakes must not scroll the sentence off the screen.
_DETAILS_SHOWN = 50


class ExitCode(IntEnum):
    """What `wattle` exits with; documented in `wattle --help` and the README."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_COMPLETED = 3  # `status`: failed or cancelled
    UNFINISHED = 4  # `status`: created or running
    TIMED_OUT = 124
    INTERRUPTED = 130
    BROKEN_PIPE = 141  # what `ls | head -1` gives too: the reader left before the end


class CommandFailed(Exception):  # noqa: N818  names what happened, as the other failures here do
    """A verb cannot go on: one sentence, lines of detail under it, and what to type next."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, details: Sequence[str] = (), hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = list(details)
        self.hint = hint

    def lines(self) -> list[str]:
        """What goes to stderr, first line first, without colours."""
        hidden = len(self.details) - _DETAILS_SHOWN
        shown = [f"  {line}" for line in self.details[:_DETAILS_SHOWN]]
        more = [f"  ... and {hidden} more"] if hidden > 0 else []
        return [f"wattle: {self.message}", *shown, *more, *([f"  {self.hint}"] if self.hint else [])]


class Unreachable(CommandFailed):
    """No daemon answered: nothing listens there, the name is unknown, or the connection broke."""


class TimedOut(CommandFailed):
    """The time given by --timeout, or the client's own patience, is over."""

    exit_code = ExitCode.TIMED_OUT


class RequestFailed(CommandFailed):
    """The daemon answered with its error envelope."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(error.get("code", "UNKNOWN"))
        message = str(error.get("message") or f"the daemon answered {status} {self.code}")
        details = detail_lines(error.get("details"))
        super().__init__(_without_first(message, details), details=details)


def detail_lines(details: object) -> list[str]:
    """The `details` of an error envelope as lines: `path: message` for problems, `name: value` for the rest."""
    if isinstance(details, Mapping):
        return [f"{name}: {_shown(value)}" for name, value in details.items()]
    if isinstance(details, list):
        return [_problem_line(entry) for entry in details]
    return [] if details is None else [str(details)]


def _without_first(message: str, details: Sequence[str]) -> str:
    """`Validation failed` of a message that goes on with the first detail, which stands in the next line anyway."""
    before, found, _ = message.partition(details[0]) if details else (message, "", "")
    return before.rstrip(": ") if found and before.strip() else message


def _problem_line(entry: object) -> str:
    if isinstance(entry, Mapping) and "message" in entry:
        path = entry.get("path")
        return f"{path}: {entry['message']}" if path else str(entry["message"])
    return str(entry)


def _shown(value: object) -> str:
    """A cycle reads as a -> b -> a; any other list with commas."""
    return " -> ".join(map(str, value)) if isinstance(value, list) else str(value)
