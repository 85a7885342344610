"""The hub: what it keeps for followers, how it is woken, and that nothing is left behind."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from tests.helpers.waiting import wait_until
from tests.unit.workers.following import (
    CountingFramer,
    all_frames,
    append,
    become_live,
    next_frames,
    of_stream,
    running_hub,
)
from tests.unit.workers.test_inotify import no_descriptors_left
from workers import logs as logs_room
from workers.inotify import Inotify
from workers.logs import AttemptLogs, LogHub


@pytest.fixture
def logs(tmp_path: Path) -> AttemptLogs:
    return AttemptLogs.within(str(tmp_path), "a1")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_the_last_follower_takes_everything_along(logs: AttemptLogs) -> None:
    append(logs.stdout_path, b"one\n")
    async with running_hub() as hub:
        before = descriptors()
        async with hub.follow(logs) as subscription, hub.follow(logs) as other:
            await become_live(subscription, other)
            append(logs.stdout_path, b"two\n")
            for each in (subscription, other):
                await next_frames(each, 1)
            assert hub.followers == 2
            assert descriptors() == before + 1
        assert descriptors() == before
        assert (hub.followers, hub._feeds, hub._followers, hub._directories) == (0, {}, {}, {})
        assert hub._inotify._by_path == {}


async def test_followers_of_several_attempts_share_one_watch(tmp_path: Path) -> None:
    async with running_hub() as hub, contextlib.AsyncExitStack() as stack:
        attempts = [AttemptLogs.within(str(tmp_path), f"a{number}") for number in range(5)]
        subscriptions = [await stack.enter_async_context(hub.follow(each)) for each in attempts]
        assert len(hub._inotify._by_wd) == 1
        for attempt in attempts:
            append(attempt.stdout_path, attempt.attempt_id.encode() + b"\n")
        for attempt, subscription in zip(attempts, subscriptions, strict=True):
            (frame,) = await next_frames(subscription, 1)
            assert frame.attempt_id == frame.line == attempt.attempt_id


async def test_finish_of_an_attempt_nobody_follows_is_harmless_and_repeatable(logs: AttemptLogs) -> None:
    async with running_hub() as hub:
        hub.finish("nobody")
        async with hub.follow(logs) as subscription:
            hub.finish("a1")
            hub.finish("a1")
            assert await all_frames(subscription) == []


async def test_closing_the_hub_ends_everybody(logs: AttemptLogs) -> None:
    async with running_hub() as hub, hub.follow(logs) as live, hub.follow(logs) as fresh:
        waiting = asyncio.create_task(all_frames(live))
        await wait_until(lambda: live._joined, on_timeout="the first is live")
        hub.close()
        assert await waiting == []
        assert await all_frames(fresh) == []
        assert (live.outcome, fresh.outcome, hub.followers) == ("closed", "closed", 0)


async def test_without_inotify_the_sweep_finds_what_is_new(logs: AttemptLogs) -> None:
    with no_descriptors_left():
        inotify = Inotify(asyncio.get_running_loop())
    hub = LogHub(CountingFramer(), inotify)
    async with hub.follow(logs) as subscription:
        await become_live(subscription)
        append(logs.stdout_path, b"found\n")
        assert of_stream(await next_frames(subscription, 1), "stdout") == ["found"]
    hub.close()


async def test_the_sweep_finds_what_inotify_did_not_tell(logs: AttemptLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_room, "SWEEP_SECONDS", 0.01)
    async with running_hub() as hub, hub.follow(logs) as subscription:
        await become_live(subscription)
        # as on a network file system: no event comes
        hub._loop.remove_reader(hub._inotify._fd)
        append(logs.stdout_path, b"found\n")
        assert of_stream(await next_frames(subscription, 1), "stdout") == ["found"]


async def test_the_sweep_sets_the_watch_that_could_not_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_room, "SWEEP_SECONDS", 0.01)
    async with running_hub() as hub, hub.follow(AttemptLogs.within(str(tmp_path / "runs" / "r1"), "a1")):
        assert hub._inotify._by_wd == {}
        os.makedirs(tmp_path / "runs" / "r1")
        await wait_until(lambda: hub._inotify._by_wd, on_timeout="the directory is watched")


async def test_both_streams_may_be_one_file(tmp_path: Path) -> None:
    path = str(tmp_path / "both")
    async with running_hub() as hub:
        async with hub.follow(AttemptLogs("a1", path, path), streams=["stdout"]) as subscription:
            append(path, b"x\n")
            assert of_stream(await next_frames(subscription, 1), "stdout") == ["x"]
        assert hub._directories == {}


async def test_many_wakes_are_one_reading(logs: AttemptLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_hub() as hub, hub.follow(logs) as subscription:
        await become_live(subscription)
        feed = hub._feeds["a1"]
        readings: list[bool] = []
        pump = feed._pump

        def counting() -> bool:
            readings.append(pump())
            return readings[-1]

        monkeypatch.setattr(feed, "_pump", counting)
        await wait_until(lambda: feed._pump_handle is None, on_timeout="nothing is left to read")
        readings.clear()
        for _ in range(100):
            feed.wake()
        await wait_until(lambda: feed._pump_handle is None, on_timeout="it was read")
        assert len(readings) == 1
