"""Time as the launcher needs it: a wall clock for people, and deadlines that a suspended machine does not stretch."""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def now_ms() -> int:
    """Wall clock: milliseconds since 1970, UTC."""
    return int(time.time() * 1000)


def boottime() -> float:
    """Seconds since boot with suspended time included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Timers:
    """Actions to be called at a time of `boottime()`."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._count = 0

    def at(self, when: float, action: Callable[[Any], None], argument: Any = None) -> None:
        """Call `action(argument)` at `when`."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, action, argument))

    def after(self, seconds: float, action: Callable[[Any], None], argument: Any = None) -> None:
        """Call `action(argument)` in `seconds`."""
        self.at(boottime() + seconds, action, argument)

    def run_due(self) -> None:
        """Call everything that is due."""
        while self._heap and self._heap[0][0] <= boottime():
            _, _, action, argument = heapq.heappop(self._heap)
            action(argument)

    def wait_seconds(self) -> float | None:
        """Seconds until the next one, None without one."""
        return max(0.0, self._heap[0][0] - boottime()) if self._heap else None

    def drop(self, is_stale: Callable[[Any], bool], keep: int) -> None:
        """Forget timers with a stale argument once there are more than `keep`; long timeouts pile up."""
        if len(self._heap) > keep:
            self._heap = [timer for timer in self._heap if not is_stale(timer[3])]
            heapq.heapify(self._heap)
