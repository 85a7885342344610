"""The disk guard: below the floor nothing new starts, what runs goes on, and the reason is said."""

from __future__ import annotations

import os
from dataclasses import dataclass

from schemas.errors import ServiceUnavailable

RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Room:
    """Free and total bytes of the file system that holds the state directory."""

    free_bytes: int
    total_bytes: int


class DiskGuard:
    """Remembers the last look at the disk; `look` is a system call, so a loop calls it, not every request."""

    def __init__(self, state_dir: str, min_free_bytes: int, min_free_percent: float) -> None:
        self._state_dir = state_dir
        self._min_free_bytes, self._min_free_percent = min_free_bytes, min_free_percent
        self.room = Room(0, 0)
        self.is_low = False

    def look(self) -> bool:
        """Look at the disk now; returns whether it is low."""
        found = os.statvfs(self._state_dir)
        self.room = Room(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)
        share = 100 * self.room.free_bytes / max(1, self.room.total_bytes)
        self.is_low = self.room.free_bytes < self._min_free_bytes or share < self._min_free_percent
        return self.is_low

    @property
    def reason(self) -> str:
        """Why nothing starts, in words."""
        free = self.room.free_bytes // 2**20
        return (
            f"the disk of the state directory has only {free} MiB free (floor: {self._min_free_bytes // 2**20} MiB and"
            f" {self._min_free_percent:g} %); free some space, running workers go on"
        )

    def check(self) -> None:
        """Raises ServiceUnavailable while the disk is low."""
        if self.is_low:
            raise ServiceUnavailable(reason=self.reason, retry_after_seconds=RETRY_AFTER_SECONDS)
