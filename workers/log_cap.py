"""Keeps log files under a size cap without the worker noticing: the middle of the file is given back to the disk.

A hole is punched (the size and every offset stay as they are, the worker's O_APPEND goes on at the same place) over
everything but the head, where one sees how it began, and the newest half of the cap. File systems that cannot punch
get the file emptied instead, which restarts its offsets; `CapAction.sentence` says so.

    cap = LogCap(cap_bytes)
    while ...: report = await asyncio.to_thread(cap.enforce, paths); await asyncio.sleep(report.look_again_seconds)
"""

import ctypes
import errno
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from workers.log_files import data_segments

DEFAULT_CAP_BYTES: Final = 64 * 1024 * 1024
SOONEST_LOOK_SECONDS: Final = 0.02
LATEST_LOOK_SECONDS: Final = 0.5

_PUNCH_HOLE_KEEP_SIZE: Final = 0x02 | 0x01
_HEAD_BYTES: Final = 64 * 1024
_BLOCK_BYTES: Final = 4096
_PIECE_BYTES: Final = 32 * 1024 * 1024
"""The file is locked while a hole is punched: in pieces, a writer waits for a few milliseconds at most."""

_libc: Final = ctypes.CDLL(None, use_errno=True)
_fallocate: Final = _libc.fallocate64 if hasattr(_libc, "fallocate64") else _libc.fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


@dataclass(frozen=True, slots=True)
class CapAction:
    """What was done to a file over the cap. For `failed`, `reason` says why nothing could be."""

    path: str
    method: Literal["punched", "emptied", "failed"]
    freed_bytes: int
    reason: str | None = None

    @property
    def sentence(self) -> str:
        """For the daemon's log."""
        if self.method == "failed":
            return f"log size cap: {self.path} stays over the cap: {self.reason}"
        if self.method == "emptied":
            return (
                f"log size cap: {self.path} was emptied ({self.freed_bytes} bytes), its file system cannot punch holes"
            )
        return f"log size cap: dropped {self.freed_bytes} bytes from the middle of {self.path}"


@dataclass(frozen=True, slots=True)
class CapReport:
    """What one look did, and how soon to look again so that no file runs far over."""

    actions: list[CapAction]
    look_again_seconds: float


def enforce_cap(paths: Iterable[str], cap_bytes: int) -> list[CapAction]:
    """Brings every file that takes more than `cap_bytes` of disk back to about half of that; blocks, so use a thread.

    Files that do not exist are passed over. Never raises for a file: the action says what failed.
    """
    return [action for path in paths if (action := _enforce(path, cap_bytes)) is not None]


class LogCap:
    """The cap with a memory of how fast each file grows. Used by one thread at a time."""

    def __init__(self, cap_bytes: int = DEFAULT_CAP_BYTES) -> None:
        self._cap_bytes = cap_bytes
        self._sizes: dict[str, int] = {}
        self._looked_at = time.monotonic() - LATEST_LOOK_SECONDS

    def enforce(self, paths: Iterable[str]) -> CapReport:
        """One look at the files of all running attempts (and once more at those of one that just ended)."""
        paths = list(paths)
        actions = enforce_cap(paths, self._cap_bytes)
        now = time.monotonic()
        elapsed = max(now - self._looked_at, SOONEST_LOOK_SECONDS)
        sizes = {path: size for path in paths if (size := _size(path)) is not None}
        # a file never seen before has grown from nothing since the last look
        fastest = max((size - self._sizes.get(path, 0) for path, size in sizes.items()), default=0) / elapsed
        self._sizes = sizes
        self._looked_at = now
        return CapReport(actions, look_again_seconds(fastest, self._cap_bytes))


def look_again_seconds(bytes_per_second: float, cap_bytes: int) -> float:
    """How long until a file that grows this fast may have written half the cap, what one look leaves free."""
    if bytes_per_second <= 0:
        return LATEST_LOOK_SECONDS
    return min(max(cap_bytes / 2 / bytes_per_second, SOONEST_LOOK_SECONDS), LATEST_LOOK_SECONDS)


def _size(path: str) -> int | None:
    try:
        return os.stat(path, follow_symlinks=False).st_size
    except OSError:
        return None


def _allocated(fd: int) -> int:
    return os.fstat(fd).st_blocks * 512


def _enforce(path: str, cap_bytes: int) -> CapAction | None:
    try:
        # one cheap look for the many that are small
        if os.stat(path, follow_symlinks=False).st_blocks * 512 <= cap_bytes:
            return None
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        return CapAction(path, "failed", 0, str(error))
    try:
        return _shrink(fd, path, cap_bytes)
    except OSError as error:
        return CapAction(path, "failed", 0, str(error))
    finally:
        os.close(fd)


def _shrink(fd: int, path: str, cap_bytes: int) -> CapAction | None:
    size = os.fstat(fd).st_size
    segments = data_segments(fd, size)
    if sum(stop - start for start, stop in segments) <= cap_bytes:
        # the blocks are reserved behind the end (XFS does that), they are no log
        return None
    before = _allocated(fd)
    head = _round_up(min(_HEAD_BYTES, cap_bytes // 8))
    tail = (size - cap_bytes // 2) // _BLOCK_BYTES * _BLOCK_BYTES
    try:
        for start, stop in segments:
            _punch(fd, max(start, head), min(stop, tail))
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        os.ftruncate(fd, 0)
        return CapAction(path, "emptied", before)
    return CapAction(path, "punched", max(0, before - _allocated(fd)))


def _round_up(count: int) -> int:
    return -(-count // _BLOCK_BYTES) * _BLOCK_BYTES


def _punch(fd: int, start: int, stop: int) -> None:
    for offset in range(start, stop, _PIECE_BYTES):
        if _fallocate(fd, _PUNCH_HOLE_KEEP_SIZE, offset, min(_PIECE_BYTES, stop - offset)) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
