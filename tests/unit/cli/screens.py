"""Screens without a terminal behind them, for what is drawn only on one."""

import io

from scheduler.cli.terminal import Screen


class Terminal(io.StringIO):
    """Says that it is a terminal, and shows UTF-8."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Pipe(io.StringIO):
    """What standard output is in a pipeline."""

    encoding = "utf-8"


def terminal(**environment: str) -> tuple[Screen, Terminal]:
    """A screen on a terminal of 80 columns, and what was written to it."""
    stream = Terminal()
    return Screen(stream, {"TERM": "xterm", **environment}), stream


def pipe() -> tuple[Screen, Pipe]:
    """A screen that is none."""
    stream = Pipe()
    return Screen(stream, {}), stream
