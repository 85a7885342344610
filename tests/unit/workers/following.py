"""What the log tests share: frames that can be read back, a hub, and collecting what a follower gets."""

import asyncio
import contextlib
import functools
import json
import os
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, settings

from tests.helpers.waiting import wait_until
from workers.inotify import Inotify
from workers.log_files import Stream
from workers.logs import AttemptLogs, LogHub, LogSubscription

DEADLINE_SECONDS = 20.0
NEVER_SECONDS = 1000.0
slow = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@dataclass(frozen=True)
class Frame:
    attempt_id: str
    stream: str
    line: str
    out: int
    err: int


class CountingFramer:
    """Frames a line as one line of JSON, and counts how many it framed."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, attempt_id: str, stream: Stream, line: str, out: int, err: int) -> bytes:
        self.count += 1
        return json.dumps([attempt_id, stream, line, out, err]).encode() + b"\n"


def parse_frames(data: bytes) -> list[Frame]:
    return [Frame(*json.loads(each)) for each in data.splitlines()]


def of_stream(frames: Iterable[Frame], stream: str) -> list[str]:
    return [frame.line for frame in frames if frame.stream == stream]


@contextlib.asynccontextmanager
async def running_hub(
    framer: CountingFramer | None = None, partial_seconds: float = NEVER_SECONDS
) -> AsyncIterator[LogHub]:
    inotify = Inotify(asyncio.get_running_loop())
    hub = LogHub(framer or CountingFramer(), inotify, partial_seconds=partial_seconds)
    try:
        yield hub
    finally:
        hub.close()
        inotify.close()


async def next_frames(subscription: LogSubscription, count: int) -> list[Frame]:
    """At least `count` frames, as soon as they are there."""
    frames: list[Frame] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(frames) < count:
            frames += parse_frames(await anext(subscription))
    return frames


def _settled(subscription: LogSubscription, waiting: asyncio.Task[bytes]) -> bool:
    return subscription._joined or waiting.done()


async def become_live(*subscriptions: LogSubscription) -> None:
    """Until each follower has read the past and stands with the shared reader; drops what it got so far."""
    for subscription in subscriptions:
        while not subscription._joined:
            waiting = asyncio.create_task(anext(subscription))
            await wait_until(functools.partial(_settled, subscription, waiting), on_timeout="the follower is live")
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


async def all_frames(subscription: LogSubscription) -> list[Frame]:
    """Every frame until the iteration ends."""
    frames: list[Frame] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for data in subscription:
            frames += parse_frames(data)
    return frames


def append(path: str, data: bytes) -> None:
    """Writes as a worker does."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def forget(logs: AttemptLogs) -> None:
    for path in (logs.stdout_path, logs.stderr_path):
        Path(path).unlink(missing_ok=True)


async def read_all(hub: LogHub, logs: AttemptLogs) -> list[Frame]:
    async with hub.follow(logs, tail="all") as subscription:
        return await all_frames(subscription)
