"""One follower: no line missing, none twice, whatever is written when and wherever it comes in."""

import asyncio
import itertools
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.waiting import wait_until
from tests.unit.workers.following import (
    NEVER_SECONDS,
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
from tests.unit.workers.test_log_lines import BYTES, plain_lines
from workers import log_follow, log_lines
from workers import logs as logs_room
from workers.log_cap import enforce_cap
from workers.log_lines import EMPTIED_TEXT, gap_text
from workers.logs import AttemptLogs, LogHub

APPENDS = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), BYTES, st.integers(0, 3)), max_size=8)


@pytest.fixture
def logs(tmp_path: Path) -> AttemptLogs:
    return AttemptLogs.within(str(tmp_path), "a1")


@pytest.fixture(autouse=True)
def no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found by the sweep only would be found a second late."""
    monkeypatch.setattr(logs_room, "SWEEP_SECONDS", NEVER_SECONDS)


async def read_ended(
    hub: LogHub, logs: AttemptLogs, tail: log_follow.TailWish = "all", resume: tuple[int, int] | None = None
) -> list[Frame]:
    """What a follower of an attempt that has ended gets."""
    async with hub.follow(logs, tail=tail, resume=resume) as subscription:
        hub.finish(logs.attempt_id)
        return await all_frames(subscription)


@slow
@given(appends=APPENDS)
def test_following_gives_what_reading_afterwards_gives_and_resumes_anywhere(
    logs: AttemptLogs, appends: list[tuple[str, bytes, int]]
) -> None:
    asyncio.run(check_following(logs, appends))


async def check_following(logs: AttemptLogs, appends: list[tuple[str, bytes, int]]) -> None:
    forget(logs)
    written = {"stdout": b"", "stderr": b""}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_lines, "MAX_LINE_BYTES", 16)
        async with running_hub() as hub:
            async with asyncio.TaskGroup() as group:
                followers = []
                for stream, data, turns in appends:
                    followers.append(group.create_task(read_all(hub, logs)))
                    for _ in range(turns):
                        await asyncio.sleep(0.0005)
                    append(logs.path("stdout" if stream == "stdout" else "stderr"), data)
                    written[stream] += data
                followers.append(group.create_task(read_all(hub, logs)))
                await wait_until(lambda: hub.followers == len(followers), on_timeout="everybody follows")
                hub.finish(logs.attempt_id)
            afterwards = await read_ended(hub, logs)
            for follower in followers:
                check_same(follower.result(), afterwards)
            await check_resuming(hub, logs, followers[0].result())


def check_same(frames: list[Frame], expected: list[Frame]) -> None:
    """The same lines of each stream; how the streams interleave is known to nobody."""
    for stream in ("stdout", "stderr"):
        assert of_stream(frames, stream) == of_stream(expected, stream)
    for earlier, later in itertools.pairwise(frames):
        assert (later.out, later.err) > (earlier.out, earlier.err)
        assert later.out >= earlier.out
        assert later.err >= earlier.err


async def check_resuming(hub: LogHub, logs: AttemptLogs, frames: list[Frame]) -> None:
    for index, frame in enumerate(frames):
        check_same(await read_ended(hub, logs, resume=(frame.out, frame.err)), frames[index + 1 :])


@slow
@given(data=BYTES, count=st.integers(0, 12))
def test_the_tail_of_an_ended_attempt(logs: AttemptLogs, data: bytes, count: int) -> None:
    async def check() -> None:
        async with running_hub() as hub:
            frames = await read_ended(hub, logs, tail=count)
            assert of_stream(frames, "stdout") == (plain_lines(data)[-count:] if count else [])

    forget(logs)
    append(logs.stdout_path, data)
    asyncio.run(check())


async def test_followers_who_come_and_go_while_a_worker_floods_miss_nothing(logs: AttemptLogs) -> None:
    count = 30_000

    def work() -> None:
        for start in range(0, count, 10):
            append(logs.stdout_path, b"".join(b"%d\n" % number for number in range(start, start + 10)))
            append(logs.stderr_path, b"e%d\n" % start)

    async def follow(hub: LogHub) -> tuple[int, list[Frame]]:
        """Resumes whenever it was too slow, as a client does."""
        frames: list[Frame] = []
        resumes = 0
        while True:
            resume = (frames[-1].out, frames[-1].err) if frames else None
            async with hub.follow(logs, tail="all", resume=resume) as subscription:
                if not worker.is_alive():
                    hub.finish(logs.attempt_id)
                frames += await all_frames(subscription)
                if subscription.outcome == "ended":
                    return resumes, frames
                resumes += 1

    worker = threading.Thread(target=work)
    async with running_hub() as hub, asyncio.TaskGroup() as group:
        worker.start()
        followers = []
        for _ in range(8):
            followers.append(group.create_task(follow(hub)))
            await asyncio.sleep(0.01)
        await asyncio.to_thread(worker.join)
        hub.finish(logs.attempt_id)
    for follower in followers:
        _, frames = follower.result()
        assert of_stream(frames, "stdout") == [str(number) for number in range(count)]
        assert of_stream(frames, "stderr") == [f"e{number}" for number in range(0, count, 10)]


async def test_what_is_written_is_there_while_the_attempt_runs(logs: AttemptLogs) -> None:
    async with running_hub() as hub, hub.follow(logs) as subscription:
        append(logs.stdout_path, b"one\n")
        assert await next_frames(subscription, 1) == [Frame("a1", "stdout", "one", 4, 0)]
        append(logs.stderr_path, b"two\r\n")
        assert await next_frames(subscription, 1) == [Frame("a1", "stderr", "two", 4, 5)]


async def test_the_directory_may_be_made_after_following_began(tmp_path: Path) -> None:
    logs = AttemptLogs.within(str(tmp_path / "runs" / "r1"), "a1")
    os.mkdir(tmp_path / "runs")
    async with running_hub() as hub, hub.follow(logs) as subscription:
        await become_live(subscription)
        await wait_until(lambda: hub._feeds["a1"]._pump_handle is None, on_timeout="the reader rests")
        os.mkdir(tmp_path / "runs" / "r1")
        append(logs.stdout_path, b"hello\n")
        assert of_stream(await next_frames(subscription, 1), "stdout") == ["hello"]


@pytest.mark.parametrize(("tail", "expected"), [(2, ["2", "3"]), (0, []), (None, []), ("all", ["1", "2", "3"])])
async def test_tail_then_live(logs: AttemptLogs, tail: log_follow.TailWish, expected: list[str]) -> None:
    append(logs.stdout_path, b"1\n2\n3\n")
    async with running_hub() as hub, hub.follow(logs, tail=tail) as subscription:
        append(logs.stdout_path, b"4\n")
        frames = await next_frames(subscription, len(expected) + 1)
        assert of_stream(frames, "stdout") == [*expected, "4"]


async def test_the_last_line_needs_no_newline_once_the_attempt_has_ended(logs: AttemptLogs) -> None:
    async with running_hub() as hub, hub.follow(logs) as subscription:
        append(logs.stdout_path, b"done")
        hub.finish("a1")
        assert await all_frames(subscription) == [Frame("a1", "stdout", "done", 4, 0)]
        assert subscription.outcome == "ended"


async def test_what_a_stray_child_writes_after_the_end_does_not_keep_followers(logs: AttemptLogs) -> None:
    async with running_hub() as hub, hub.follow(logs) as subscription:
        append(logs.stdout_path, b"in time\n")
        hub.finish("a1")
        append(logs.stdout_path, b"too late\n")
        assert of_stream(await all_frames(subscription), "stdout") == ["in time"]


async def test_a_follower_that_does_not_read_overflows_alone(logs: AttemptLogs) -> None:
    line = b"x" * 1000 + b"\n"
    async with running_hub() as hub, hub.follow(logs) as slow_one, hub.follow(logs) as quick_one:
        await become_live(slow_one, quick_one)
        for _ in range(2 * log_follow.QUEUE_BYTES // len(line)):
            append(logs.stdout_path, line)
            assert len(await next_frames(quick_one, 1)) == 1
            assert slow_one._queued_bytes <= log_follow.QUEUE_BYTES
        assert slow_one.overflowed
        assert not quick_one.overflowed
        with pytest.raises(StopAsyncIteration):
            await anext(slow_one)


async def test_an_overflow_is_also_many_small_chunks(logs: AttemptLogs) -> None:
    async with running_hub() as hub, hub.follow(logs) as subscription:
        for _ in range(log_follow.QUEUE_CHUNKS):
            subscription.push(b"x")
        assert not subscription.overflowed
        subscription.push(b"x")
        assert subscription.overflowed


async def test_what_was_taken_counts_no_more(logs: AttemptLogs) -> None:
    most = b"x" * (log_follow.QUEUE_BYTES - 10)
    async with running_hub() as hub, hub.follow(logs) as subscription:
        for _ in range(3):
            subscription.push(most)
            subscription.push(b"y" * 10)
            assert await anext(subscription) == most + b"y" * 10
        assert not subscription.overflowed


async def test_a_line_larger_than_the_queue_is_delivered(logs: AttemptLogs) -> None:
    async with running_hub() as hub, hub.follow(logs) as subscription:
        waiting = asyncio.create_task(next_frames(subscription, 2))
        await asyncio.sleep(0)
        append(logs.stdout_path, b"x" * (1 << 20) + b"\nafter\n")
        assert [len(line) for line in of_stream(await waiting, "stdout")] == [1 << 20, 5]


async def test_giving_up_waiting_loses_nothing(logs: AttemptLogs) -> None:
    lines = [str(number) for number in range(60_000)]
    append(logs.stdout_path, "\n".join(lines).encode())
    frames: list[Frame] = []
    cancelled = 0
    async with running_hub() as hub, hub.follow(logs, tail="all") as subscription:
        hub.finish("a1")
        async with asyncio.timeout(20):
            while subscription.outcome is None:
                waiting = asyncio.create_task(anext(subscription, b""))
                await asyncio.sleep(0)
                waiting.cancel()
                result = (await asyncio.gather(waiting, return_exceptions=True))[0]
                if isinstance(result, bytes):
                    frames += parse_frames(result)
                else:
                    cancelled += 1
        frames += await all_frames(subscription)
    assert of_stream(frames, "stdout") == lines
    assert cancelled > 0


async def test_silence_is_told_when_asked_for(logs: AttemptLogs) -> None:
    async with running_hub() as hub, hub.follow(logs, idle_seconds=0.01) as subscription:
        async with asyncio.timeout(20):
            assert await anext(subscription) == b""
            assert await anext(subscription) == b""
        append(logs.stdout_path, b"x\n")
        frames: list[Frame] = []
        while not frames:
            frames = parse_frames(await anext(subscription))
        assert of_stream(frames, "stdout") == ["x"]


async def test_a_hole_is_told_in_one_line_and_offsets_stay_exact(logs: AttemptLogs) -> None:
    append(logs.stdout_path, b"".join(b"%063d\n" % number for number in range(32 * 1024)))
    async with running_hub() as hub, hub.follow(logs, tail="all") as subscription:
        first = await next_frames(subscription, 1)
        enforce_cap([logs.stdout_path], 1024 * 1024)
        hub.finish("a1")
        frames = first + await all_frames(subscription)
    (at,) = [index for index, frame in enumerate(frames) if frame.line.startswith("[wattle:")]
    assert frames[at].line == gap_text(frames[at].out - frames[at - 1].out)
    assert frames[at + 1].line == f"{frames[at].out // 64:063}"
    assert frames[-1].out == 2 * 1024 * 1024
    async with running_hub() as hub:
        inside = await read_ended(hub, logs, resume=(200_000, 0))
        assert inside == [
            Frame("a1", "stdout", gap_text(frames[at].out - 200_000), frames[at].out, 0),
            *frames[at + 1 :],
        ]


async def test_an_emptied_log_goes_on_from_its_new_start(logs: AttemptLogs) -> None:
    async with running_hub() as hub, hub.follow(logs) as subscription:
        append(logs.stdout_path, b"a long line\n")
        await next_frames(subscription, 1)
        os.truncate(logs.stdout_path, 0)
        append(logs.stdout_path, b"new\n")
        assert await next_frames(subscription, 2) == [
            Frame("a1", "stdout", EMPTIED_TEXT, 0, 0),
            Frame("a1", "stdout", "new", 4, 0),
        ]
        async with hub.follow(logs, resume=(12, 0)) as late:
            assert of_stream(await next_frames(late, 2), "stdout") == [EMPTIED_TEXT, "new"]


async def test_a_log_that_was_removed_or_cannot_be_read_is_an_error_not_a_silence(logs: AttemptLogs) -> None:
    append(logs.stdout_path, b"x" * 200_000)
    async with running_hub() as hub, hub.follow(logs, tail="all") as subscription:
        hub.finish("a1")
        os.unlink(logs.stdout_path)
        with pytest.raises(FileNotFoundError, match="the log was removed"):
            await all_frames(subscription)
    async with running_hub() as hub, hub.follow(logs) as live, hub.follow(logs, tail=None) as fresh:
        await become_live(live)
        os.mkdir(logs.stdout_path)
        for each in (live, fresh):
            with pytest.raises(IsADirectoryError):
                await all_frames(each)
