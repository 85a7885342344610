"""The loop that keeps the log links of working directories: for what lives longer than a moment, and in quiet times."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from schemas.paths import log_dir
from workers.log_links import link_logs

if TYPE_CHECKING:
    from scheduler.engine.runner import Attempt
    from scheduler.engine.slots import Window

LOOK_SECONDS: Final = 0.1
BATCH: Final = 200


def link_of(attempt: Attempt) -> tuple[str, str]:
    """(log folder, log prefix) of an attempt."""
    definition = attempt.runner.definition
    folder = log_dir(definition.worker(attempt.worker).name, definition.working_dir_of(attempt.worker))
    return folder, attempt.runner.log_prefix(attempt.id)


class LogLinker:
    """Making a directory costs more than starting a process, so short attempts get theirs when nothing is queued.

    Whoever asks the API for a worker's logs gets the links at once.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._wanted: dict[str, tuple[str, float]] = {}
        self._awake = asyncio.Event()

    def note(self, attempt: Attempt) -> None:
        """An attempt has started: its worker's links are to lead to it."""
        folder, prefix = link_of(attempt)
        self._wanted[folder] = (prefix, time.monotonic())
        self._awake.set()

    async def run(self) -> None:
        """Make what is wanted, for ever."""
        while True:
            await self._awake.wait()
            await asyncio.sleep(LOOK_SECONDS)
            due = self._due()
            if due:
                await asyncio.to_thread(_link_all, due)
            if not self._wanted:
                self._awake.clear()

    def _due(self) -> list[tuple[str, str]]:
        """Everything while the slots are idle; else the few that have been alive for a while."""
        now = time.monotonic()
        is_quiet = self._window.handed <= self._window.slots
        due = [
            (folder, prefix)
            for folder, (prefix, since) in self._wanted.items()
            if now - since >= LOOK_SECONDS and (is_quiet or now - since >= 1.0)
        ][:BATCH]
        for folder, _ in due:
            del self._wanted[folder]
        return due


def _link_all(due: list[tuple[str, str]]) -> None:
    for folder, prefix in due:
        link_logs(folder, prefix)
