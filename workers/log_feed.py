"""The shared reader of one attempt's logs: each byte is read once and each line framed once, for all followers.

    wake -> pump: read what is new in each file -> lines -> frames -> every joined follower's queue

A follower reads the past by itself (`log_follow`) and joins when it stands exactly where the reader stands, so
that it misses nothing and gets nothing twice. With no joined follower nothing is read.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

from workers.log_files import STREAMS, AttemptLogs, Stream, advance, log_size, open_log
from workers.log_lines import Line, LineSplitter

FrameLine: TypeAlias = Callable[[str, Stream, str, int, int], bytes]
"""(attempt_id, stream, line, stdout offset, stderr offset) -> the bytes sent for it. Pure: also called in threads."""

PARTIAL_SECONDS: Final = 0.2
"""A line without newline is shown after this: it may be a prompt that waits for an answer."""
CROWD: Final = 8
REST_PER_FOLLOWER_SECONDS: Final = 25e-6
LONGEST_REST_SECONDS: Final = 0.005
PATIENCE_SECONDS: Final = 0.25
"""How long a burst is held back for followers that are slower than the reader, before they may overflow."""
PATIENCE_STEP_SECONDS: Final = 0.002


class ChunkSize:
    """How many bytes to read at once: about `lines` lines, whatever their length, so that no chunk takes long."""

    __slots__ = ("_lines", "_most", "bytes")

    LEAST: Final = 4 * 1024

    def __init__(self, lines: int, most_bytes: int) -> None:
        self._lines = lines
        self._most = most_bytes
        self.bytes = min(16 * 1024, most_bytes)

    def learn(self, lines: int) -> None:
        """Adapts to a chunk that held `lines` lines."""
        if lines > self._lines:
            self.bytes = max(self.bytes // 2, self.LEAST)
        elif lines < self._lines // 4:
            self.bytes = min(self.bytes * 2, self._most)


def frame_lines(
    frame: FrameLine, attempt_id: str, stream: Stream, lines: Sequence[Line], offsets: Mapping[Stream, int]
) -> bytes:
    """The frames of lines of one stream, while the other stands at its offset in `offsets`."""
    if stream == "stdout":
        other = offsets["stderr"]
        return b"".join([frame(attempt_id, stream, text, offset, other) for text, offset in lines])
    other = offsets["stdout"]
    return b"".join([frame(attempt_id, stream, text, other, offset) for text, offset in lines])


class Follower(Protocol):
    """What the reader needs of a follower."""

    streams: frozenset[Stream]

    @property
    def crowded(self) -> bool:
        """Its queue fills: it is slower than the reader just now."""

    def push(self, chunk: bytes) -> None:
        """Take a chunk of frames, or overflow and leave."""

    def end(self, error: OSError | None = None) -> None:
        """The log is complete, or cannot be read."""


class LiveFile:
    """One file that is read as it grows."""

    __slots__ = ("_fd", "held_since", "path", "splitter")

    def __init__(self, path: str, splitter: LineSplitter, now: float) -> None:
        self.path = path
        self.splitter = splitter
        self.held_since: float | None = None
        self._fd: int | None = None
        self.note_held([], now)

    def read(self, limit_bytes: int, end: int | None) -> tuple[list[Line], bool]:
        """The new lines in at most about `limit_bytes`, and whether there may be more to read."""
        if self._fd is None:
            self._fd = open_log(self.path)
            if self._fd is None:
                return [], False
        lines: list[Line] = []
        stop = self.splitter.read_offset + limit_bytes
        while (left := stop - self.splitter.read_offset) > 0:
            more = advance(self._fd, self.splitter, left, end)
            if more is None:
                return lines, False
            lines += more
        return lines, True

    def note_held(self, lines: Sequence[Line], now: float) -> None:
        """Remembers since when the unfinished line waits, after `lines` were delivered."""
        if self.splitter.read_offset == self.splitter.position:
            self.held_since = None
        elif lines or self.held_since is None:
            self.held_since = now

    def close(self) -> None:
        """Closes the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class LogFeed:
    """The reader of one attempt's two files, for as long as somebody follows."""

    def __init__(
        self, logs: AttemptLogs, frame: FrameLine, loop: asyncio.AbstractEventLoop, partial_seconds: float
    ) -> None:
        self.logs = logs
        self.frame = frame
        self._loop = loop
        self._partial_seconds = partial_seconds
        self._joined: list[Follower] = []
        self._live: dict[Stream, LiveFile] = {}
        self._offsets: dict[Stream, int] = dict.fromkeys(STREAMS, 0)
        self._ends: dict[Stream, int] | None = None
        self._chunk = ChunkSize(lines=1000, most_bytes=64 * 1024)
        self._unread = False
        self._patient_since: float | None = None
        self._pump_handle: asyncio.Handle | None = None
        self._partial_handle: asyncio.TimerHandle | None = None

    # ---- what a follower that still reads the past asks -------------------------------------------------

    def end_of(self, stream: Stream) -> int | None:
        """Where the stream ends for good, None while the attempt runs."""
        return None if self._ends is None else self._ends[stream]

    def position(self, stream: Stream) -> int | None:
        """Up to where the reader has delivered, None while it does not read that stream."""
        live = self._live.get(stream)
        return None if live is None else live.splitter.position

    def reach(self, stream: Stream, offset: int) -> None:
        """Brings the reader nearer to `offset`, which is ahead of it, cutting the unfinished line there if need be."""
        splitter = self._live[stream].splitter
        if splitter.read_offset < offset:
            self._pump()
        elif splitter.position < offset:
            self._deliver({stream: splitter.flush_to(offset)})
        self.wake()

    def join(self, follower: Follower, splitters: Mapping[Stream, LineSplitter], offsets: Mapping[Stream, int]) -> None:
        """Adds a follower that stands where the reader stands; for a stream not read yet its splitter is taken over."""
        if not self._joined:
            self._offsets.update(offsets)
        for stream in STREAMS:
            if stream in follower.streams and stream not in self._live:
                self._live[stream] = LiveFile(self.logs.path(stream), splitters[stream], self._loop.time())
                self._offsets[stream] = splitters[stream].position
        self._joined.append(follower)
        # what was handed over unfinished has to be shown some time, and what came in between read
        self.wake()

    def leave(self, follower: Follower) -> None:
        """Removes a follower; the reader stops reading what nobody wants. Harmless for one that never joined."""
        if follower in self._joined:
            self._joined.remove(follower)
            self._drop_unwanted()

    # ---- what the hub says -------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something may have been written. Many calls before the next pump are one."""
        if self._pump_handle is None and self._live:
            crowd = len(self._joined)
            rest = min(crowd * REST_PER_FOLLOWER_SECONDS, LONGEST_REST_SECONDS) if crowd > CROWD else 0.0
            self._pump_handle = (
                self._loop.call_later(rest, self._on_pump) if rest else self._loop.call_soon(self._on_pump)
            )

    def finish(self) -> None:
        """The attempt has ended: what the files hold now is all there will be."""
        if self._ends is None:
            self._ends = {stream: log_size(self.logs.path(stream)) for stream in STREAMS}
            self.wake()

    def close(self) -> None:
        """Stops reading and forgets the followers."""
        self._joined.clear()
        self._drop_unwanted()

    # ---- the pump ----------------------------------------------------------------------------------------

    def _on_pump(self) -> None:
        self._pump_handle = None
        if self._unread and self._hold_back():
            self._pump_handle = self._loop.call_later(PATIENCE_STEP_SECONDS, self._on_pump)
            return
        try:
            self._unread = self._pump()
        except OSError as error:
            self._end_all(error)
            return
        if self._unread:
            # not at once: what others have to do comes in between
            self._pump_handle = self._loop.call_soon(self._on_pump)
            return
        self._patient_since = None
        if self._ends is not None:
            self._deliver({stream: live.splitter.finish() for stream, live in self._live.items()})
            self._end_all()
        else:
            self._arm_partial()

    def _hold_back(self) -> bool:
        """Whether a burst should wait for a slow follower: a second of printing must not throw everybody out."""
        if not any(follower.crowded for follower in self._joined):
            self._patient_since = None
            return False
        now = self._loop.time()
        if self._patient_since is None:
            self._patient_since = now
        return now - self._patient_since < PATIENCE_SECONDS

    def _pump(self) -> bool:
        """Reads a chunk of each file for everybody; True if there may be more to read."""
        fresh: dict[Stream, list[Line]] = {}
        unread = False
        now = self._loop.time()
        for stream, live in self._live.items():
            fresh[stream], more = live.read(self._chunk.bytes, self.end_of(stream))
            live.note_held(fresh[stream], now)
            unread |= more
        if unread:
            self._chunk.learn(sum(map(len, fresh.values())))
        self._deliver(fresh)
        return unread

    def _deliver(self, fresh: Mapping[Stream, Sequence[Line]]) -> None:
        frames: dict[Stream, bytes] = {}
        for stream, lines in fresh.items():
            if lines:
                frames[stream] = frame_lines(self.frame, self.logs.attempt_id, stream, lines, self._offsets)
            # not the last line's: behind a part that was shown, the rest of its line may have been its end alone
            self._offsets[stream] = self._live[stream].splitter.position
        if not frames:
            return
        both = b"".join(frames.values())
        for follower in tuple(self._joined):
            if follower.streams.issuperset(frames):
                follower.push(both)
            else:
                follower.push(b"".join(frames[stream] for stream in frames if stream in follower.streams))

    def _arm_partial(self) -> None:
        waiting = [live.held_since for live in self._live.values() if live.held_since is not None]
        if waiting and self._partial_handle is None:
            self._partial_handle = self._loop.call_at(min(waiting) + self._partial_seconds, self._on_partial)

    def _on_partial(self) -> None:
        """Shows unfinished lines that have waited long enough."""
        self._partial_handle = None
        now = self._loop.time()
        fresh: dict[Stream, list[Line]] = {}
        for stream, live in self._live.items():
            if live.held_since is not None and now - live.held_since >= self._partial_seconds:
                fresh[stream] = live.splitter.flush()
                live.held_since = None
                live.note_held([], now)
        self._deliver(fresh)
        self._arm_partial()

    def _end_all(self, error: OSError | None = None) -> None:
        for follower in tuple(self._joined):
            follower.end(error)
        self.close()

    def _drop_unwanted(self) -> None:
        wanted = frozenset[Stream]().union(*(follower.streams for follower in self._joined))
        for stream in [stream for stream in self._live if stream not in wanted]:
            self._live.pop(stream).close()
        if not self._live:
            for handle in (self._pump_handle, self._partial_handle):
                if handle is not None:
                    handle.cancel()
            self._pump_handle = self._partial_handle = None
