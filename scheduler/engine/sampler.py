"""The sampling loop: a pass a second over all that runs, for metrics and the log size cap; none while nothing runs."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from workers.log_cap import LogCap
from workers.metrics import ProcessTreeSampler, Sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from scheduler.engine.runner import Attempt

SAMPLE_SECONDS: Final = 1.0
FRESH_SECONDS: Final = 0.2

log = logging.getLogger("wattle.sampler")


class Sampler:
    """Holds the latest sample of every running attempt; `running` lists these."""

    def __init__(self, running: Callable[[], list[Attempt]], log_max_bytes: int) -> None:
        self._running = running
        self._trees = ProcessTreeSampler()
        self._cap = LogCap(log_max_bytes)
        self._samples: dict[str, Sample] = {}
        self._to_look_at: set[str] = set()
        self._sampled_at = 0.0
        self._lock = asyncio.Lock()
        self._awake = asyncio.Event()

    def note(self, attempt: Attempt) -> None:
        """An attempt has started. Its logs are looked at even if it ends before the next look."""
        self._to_look_at.add(attempt.runner.log_prefix(attempt.id))
        self._awake.set()

    async def sample_of(self, attempt: Attempt) -> Sample | None:
        """A fresh sample of a running attempt, None when nothing of it is left."""
        async with self._lock:  # of many who ask at once, the first pays for all
            if time.monotonic() - self._sampled_at > FRESH_SECONDS or attempt.id not in self._samples:
                await self._sample()
        return self._samples.get(attempt.id)

    async def run(self) -> None:
        """Sample and keep logs within their cap, for ever."""
        pause = SAMPLE_SECONDS
        while True:
            await self._awake.wait()
            await asyncio.sleep(pause)
            running = self._running()
            if not running and not self._to_look_at:
                self._samples = {}
                self._awake.clear()
                continue
            async with self._lock:
                if running and time.monotonic() - self._sampled_at >= SAMPLE_SECONDS * 0.9:
                    await self._sample()
            pause = min(SAMPLE_SECONDS, await self._enforce_cap(running))

    async def _sample(self) -> None:
        running = {attempt.id: attempt for attempt in self._running()}
        leaders = {attempt.id: attempt.pid for attempt in running.values()}
        self._samples = await asyncio.to_thread(self._trees.sample, leaders)
        self._sampled_at = time.monotonic()
        for attempt_id, sample in self._samples.items():
            attempt = running[attempt_id]
            attempt.peak_memory_bytes = max(attempt.peak_memory_bytes or 0, sample.memory_bytes)
            attempt.cpu_seconds = sample.cpu_seconds

    async def _enforce_cap(self, running: list[Attempt]) -> float:
        """Look at the logs of what runs, and once more at those of what has ended since the last look."""
        now = {attempt.runner.log_prefix(attempt.id) for attempt in running}
        prefixes, self._to_look_at = now | self._to_look_at, now
        paths = [prefix + ending for prefix in prefixes for ending in (".out", ".err")]
        report = await asyncio.to_thread(self._cap.enforce, paths)
        for action in report.actions:
            log.warning("%s", action.sentence)
        return report.look_again_seconds
