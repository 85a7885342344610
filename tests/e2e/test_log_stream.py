"""Logs as they are written: the backlog, then every line once and in order, whatever it holds, for one or for many."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from tests.e2e.asking import ask, assert_refused, quiet_daemon
from tests.e2e.watched import HELD, Watched, held_by
from tests.helpers.daemon import Daemon
from tests.helpers.event_stream import Event, following, lines_of
from tests.helpers.waiting import wait_until

MAX_STREAMS = 30
PART_BYTES = 1024 * 1024
# A worker that writes what the test puts into the pipe `in`, to stdout, until the pipe is closed.
FROM_PIPE = "mkfifo in; touch ready; cat in"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with quiet_daemon(tmp_path_factory.mktemp("logs"), max_streams=MAX_STREAMS) as running:
        yield running


class Pipe:
    """A worker of its own workflow that writes what `say` is given."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        self.watched = Watched(daemon, name, {"name": "w", "command": FROM_PIPE})
        self.stream = self.watched.of("w", "logs", "stream")

    async def open(self) -> None:
        """Starts the worker."""
        self.watched.start()
        await wait_until((self.watched.place / "ready").exists, on_timeout="the pipe is there")
        self._fd = await asyncio.to_thread(os.open, self.watched.place / "in", os.O_WRONLY)

    def say(self, *lines: str) -> None:
        """Each with a newline, in one write."""
        self.write("".join(f"{line}\n" for line in lines).encode())

    def write(self, data: bytes) -> None:
        """Bytes as they are; at most what a pipe takes."""
        os.write(self._fd, data)

    def close(self) -> None:
        """The worker ends."""
        os.close(self._fd)


# -- what was written before ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def counted(daemon: Daemon) -> Watched:
    """A worker that has written 500 lines to stdout and 3 to stderr."""
    watched = Watched(daemon, "counted", {"name": "w", "command": "seq 1 500; seq 1 3 >&2"})
    watched.run()
    return watched


@pytest.mark.parametrize(
    ("query", "first", "errors"),
    [
        ("", 401, 3),
        ("?tail=all", 1, 3),
        ("?tail=2", 499, 2),
        ("?tail=0", 501, 0),
        ("?tail=1000", 1, 3),
        ("?tail=2&stream=stdout", 499, 0),
        ("?tail=2&stream=stderr", 501, 2),
    ],
)
async def test_the_backlog(daemon: Daemon, counted: Watched, query: str, first: int, errors: int) -> None:
    async with following(daemon.port, counted.of("w", "logs", "stream") + query) as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
        assert (stream.headers["cache-control"], stream.headers["x-accel-buffering"]) == ("no-store", "no")
        events, end = await stream.until_end()
    assert lines_of(events) == [str(number) for number in range(first, 501)]
    assert lines_of(events, "stderr") == [str(number) for number in range(4 - errors, 4)]
    assert end == {"status": "completed", "exit_code": 0, "signal": None, "reason": None}


async def test_every_id_resumes_where_it_stands(daemon: Daemon, counted: Watched) -> None:
    path = counted.of("w", "logs", "stream")
    async with following(daemon.port, path + "?tail=all") as stream:
        events, _ = await stream.until_end()
    for at in (0, 1, 250, 499, 500, len(events) - 1):
        async with following(daemon.port, path, **{"Last-Event-ID": events[at].id or ""}) as stream:
            again, _ = await stream.until_end()
        assert [event.text for event in again] == [event.text for event in events[at + 1 :]]


async def test_an_id_of_an_earlier_attempt_brings_all_of_the_latest(daemon: Daemon) -> None:
    watched = Watched(daemon, "two-runs", {"name": "w", "command": "echo run; seq 1 200"})
    watched.run()
    path = watched.of("w", "logs", "stream")
    async with following(daemon.port, path) as stream:
        events, _ = await stream.until_end()
    watched.run()
    async with following(daemon.port, path, **{"Last-Event-ID": events[-1].id or ""}) as stream:
        again, _ = await stream.until_end()
    assert lines_of(again) == ["run", *(str(number) for number in range(1, 201))]


@pytest.mark.parametrize("given", ["nonsense", "1", "01ABC:1:1", "'; DROP TABLE attempts", "0" * 26 + ":99999999999:5"])
async def test_an_id_that_means_nothing_is_no_error(daemon: Daemon, counted: Watched, given: str) -> None:
    async with following(daemon.port, counted.of("w", "logs", "stream"), **{"Last-Event-ID": given}) as stream:
        events, end = await stream.until_end()
    assert (events[-1].line, end["status"]) == (("stderr", "3"), "completed")


# -- what is being written ------------------------------------------------------------------------------------


async def test_a_slow_writer_is_followed_without_gap_or_double(daemon: Daemon) -> None:
    pipe = Pipe(daemon, "slow-writer")
    await pipe.open()
    pipe.say("before")
    async with following(daemon.port, pipe.stream + "?tail=all") as stream:
        assert await stream.lines(1) == [("stdout", "before")]
        for number in range(30):
            pipe.say(f"line {number}")
            assert await stream.lines(1) == [("stdout", f"line {number}")]
        pipe.say(*(f"burst {number}" for number in range(1000)))
        assert await stream.lines(1000) == [("stdout", f"burst {number}") for number in range(1000)]
        pipe.write(b"no newline at the end")
        assert await stream.lines(1) == [("stdout", "no newline at the end")]
        pipe.close()
        assert await stream.until_end() == ([], {"status": "completed", "exit_code": 0, "signal": None, "reason": None})


async def test_joining_in_the_middle_of_a_flood(daemon: Daemon) -> None:
    """Where the past ends and the live part begins nothing is lost and nothing comes twice."""
    count = 60_000
    watched = Watched(daemon, "flood", {"name": "w", "command": f"seq 1 {count}; {HELD}; seq {count + 1} {2 * count}"})
    watched.start()
    expected = [str(number) for number in range(1, 2 * count + 1)]

    async def follow() -> list[str]:
        async with following(daemon.port, watched.of("w", "logs", "stream") + "?tail=all") as stream:
            return await lines_with_resyncs(daemon, watched, stream_events=[event async for event in stream])

    following_now = [asyncio.create_task(follow()) for _ in range(3)]
    watched.let_go()
    for lines in await asyncio.gather(*following_now):
        assert lines == expected


async def lines_with_resyncs(daemon: Daemon, watched: Watched, stream_events: list[Event]) -> list[str]:
    """All lines; a client that was told that it is too slow comes again with the last id, as a browser does."""
    lines: list[str] = []
    while True:
        messages = [event for event in stream_events if event.type == "message"]
        lines += lines_of(messages)
        last = stream_events[-1]
        if last.type == "end":
            return lines
        assert last.type == "resync", last.text
        again = {"Last-Event-ID": messages[-1].id or ""}
        async with following(daemon.port, watched.of("w", "logs", "stream"), **again) as stream:
            stream_events = [event async for event in stream]


async def test_both_streams_live(daemon: Daemon) -> None:
    steps = "".join(f"{held_by(f'go{number}')}; echo {number} >&{1 + number % 2}; " for number in range(6))
    watched = Watched(daemon, "both", {"name": "w", "command": steps})
    watched.start()
    async with following(daemon.port, watched.of("w", "logs", "stream")) as stream:
        for number in range(6):
            watched.let_go(f"go{number}")
            assert await stream.lines(1) == [("stderr" if number % 2 else "stdout", str(number))]
        await stream.until_end()


async def test_a_prompt_is_seen_by_those_who_were_there_and_those_who_come(daemon: Daemon) -> None:
    pipe = Pipe(daemon, "prompt")
    await pipe.open()
    async with following(daemon.port, pipe.stream) as early:
        pipe.write(b"name? ")
        assert await early.lines(1) == [("stdout", "name? ")]
        async with following(daemon.port, pipe.stream) as late:
            assert await late.lines(1) == [("stdout", "name? ")]
            pipe.say("wattle")
            pipe.close()
            for stream in (early, late):
                assert await stream.lines(1) == [("stdout", "wattle")]
                await stream.until_end()


async def test_resuming_while_it_runs(daemon: Daemon) -> None:
    pipe = Pipe(daemon, "resumed")
    await pipe.open()
    pipe.say("one", "two")
    async with following(daemon.port, pipe.stream) as stream:
        await stream.next()
        last = await stream.next()
        assert last is not None
    pipe.say("three")
    async with following(daemon.port, pipe.stream, **{"Last-Event-ID": last.id or ""}) as stream:
        assert await stream.lines(1) == [("stdout", "three")]
        pipe.say("four")
        pipe.close()
        events, _ = await stream.until_end()
    assert lines_of(events) == ["four"]


async def test_a_worker_is_followed_across_a_death_of_the_daemon(tmp_path_factory: pytest.TempPathFactory) -> None:
    with quiet_daemon(tmp_path_factory.mktemp("killed")) as own:
        pipe = Pipe(own, "survivor")
        await pipe.open()
        pipe.say("before")
        async with following(own.port, pipe.stream) as stream:
            last = await stream.next()
            assert last is not None
            own.kill()
            pipe.say("while nobody was there")
            assert await stream.next() is None
            assert not stream.ended_in_order
        own.start()
        async with following(own.port, pipe.stream, **{"Last-Event-ID": last.id or ""}) as stream:
            assert await stream.lines(1) == [("stdout", "while nobody was there")]
            pipe.say("after")
            assert await stream.lines(1) == [("stdout", "after")]
            pipe.close()
            events, end = await stream.until_end()
        assert (events, end["status"], end["exit_code"]) == ([], "completed", 0)


# -- what is written ------------------------------------------------------------------------------------------


async def test_bytes_that_are_no_text(daemon: Daemon) -> None:
    pipe = Pipe(daemon, "bytes")
    await pipe.open()
    async with following(daemon.port, pipe.stream) as stream:
        for written, shown in (
            (b"caf\xe9 \xff\xfe\n", "caf\ufffd \ufffd\ufffd"),
            (b"\x1b[31mred\x1b[0m \x00 tab\t\n", "\x1b[31mred\x1b[0m \x00 tab\t"),
            ("数据 \U0001f600 \u2028\n".encode(), "数据 \U0001f600 \u2028"),
            (b"\n", ""),
            (b"data: {}\n", "data: {}"),
            (b'"quoted" \\\n', '"quoted" \\'),
        ):
            pipe.write(written)
            assert await stream.lines(1) == [("stdout", shown)]
        pipe.close()
        await stream.until_end()


async def test_a_line_of_two_mebibytes_comes_in_parts(daemon: Daemon) -> None:
    command = f"head -c {2 * PART_BYTES} /dev/zero | tr '\\0' x; echo end"
    watched = Watched(daemon, "long-line", {"name": "w", "command": command})
    watched.run()
    async with following(daemon.port, watched.of("w", "logs", "stream")) as stream:
        events, _ = await stream.until_end()
    parts = lines_of(events)
    assert "".join(parts) == "x" * 2 * PART_BYTES + "end"
    assert max(map(len, parts)) == PART_BYTES


# -- many at once ---------------------------------------------------------------------------------------------


async def test_all_clients_of_one_log_get_the_same(daemon: Daemon) -> None:
    pipe = Pipe(daemon, "many")
    await pipe.open()
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(following(daemon.port, pipe.stream)) for _ in range(20)]
        leaving = AsyncExitStack()
        gone = [await leaving.enter_async_context(following(daemon.port, pipe.stream)) for _ in range(5)]
        pipe.say("for all")
        for stream in (*streams, *gone):
            assert await stream.lines(1) == [("stdout", "for all")]
        await leaving.aclose()
        for number in range(20):
            pipe.say(f"line {number}")
        pipe.close()
        answers = await asyncio.gather(*(stream.until_end() for stream in streams))
    texts = [[event.text for event in events] for events, _ in answers]
    assert lines_of(answers[0][0]) == [f"line {number}" for number in range(20)]
    assert all(text == texts[0] for text in texts)


async def test_no_more_streams_than_allowed(daemon: Daemon) -> None:
    watched = Watched(daemon, "crowded", {"name": "w", "command": HELD})
    watched.start()
    path = watched.of("w", "logs", "stream")
    async with AsyncExitStack() as stack:
        for _ in range(MAX_STREAMS):
            stream = await stack.enter_async_context(following(daemon.port, path))
            assert stream.status == 200
        refused = await ask(daemon, "GET", path)
        assert_refused(refused, 503, "SERVICE_UNAVAILABLE", f"{MAX_STREAMS} event streams are open")
        assert int(refused.header("Retry-After") or 0) > 0
        assert daemon.get("/api/health")["status"] == "ok"

    # who has left makes room
    async def is_free() -> bool:
        async with following(daemon.port, path) as stream:
            return stream.status == 200

    await wait_until(is_free, on_timeout="there is room again")
    watched.let_go()
    watched.end()
