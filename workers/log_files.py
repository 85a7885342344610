"""Reads the two log files of an attempt by byte offset, over the holes that the size cap leaves in them.

`<state>/runs/<run_id>/<attempt_id>.out` and `.err`, written by the worker itself with O_APPEND. A hole in such a
file can only be one that `log_cap` punched: appending leaves none.
"""

import contextlib
import errno
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from workers.log_lines import MAX_LINE_BYTES, Line, LineSplitter

Stream: TypeAlias = Literal["stdout", "stderr"]
STREAMS: Final[tuple[Stream, ...]] = ("stdout", "stderr")

READ_BYTES: Final = 256 * 1024
BLOCK_BYTES: Final = 64 * 1024
DEFAULT_TAIL_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class AttemptLogs:
    """Which files hold what an attempt wrote. They need not exist yet."""

    attempt_id: str
    stdout_path: str
    stderr_path: str

    @classmethod
    def within(cls, run_directory: str, attempt_id: str) -> "AttemptLogs":
        """The logs of an attempt in its run's flat directory."""
        stem = os.path.join(run_directory, attempt_id)
        return cls(attempt_id, stem + ".out", stem + ".err")

    def path(self, stream: Stream) -> str:
        """The file of one stream."""
        return self.stdout_path if stream == "stdout" else self.stderr_path


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole that reaches up to `end`."""

    end: int


@dataclass(frozen=True, slots=True)
class Emptied:
    """The file is shorter than it was: the size cap had to truncate it."""


def open_log(path: str) -> int | None:
    """A descriptor for reading, None while the file does not exist. Raises OSError for anything else."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def opened(path: str) -> Iterator[int | None]:
    """`open_log` for the length of a block."""
    fd = open_log(path)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def log_size(path: str) -> int:
    """The apparent size in bytes, holes included; 0 while the file does not exist."""
    try:
        return os.stat(path, follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def read_segment(fd: int, offset: int, limit_bytes: int) -> bytes | Gap | Emptied | None:
    """What is at `offset`: bytes (at most `limit_bytes`), a hole, or None where the file ends for now.

    The hole is looked for after the read: a hole punched meanwhile would otherwise be taken for NUL bytes.
    """
    data = os.pread(fd, limit_bytes, offset)
    if not data:
        return Emptied() if os.fstat(fd).st_size < offset else None
    hole = _seek(fd, offset, os.SEEK_HOLE)
    if hole is None:
        return None
    if hole > offset:
        return data[: hole - offset]
    data_start = _seek(fd, offset, os.SEEK_DATA)
    end = os.fstat(fd).st_size if data_start is None else data_start
    return Gap(end) if end > offset else None


def _seek(fd: int, offset: int, whence: int) -> int | None:
    """The offset of the next data or hole (the end of the file is a hole), None when there is none."""
    try:
        return os.lseek(fd, offset, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def data_segments(fd: int, end: int) -> list[tuple[int, int]]:
    """The (start, stop) of every stretch before `end` that is no hole, in order."""
    segments = []
    offset = 0
    while (start := _seek(fd, offset, os.SEEK_DATA)) is not None and start < end:
        offset = _seek(fd, start, os.SEEK_HOLE) or end
        segments.append((start, min(offset, end)))
    return segments


def splitter_at(path: str, offset: int) -> LineSplitter:
    """A splitter that begins at `offset` and knows whether that is in the middle of a line."""
    with opened(path) as fd:
        return LineSplitter() if fd is None else _splitter(fd, offset)


def _splitter(fd: int, offset: int) -> LineSplitter:
    return LineSplitter(offset, mid_line=offset > 0 and os.pread(fd, 1, offset - 1) != b"\n")


def advance(fd: int, splitter: LineSplitter, limit_bytes: int, end: int | None = None) -> list[Line] | None:
    """Reads on for `splitter`, at most `limit_bytes` and not past `end`.

    Returns the lines that were completed (often none yet), or None when there is nothing to read now.
    """
    offset = splitter.read_offset
    if end is not None and offset >= end:
        return splitter.restart() if os.fstat(fd).st_size < offset else None
    segment = read_segment(fd, offset, limit_bytes if end is None else min(limit_bytes, end - offset))
    if segment is None:
        return None
    if isinstance(segment, bytes):
        return splitter.feed(segment)
    if isinstance(segment, Emptied):
        return splitter.restart()
    return splitter.skip(segment.end if end is None else min(segment.end, end))


@dataclass(frozen=True, slots=True)
class Tail:
    """The last lines of a log, and the offset just behind them (to go on from there)."""

    lines: list[str]
    end_offset: int


def read_tail(path: str, lines: int | None, *, max_bytes: int | None = DEFAULT_TAIL_BYTES) -> Tail:
    """The last `lines` lines of a file, all for None; [] when the file does not exist.

    Blocks are read backwards from the end, so the cost is that of the answer. `max_bytes` bounds how far back it
    looks (None: no bound); what does not fit is left out at the old end. A part of a line over 1 MiB counts as a line,
    and so do the note where the size cap dropped bytes and a last line without newline.
    """
    kept: deque[str] = deque(maxlen=lines)
    end = 0
    with opened(path) as fd:
        if fd is not None:
            end = os.fstat(fd).st_size
            for text, _ in _lines_between(fd, _scan_back(fd, end, lines, max_bytes), end):
                kept.append(text)
    return Tail(list(kept), end)


def tail_offset(path: str, lines: int) -> int:
    """The offset where the last `lines` lines begin; 0 when there are fewer, or no file."""
    with opened(path) as fd:
        if fd is None:
            return 0
        end = os.fstat(fd).st_size
        start = _scan_back(fd, end, lines, None)
        ends = deque([start], maxlen=lines + 1)
        ends.extend(offset for _, offset in _lines_between(fd, start, end))
        return ends[0]


def _lines_between(fd: int, start: int, end: int) -> Iterator[Line]:
    splitter = _splitter(fd, start)
    while (lines := advance(fd, splitter, READ_BYTES, end)) is not None:
        yield from lines
    yield from splitter.finish()


def _scan_back(fd: int, end: int, lines: int | None, max_bytes: int | None) -> int:
    """An offset at or somewhat before the start of the last `lines` lines, found block by block from the end."""
    budget = end if max_bytes is None else max_bytes
    # one more than lines: the newline that ends the last line is usually the last byte
    wanted = end + 1 if lines is None else lines + 1
    if lines is not None:
        # what is longer than a part is cut into parts, so looking further back cannot be needed
        budget = min(budget, lines * (MAX_LINE_BYTES + len(b"\r\n")))
    for offset, block in _blocks_backwards(fd, end):
        found = block.count(b"\n")
        if found >= wanted:
            return offset + _newline_from_end(block, wanted) + 1
        wanted -= found
        budget -= len(block)
        if budget < 0:
            return _next_character(fd, offset)
    return 0


def _blocks_backwards(fd: int, end: int) -> Iterator[tuple[int, bytes]]:
    for start, stop in reversed(data_segments(fd, end)):
        offset = stop
        while offset > start:
            length = min(BLOCK_BYTES, offset - start)
            offset -= length
            yield offset, os.pread(fd, length, offset)


def _newline_from_end(block: bytes, count: int) -> int:
    at = len(block)
    for _ in range(count):
        at = block.rfind(b"\n", 0, at)
    return at


def _next_character(fd: int, offset: int) -> int:
    following = os.pread(fd, 3, offset)
    continuation = 0
    while continuation < len(following) and following[continuation] & 0xC0 == 0x80:
        continuation += 1
    return offset + continuation
