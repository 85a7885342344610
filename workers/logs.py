"""The door to attempts' logs: `LogHub` lets many follow live, `read_tail` gives the last lines of a file.

The rooms behind it: `log_lines` splits bytes into lines, `log_files` reads, `log_feed` reads once for all followers,
`log_follow` is one follower, `log_cap` keeps files small.
"""

import asyncio
import os
from collections.abc import Collection
from typing import Final

from workers.inotify import Inotify, Watch
from workers.log_feed import PARTIAL_SECONDS, FrameLine, LogFeed
from workers.log_files import STREAMS, AttemptLogs, Stream, Tail, read_tail
from workers.log_follow import FollowWish, LogSubscription, TailWish

__all__ = ["AttemptLogs", "FrameLine", "LogHub", "LogSubscription", "Stream", "Tail", "read_tail"]

SWEEP_SECONDS: Final = 1.0
SWEEP_WITHOUT_INOTIFY_SECONDS: Final = 0.2


class _Directory:
    """A directory with followed files in it: one watch, and which feed a file name belongs to."""

    __slots__ = ("feeds", "watch")

    def __init__(self, inotify: Inotify, path: str) -> None:
        self.feeds: dict[str, LogFeed] = {}
        self.watch: Watch = inotify.watch(path, self.on_change)

    def on_change(self, name: str | None) -> None:
        if name is None:
            for feed in self.feeds.values():
                feed.wake()
        elif (feed_of_file := self.feeds.get(name)) is not None:
            feed_of_file.wake()


class LogHub:
    """Every follower of every attempt's logs. One for the daemon, made and used on its loop.

    `frame` turns a line into the bytes that are sent for it; it must be pure, threads call it too. `partial_seconds`
    is how long a line without newline is held back before it is shown as a part: a prompt must become visible.
    """

    def __init__(self, frame: FrameLine, inotify: Inotify, *, partial_seconds: float = PARTIAL_SECONDS) -> None:
        self._frame = frame
        self._inotify = inotify
        self._partial_seconds = partial_seconds
        self._loop = asyncio.get_running_loop()
        self._feeds: dict[str, LogFeed] = {}
        self._followers: dict[str, set[LogSubscription]] = {}
        self._directories: dict[str, _Directory] = {}
        self._sweep_handle: asyncio.TimerHandle | None = None

    @property
    def followers(self) -> int:
        """How many follow now."""
        return sum(map(len, self._followers.values()))

    @property
    def reason(self) -> str | None:
        """Why changes are noticed by looking only, in a sentence; None while inotify does its work."""
        return self._inotify.reason

    def follow(
        self,
        logs: AttemptLogs,
        *,
        tail: TailWish = 100,
        resume: tuple[int, int] | None = None,
        streams: Collection[Stream] = STREAMS,
        idle_seconds: float | None = None,
    ) -> LogSubscription:
        """Follows an attempt's logs, whose files may not exist yet: `async with ... as subscription: async for ...`.

        `tail` is how many past lines of each stream come first ("all", or None for none); `resume` instead goes on
        from (stdout offset, stderr offset) as last framed. With `idle_seconds` an empty `bytes` is yielded whenever
        nothing came for that long, for a keep-alive. For an attempt that has ended, enter first, then look whether
        it has, then `finish` it: in any other order an end in between goes unseen.
        """
        return LogSubscription(self, logs, FollowWish(tail, resume, frozenset(streams), idle_seconds))

    def finish(self, attempt_id: str) -> None:
        """The attempt has ended: followers get what the files hold now, then their iteration ends. Repeatable."""
        feed = self._feeds.get(attempt_id)
        if feed is not None:
            feed.finish()

    def close(self) -> None:
        """Ends every follower with the outcome `closed`."""
        if self._sweep_handle is not None:
            self._sweep_handle.cancel()
            self._sweep_handle = None
        for subscription in [each for group in self._followers.values() for each in group]:
            subscription.stop("closed")
            self.leave(subscription)

    # ---- what subscriptions call -------------------------------------------------------------------------

    def enter(self, subscription: LogSubscription) -> LogFeed:
        """The feed of the subscription's attempt, kept until `leave`."""
        logs = subscription.logs
        feed = self._feeds.get(logs.attempt_id)
        if feed is None:
            feed = LogFeed(logs, self._frame, self._loop, self._partial_seconds)
            self._feeds[logs.attempt_id] = feed
            self._watch(logs, feed)
        self._followers.setdefault(logs.attempt_id, set()).add(subscription)
        if self._sweep_handle is None:
            self._sweep_later()
        return feed

    def leave(self, subscription: LogSubscription) -> None:
        """Forgets a follower, and the feed with the last one. Repeatable."""
        attempt_id = subscription.logs.attempt_id
        group = self._followers.get(attempt_id, set())
        group.discard(subscription)
        feed = self._feeds.get(attempt_id)
        if feed is None:
            return
        feed.leave(subscription)
        if not group:
            feed.close()
            del self._feeds[attempt_id], self._followers[attempt_id]
            self._unwatch(feed.logs)

    # ---- waking --------------------------------------------------------------------------------------------

    def _watch(self, logs: AttemptLogs, feed: LogFeed) -> None:
        for stream in STREAMS:
            directory, name = os.path.split(logs.path(stream))
            if directory not in self._directories:
                self._directories[directory] = _Directory(self._inotify, directory)
            self._directories[directory].feeds[name] = feed

    def _unwatch(self, logs: AttemptLogs) -> None:
        for stream in STREAMS:
            path, name = os.path.split(logs.path(stream))
            directory = self._directories.get(path)
            if directory is not None and directory.feeds.pop(name, None) is not None and not directory.feeds:
                directory.watch.close()
                del self._directories[path]

    def _sweep_later(self) -> None:
        seconds = SWEEP_SECONDS if self._inotify.reason is None else SWEEP_WITHOUT_INOTIFY_SECONDS
        self._sweep_handle = self._loop.call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        """Looks at every followed file, for what inotify does not tell (overflow, network file systems, no watch)."""
        self._sweep_handle = None
        if self._feeds:
            self._inotify.retry()
            for feed in self._feeds.values():
                feed.wake()
            self._sweep_later()
