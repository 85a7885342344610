"""How many attempts are handed to the launcher, and whose turn it is. Pure."""

from __future__ import annotations

import math
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

AHEAD_SECONDS = 0.1
SMOOTHING = 0.1


class Window:
    """The launcher holds the slots and a short queue, so that an exit starts the next attempt without a round trip.

    The queue is what it will start in the next tenth of a second: dozens of short attempts, none of long ones,
    because what is queued there cannot be overtaken by a run that starts later.
    """

    def __init__(self, slots: int, most_ahead: int) -> None:
        self.slots, self._most_ahead = slots, most_ahead
        self.handed = 0
        self._mean_seconds: float | None = None

    def observe(self, seconds: float) -> None:
        """Learn from the duration of an attempt."""
        mean = self._mean_seconds
        self._mean_seconds = seconds if mean is None else mean + SMOOTHING * (seconds - mean)

    @property
    def ahead(self) -> int:
        """How many attempts may be queued beyond the slots; none before anything is known."""
        if self._mean_seconds is None:
            return 0
        return min(self._most_ahead, math.floor(self.slots * AHEAD_SECONDS / max(self._mean_seconds, 1e-4)))

    @property
    def room(self) -> int:
        """How many attempts may be handed over now."""
        return max(0, self.slots + self.ahead - self.handed)

    @property
    def is_well_fed(self) -> bool:
        """Whether the launcher has enough queued that a few milliseconds of waiting cost nothing."""
        return self.handed - self.slots >= max(16, self._most_ahead // 4)


class Turns(Generic[T]):
    """Round robin over those who have something to launch, so that a large run does not starve a small one."""

    def __init__(self) -> None:
        self._queue: deque[T] = deque()

    def join(self, member: T) -> None:
        """Get in line, once."""
        if member not in self._queue:
            self._queue.append(member)

    def leave(self, member: T) -> None:
        """Get out of line."""
        if member in self._queue:
            self._queue.remove(member)

    def next(self) -> T | None:
        """Whose turn it is; goes to the end of the line."""
        if not self._queue:
            return None
        self._queue.rotate(-1)
        return self._queue[-1]
