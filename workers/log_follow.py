"""One follower of an attempt's logs: reads the past at its own pace, then takes what the shared reader hands out.

    start (tail or resume) -> backlog, chunk by chunk, in a thread where large -> join the feed -> queue -> end

While it reads the past, only the follower's own slowness holds it up and it can lose nothing. Once joined, its queue
is bounded: a follower that does not keep up is marked `overflowed` and must come back with the last offsets it saw.
"""

import asyncio
import errno
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Protocol, Self, TypeAlias

from workers.log_feed import ChunkSize, FrameLine, LogFeed, frame_lines
from workers.log_files import STREAMS, AttemptLogs, Stream, advance, log_size, opened, splitter_at, tail_offset
from workers.log_lines import Line, LineSplitter

QUEUE_CHUNKS: Final = 256
QUEUE_BYTES: Final = 256 * 1024
INLINE_BYTES: Final = 32 * 1024
"""Up to this much of the past is read right on the loop: a thread would take longer to start."""
BACKLOG_BYTES: Final = 256 * 1024
BACKLOG_LINES: Final = 4000

TailWish: TypeAlias = int | Literal["all"] | None
Outcome: TypeAlias = Literal["ended", "overflowed", "closed"]


@dataclass(frozen=True, slots=True)
class FollowWish:
    """What a follower asks for: see `LogHub.follow`."""

    tail: TailWish = 100
    resume: tuple[int, int] | None = None
    streams: frozenset[Stream] = frozenset(STREAMS)
    idle_seconds: float | None = None


class FeedKeeper(Protocol):
    """What a follower needs of the hub."""

    def enter(self, subscription: "LogSubscription") -> LogFeed:
        """The feed of the follower's attempt, kept until `leave`."""

    def leave(self, subscription: "LogSubscription") -> None:
        """The follower is gone. May be called twice."""


class Backlog:
    """A follower's own reading of what is already in the files."""

    def __init__(self, logs: AttemptLogs, frame: FrameLine, wish: FollowWish) -> None:
        """Finds where to start; reads the files, so call it in a thread."""
        self._logs = logs
        self._frame = frame
        self._chunk = ChunkSize(BACKLOG_LINES, BACKLOG_BYTES)
        resume = wish.resume or (0, 0)
        self.offsets: dict[Stream, int] = {"stdout": resume[0], "stderr": resume[1]}
        self.splitters: dict[Stream, LineSplitter] = {}
        for stream in STREAMS:
            if stream in wish.streams:
                path = logs.path(stream)
                start = self.offsets[stream] if wish.resume else _tail_start(path, wish.tail)
                self.splitters[stream] = splitter_at(path, start)
                self.offsets[stream] = self.splitters[stream].position

    def bytes_behind(self, ends: Mapping[Stream, int]) -> int:
        """How much is left to read up to `ends`."""
        behind = 0
        for stream, splitter in self.splitters.items():
            behind += max(0, ends[stream] - splitter.read_offset)
            if log_size(self._logs.path(stream)) < splitter.read_offset:
                # emptied: `read` has to say so
                behind += 1
        return behind

    def read(self, ends: Mapping[Stream, int]) -> bytes:
        """The frames of the next chunk of each stream, up to `ends`. Runs on the loop or in a thread."""
        fresh: dict[Stream, list[Line]] = {}
        for stream, splitter in self.splitters.items():
            with opened(self._logs.path(stream)) as fd:
                if fd is not None:
                    fresh[stream] = advance(fd, splitter, self._chunk.bytes, ends[stream]) or []
                elif ends[stream] or splitter.read_offset:
                    raise FileNotFoundError(errno.ENOENT, "the log was removed", self._logs.path(stream))
        self._chunk.learn(sum(map(len, fresh.values())))
        return self.frames(fresh)

    def frames(self, fresh: Mapping[Stream, list[Line]]) -> bytes:
        """The frames of lines that come next."""
        parts = []
        for stream, lines in fresh.items():
            parts.append(frame_lines(self._frame, self._logs.attempt_id, stream, lines, self.offsets))
            self.offsets[stream] = self.splitters[stream].position
        return b"".join(parts)


def _tail_start(path: str, tail: TailWish) -> int:
    if tail == "all":
        return 0
    return tail_offset(path, tail or 0)


class LogSubscription:
    """An async context manager and iterator of framed bytes (one or more whole frames each); made by `LogHub.follow`.

    Iteration ends when the attempt has ended and everything was delivered, when the follower overflowed or when the
    hub closed; `outcome` says which. Raises OSError when a log cannot be read. `anext` may be cancelled and called
    again: nothing is lost.
    """

    def __init__(self, keeper: FeedKeeper, logs: AttemptLogs, wish: FollowWish) -> None:
        self.logs = logs
        self.streams = wish.streams
        self.outcome: Outcome | None = None
        self._keeper = keeper
        self._wish = wish
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._joined = False
        self._error: OSError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._reading: asyncio.Future[bytes] | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle = False
        self._yielded_at = 0.0

    @property
    def overflowed(self) -> bool:
        """The follower was too slow: it must resume from the last offsets it was given."""
        return self.outcome == "overflowed"

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._yielded_at = self._loop.time()
        # before anything is read: what is written from now on wakes us
        self._feed = self._keeper.enter(self)
        try:
            self._backlog = await asyncio.to_thread(Backlog, self.logs, self._feed.frame, self._wish)
        except BaseException:
            self._keeper.leave(self)
            raise
        self._on_idle_timer()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._keeper.leave(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        frames = await self._next()
        self._yielded_at = self._loop.time()
        self._idle = False
        return frames

    async def _next(self) -> bytes:
        while not self._queue:
            if self._error is not None:
                raise self._error
            if self.outcome is not None:
                raise StopAsyncIteration
            if self._idle:
                return b""
            if self._joined:
                await self._wait()
            elif frames := await self._catch_up():
                return frames
        return self._take()

    def _take(self) -> bytes:
        chunks = self._queue.popleft() if len(self._queue) == 1 else b"".join(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        return chunks

    # ---- the past ----------------------------------------------------------------------------------------

    async def _catch_up(self) -> bytes:
        """The next frames of the past; joins the feed once there are none."""
        if self._reading is None:
            ends = {stream: self._end_of_past(stream) for stream in self._backlog.splitters}
            behind = self._backlog.bytes_behind(ends)
            if behind == 0:
                return await self._arrive_or_yield()
            if behind <= INLINE_BYTES:
                return self._backlog.read(ends)
            self._reading = asyncio.ensure_future(asyncio.to_thread(self._backlog.read, ends))
        # shielded: a caller that gives up waiting and asks again gets this very chunk
        frames = await asyncio.shield(self._reading)
        self._reading = None
        return frames

    def _end_of_past(self, stream: Stream) -> int:
        end = self._feed.end_of(stream)
        if end is None:
            end = self._feed.position(stream)
        return log_size(self.logs.path(stream)) if end is None else end

    async def _arrive_or_yield(self) -> bytes:
        frames = self._arrive()
        if not frames and not self._joined and self.outcome is None:
            # the reader is still behind us: let it run. Nothing is in hand here that a cancellation could lose.
            await asyncio.sleep(0)
        return frames

    def _arrive(self) -> bytes:
        """Everything up to the reader was read: meet it at the same byte and join, or end with the attempt."""
        fresh: dict[Stream, list[Line]] = {}
        ended = met = True
        for stream, splitter in self._backlog.splitters.items():
            if self._feed.end_of(stream) is not None:
                fresh[stream] = splitter.finish()
                continue
            ended = False
            position = self._feed.position(stream)
            if position is not None and position > splitter.position:
                fresh[stream] = splitter.flush_to(position)
            elif position is not None and position < splitter.position:
                self._feed.reach(stream, splitter.position)
                met = met and self._feed.position(stream) == splitter.position
        frames = self._backlog.frames(fresh)
        if ended:
            self.outcome = "ended"
        elif met:
            self._joined = True
            self._feed.join(self, self._backlog.splitters, self._backlog.offsets)
        return frames

    # ---- what the feed and the hub call ----------------------------------------------------------------

    @property
    def crowded(self) -> bool:
        """The queue fills: what was handed out is not taken as fast."""
        return self._queued_bytes > QUEUE_BYTES // 4

    def push(self, chunk: bytes) -> None:
        """Takes a chunk of frames; too many waiting, and the follower overflows and leaves."""
        full = len(self._queue) >= QUEUE_CHUNKS or self._queued_bytes + len(chunk) > QUEUE_BYTES
        if self._queue and full:
            self._queue.clear()
            self.stop("overflowed")
            return
        self._queue.append(chunk)
        self._queued_bytes += len(chunk)
        self._awaken()

    def end(self, error: OSError | None = None) -> None:
        """The log is complete (or cannot be read): iteration ends behind what is queued."""
        self._error = error
        self.stop("ended")

    def stop(self, outcome: Outcome) -> None:
        """Ends the iteration behind what is queued."""
        self.outcome = self.outcome or outcome
        self._feed.leave(self)
        self._awaken()

    def _awaken(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _on_idle_timer(self) -> None:
        """One timer per follower, not one per wait: it looks back how long nothing was handed out."""
        if self._wish.idle_seconds is None:
            return
        left = self._yielded_at + self._wish.idle_seconds - self._loop.time()
        if left <= 0:
            self._idle = True
            self._awaken()
            left = self._wish.idle_seconds
        self._idle_timer = self._loop.call_later(left, self._on_idle_timer)
