"""The shared reader: one reading and one framing for all, unfinished lines, bursts."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.waiting import wait_until
from tests.unit.workers.following import (
    NEVER_SECONDS,
    CountingFramer,
    Frame,
    all_frames,
    append,
    become_live,
    forget,
    next_frames,
    of_stream,
    parse_frames,
    read_all,
    running_hub,
    slow,
)
from workers import logs as logs_room
from workers.log_feed import ChunkSize
from workers.logs import AttemptLogs, LogHub


@pytest.fixture
def logs(tmp_path: Path) -> AttemptLogs:
    return AttemptLogs.within(str(tmp_path), "a1")


@pytest.fixture(autouse=True)
def no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found by the sweep only would be found a second late."""
    monkeypatch.setattr(logs_room, "SWEEP_SECONDS", NEVER_SECONDS)


@slow
@given(pieces=st.lists(st.text("a\né漢😀", max_size=5), max_size=8))
def test_lines_shown_early_still_add_up_for_everybody(logs: AttemptLogs, pieces: list[str]) -> None:
    async def check() -> None:
        async with running_hub(partial_seconds=0.0005) as hub, asyncio.TaskGroup() as group:
            followers = []
            for piece in pieces:
                followers.append(group.create_task(read_all(hub, logs)))
                append(logs.stdout_path, piece.encode())
                await asyncio.sleep(0.0007)
            await wait_until(lambda: hub.followers == len(pieces), on_timeout="everybody follows")
            hub.finish(logs.attempt_id)
        for follower in followers:
            check_adds_up("".join(pieces).encode(), follower.result())

    forget(logs)
    asyncio.run(check())


def check_adds_up(data: bytes, frames: list[Frame]) -> None:
    shown = ""
    for frame in frames:
        shown += frame.line
        assert data[: frame.out].replace(b"\n", b"").decode() == shown
    assert shown == data.replace(b"\n", b"").decode()


async def test_one_stream_only(logs: AttemptLogs) -> None:
    append(logs.stdout_path, b"out\n")
    append(logs.stderr_path, b"err\n")
    async with (
        running_hub() as hub,
        hub.follow(logs, streams=["stderr"]) as errors,
        hub.follow(logs, streams=["stdout"]) as output,
        hub.follow(logs) as both,
    ):
        started = [await next_frames(each, count) for each, count in ((errors, 1), (output, 1), (both, 2))]
        await become_live(errors, output, both)
        waiting = [asyncio.create_task(all_frames(each)) for each in (errors, output, both)]
        append(logs.stdout_path, b"out2\n")
        append(logs.stderr_path, b"err2\n")
        hub.finish("a1")
        got = [first + await rest for first, rest in zip(started, waiting, strict=True)]
    assert [(of_stream(frames, "stdout"), of_stream(frames, "stderr")) for frames in got] == [
        ([], ["err", "err2"]),
        (["out", "out2"], []),
        (["out", "out2"], ["err", "err2"]),
    ]


async def test_the_offset_of_a_stream_that_is_not_followed_stays_what_it_was(logs: AttemptLogs) -> None:
    append(logs.stdout_path, b"out\n")
    append(logs.stderr_path, b"err\n")
    async with running_hub() as hub, hub.follow(logs, resume=(4, 2), streams=["stdout"]) as output:
        await become_live(output)
        append(logs.stdout_path, b"one\n")
        assert await next_frames(output, 1) == [Frame("a1", "stdout", "one", 8, 2)]
        async with hub.follow(logs) as both:
            await next_frames(both, 3)
            await become_live(both)
            append(logs.stdout_path, b"two\n")
            assert await next_frames(both, 1) == [Frame("a1", "stdout", "two", 12, 4)]


async def test_a_prompt_from_before_becomes_visible_too(logs: AttemptLogs) -> None:
    append(logs.stdout_path, b"Password: ")
    async with running_hub(partial_seconds=0.02) as hub, hub.follow(logs) as subscription:
        assert await next_frames(subscription, 1) == [Frame("a1", "stdout", "Password: ", 10, 0)]


async def test_half_a_character_waits_for_its_other_half(logs: AttemptLogs) -> None:
    async with running_hub() as hub, hub.follow(logs) as subscription:
        await become_live(subscription)
        feed = hub._feeds["a1"]
        append(logs.stdout_path, b"x" + "é".encode()[:1])
        live = feed._live["stdout"]
        await wait_until(lambda: live.held_since is not None, on_timeout="it was read")
        live.held_since = hub._loop.time() - NEVER_SECONDS
        shown_at = hub._loop.time()
        feed._on_partial()
        assert await next_frames(subscription, 1) == [Frame("a1", "stdout", "x", 1, 0)]
        # else the timer would come back at once, for ever
        assert live.held_since >= shown_at
        append(logs.stdout_path, "é".encode()[1:] + b"\n")
        assert await next_frames(subscription, 1) == [Frame("a1", "stdout", "é", 4, 0)]


async def test_a_prompt_becomes_visible_and_its_answer_makes_no_empty_line(logs: AttemptLogs) -> None:
    async with running_hub(partial_seconds=0.02) as hub, hub.follow(logs) as subscription:
        append(logs.stdout_path, b"Password: ")
        assert await next_frames(subscription, 1) == [Frame("a1", "stdout", "Password: ", 10, 0)]
        append(logs.stdout_path, b"\nwelcome\n")
        assert await next_frames(subscription, 1) == [Frame("a1", "stdout", "welcome", 19, 0)]


async def test_one_who_comes_after_a_prompt_was_shown_continues_like_the_others(logs: AttemptLogs) -> None:
    async with running_hub(partial_seconds=0.02) as hub, hub.follow(logs) as first:
        append(logs.stdout_path, b"Password: ")
        await next_frames(first, 1)
        async with hub.follow(logs) as second:
            assert of_stream(await next_frames(second, 1), "stdout") == ["Password: "]
            append(logs.stdout_path, b"secret\n")
            assert (
                await next_frames(second, 1) == await next_frames(first, 1) == [Frame("a1", "stdout", "secret", 17, 0)]
            )


async def test_one_who_resumes_inside_the_unfinished_line_cuts_it_for_all(logs: AttemptLogs) -> None:
    async with running_hub() as hub, hub.follow(logs) as first:
        append(logs.stdout_path, b"one\ntwo three")
        assert of_stream(await next_frames(first, 1), "stdout") == ["one"]
        async with hub.follow(logs, resume=(8, 0)) as second:
            rest = asyncio.create_task(all_frames(second))
            assert await next_frames(first, 1) == [Frame("a1", "stdout", "two ", 8, 0)]
            append(logs.stdout_path, b" four\n")
            hub.finish("a1")
            assert await rest == await all_frames(first) == [Frame("a1", "stdout", "three four", 19, 0)]


async def test_one_who_starts_ahead_of_a_late_reader_waits_for_it(logs: AttemptLogs) -> None:
    async with running_hub() as hub, hub.follow(logs) as first:
        await become_live(first)
        feed = hub._feeds["a1"]
        # the reader is late, and reads little at a time
        feed._pump_handle = hub._loop.call_later(NEVER_SECONDS, lambda: None)
        feed._chunk.bytes = 16
        append(logs.stdout_path, b"old line\n" * 20)
        async with hub.follow(logs, tail=None) as second:
            await become_live(second)
            feed._pump_handle.cancel()
            feed._pump_handle = None
            append(logs.stdout_path, b"new line\n")
            assert of_stream(await next_frames(second, 1), "stdout") == ["new line"]
        assert of_stream(await next_frames(first, 21), "stdout") == ["old line"] * 20 + ["new line"]


async def test_each_line_is_framed_once_for_all_live_followers(logs: AttemptLogs) -> None:
    framer = CountingFramer()
    async with running_hub(framer) as hub, asyncio.TaskGroup() as group:
        followers = [group.create_task(read_all(hub, logs)) for _ in range(50)]
        await wait_until(lambda: len(joined(hub, logs)) == 50, on_timeout="all are live")
        for number in range(100):
            append(logs.stdout_path, b"%d\n" % number)
            await asyncio.sleep(0)
        hub.finish("a1")
        # so many are woken for several lines at once
        assert isinstance(hub._feeds["a1"]._pump_handle, asyncio.TimerHandle)
    for follower in followers:
        assert of_stream(follower.result(), "stdout") == [str(number) for number in range(100)]
    assert framer.count == 100


def joined(hub: LogHub, logs: AttemptLogs) -> list[object]:
    feed = hub._feeds.get(logs.attempt_id)
    return list(feed._joined) if feed else []


def test_chunks_are_smaller_the_shorter_the_lines() -> None:
    chunk = ChunkSize(lines=1000, most_bytes=32 * 1024)
    assert chunk.bytes == 16 * 1024
    for lines, kibibytes in ((5000, 8), (500, 8), (5000, 4), (5000, 4), (100, 8), (1, 16), (0, 32), (0, 32)):
        chunk.learn(lines)
        assert chunk.bytes == kibibytes * 1024


async def test_the_reader_takes_small_chunks_of_short_lines(logs: AttemptLogs) -> None:
    async with running_hub() as hub, hub.follow(logs) as subscription:
        await become_live(subscription)
        feed = hub._feeds["a1"]
        append(logs.stdout_path, b"y\n" * 100_000)
        await next_frames(subscription, 100_000)
        assert not subscription.overflowed
        assert feed._chunk.bytes == ChunkSize.LEAST


async def test_a_burst_waits_for_a_follower_that_takes_it_slowly(logs: AttemptLogs) -> None:
    lines = [f"{number:099}" for number in range(20_000)]
    frames: list[Frame] = []
    async with running_hub() as hub, hub.follow(logs) as subscription:
        await become_live(subscription)
        feed = hub._feeds["a1"]
        append(logs.stdout_path, "".join(line + "\n" for line in lines).encode())
        held_back = False
        while len(frames) < len(lines):
            frames += parse_frames(await anext(subscription))
            # as long as it takes to send to a client that is slower than we are
            for _ in range(20):
                await asyncio.sleep(0)
                held_back = held_back or feed._patient_since is not None
        assert not subscription.overflowed
        assert held_back
        await wait_until(lambda: feed._patient_since is None, on_timeout="the next burst finds new patience")
    assert of_stream(frames, "stdout") == lines


async def test_patience_with_a_follower_that_takes_nothing_ends(logs: AttemptLogs) -> None:
    async with running_hub() as hub, hub.follow(logs) as stuck, hub.follow(logs) as quick:
        await become_live(stuck, quick)
        append(logs.stdout_path, b"0123456789\n" * 50_000)
        hub.finish("a1")
        assert len(await all_frames(quick)) == 50_000
        assert stuck.overflowed
