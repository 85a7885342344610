"""Draws what is going on: a status line that is redrawn on a terminal, and how far a run has come in words."""

import threading
from collections.abc import Mapping
from typing import Self

from scheduler.cli.output import show_duration
from scheduler.cli.terminal import Screen, fit

_BAR_COLUMNS = 24
_CLEAR = "\r\x1b[K"


class StatusLine:
    """One line at the bottom that changes while other lines scroll above it; safe for several threads.

    Where nothing can be redrawn (a pipe, a dumb terminal) it is never shown and only the lines are printed.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._text = ""
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def show(self, text: str) -> None:
        """Replaces the line by `text`, plain and cut to the terminal's width."""
        if not self._screen.can_redraw:
            return
        with self._lock:
            # the last column stays free: writing there wraps on some terminals and the line could not be cleared
            self._text = fit(text, self._screen.columns - 1)
            self._write(_CLEAR + self._text)

    def print(self, text: str) -> None:
        """A lasting line above the status line."""
        with self._lock:
            clear = _CLEAR if self._text else ""
            self._write(f"{clear}{text}\n{self._text}")

    def close(self) -> None:
        """Takes the line away; what was printed above stays."""
        with self._lock:
            if self._text:
                self._write(_CLEAR)
            self._text = ""

    def _write(self, text: str) -> None:
        self._screen.stream.write(text)
        self._screen.stream.flush()


def progress_text(screen: Screen, counts: Mapping[str, int], elapsed_seconds: float) -> str:
    """`[#####.....] 3/6  2 running, 1 failed  0:04` from the number of workers in each status."""
    total = sum(counts.values())
    ended = sum(counts.get(status, 0) for status in ("completed", "failed", "cancelled"))
    parts = [f"{counts[status]} {status}" for status in ("running", "failed", "cancelled") if counts.get(status)]
    shown = f"{_bar(screen, ended, total)} {ended}/{total}  {', '.join(parts)}".rstrip()
    return f"{shown}  {show_duration(elapsed_seconds)}"


def _bar(screen: Screen, ended: int, total: int) -> str:
    full, empty = ("█", "░") if screen.unicode else ("#", ".")
    filled = _BAR_COLUMNS * ended // total if total else 0
    return f"[{full * filled}{empty * (_BAR_COLUMNS - filled)}]"


def counts_text(counts: Mapping[str, int]) -> str:
    """`3 completed, 1 failed`, statuses without workers left out."""
    statuses = ("completed", "failed", "cancelled", "running", "created")
    return ", ".join(f"{counts[status]} {status}" for status in statuses if counts.get(status)) or "no workers"
