"""The log stream of a worker before, between and after its attempts, and how it ends."""

import pytest

from tests.e2e.watched import HELD, Watched, held_by
from tests.helpers.daemon import Daemon, running_daemon
from tests.helpers.event_stream import following, lines_of


async def test_it_waits_for_a_worker_that_has_not_started_yet(daemon: Daemon) -> None:
    watched = Watched(
        daemon, "later", {"name": "a", "command": HELD}, {"name": "b", "command": "echo now", "after": ["a"]}
    )
    watched.start()
    async with following(daemon.port, watched.of("b", "logs", "stream")) as stream:
        watched.let_go()
        events, end = await stream.until_end()
    assert (lines_of(events), end["status"]) == (["now"], "completed")


async def test_a_worker_that_never_ran_and_one_that_never_will(daemon: Daemon) -> None:
    watched = Watched(
        daemon, "never", {"name": "a", "command": "sh -c 'exit 2'"}, {"name": "b", "command": "true", "after": ["a"]}
    )
    async with following(daemon.port, watched.of("b", "logs", "stream")) as stream:
        end = {"status": "created", "exit_code": None, "signal": None, "reason": None}
        assert await stream.until_end() == ([], end)
    watched.run()
    async with following(daemon.port, watched.of("b", "logs", "stream")) as stream:
        end = {"status": "cancelled", "exit_code": None, "signal": None, "reason": "upstream 'a' failed"}
        assert await stream.until_end() == ([], end)


@pytest.mark.parametrize("again", ["retry", "restart"])
async def test_it_follows_into_the_next_attempt(daemon: Daemon, again: str) -> None:
    command = f"echo attempt $WATTLE_ATTEMPT; {held_by('go$WATTLE_ATTEMPT')}; [ $WATTLE_ATTEMPT = 2 ]"
    watched = Watched(
        daemon, f"again-{again}", {"name": "w", "command": command, "retry": {"limit": 1, "delay_seconds": 0.05}}
    )
    watched.start()
    async with following(daemon.port, watched.of("w", "logs", "stream") + "?tail=0") as stream:
        # tail=0 leaves out what was there before, but not what the next attempt says
        await watched.is_now("w", "running")
        if again == "retry":
            watched.let_go("go1")
        else:
            watched.ask("w", "restart")
        seen: list[str] = []
        while "attempt 2" not in seen:
            event = await stream.next()
            assert event is not None
            seen.append(event.line[1])
        watched.let_go("go2")
        events, end = await stream.until_end()
    assert (events, end["status"]) == ([], "completed")


async def test_no_attempt_is_passed_over_however_short(daemon: Daemon) -> None:
    command = f"echo attempt $WATTLE_ATTEMPT; {HELD}; exit 1"
    retry = {"limit": 30, "delay_seconds": 0}
    watched = Watched(daemon, "quick-retries", {"name": "w", "command": command, "retry": retry})
    watched.start()
    async with following(daemon.port, watched.of("w", "logs", "stream")) as stream:
        assert await stream.lines(1) == [("stdout", "attempt 1")]
        watched.let_go()
        events, end = await stream.until_end()
    assert lines_of(events) == [f"attempt {number}" for number in range(2, 32)]
    assert end["reason"] == "exited with code 1; gave up after 31 attempts"


async def test_who_broke_off_in_an_earlier_attempt_gets_the_rest_of_it(daemon: Daemon) -> None:
    command = f"echo a$WATTLE_ATTEMPT; echo b$WATTLE_ATTEMPT; {held_by('go$WATTLE_ATTEMPT')}; exit 1"
    retry = {"limit": 2, "delay_seconds": 0}
    watched = Watched(daemon, "broken-off", {"name": "w", "command": command, "retry": retry})
    watched.start()
    path = watched.of("w", "logs", "stream")
    async with following(daemon.port, path) as stream:
        first = await stream.next()
        assert first is not None
        assert first.line == ("stdout", "a1")
    for name in ("go1", "go2", "go3"):
        watched.let_go(name)
    watched.end()
    async with following(daemon.port, path, **{"Last-Event-ID": first.id or ""}) as stream:
        events, _ = await stream.until_end()
    assert lines_of(events) == ["b1", "a2", "b2", "a3", "b3"]


async def test_the_end_says_how_it_ended(daemon: Daemon) -> None:
    watched = Watched(
        daemon,
        "ends",
        {"name": "fails", "command": "echo out; echo err >&2; exit 3", "shell": True},
        {"name": "stopped", "command": "echo out; sleep 1000"},
    )
    watched.start()
    async with following(daemon.port, watched.of("fails", "logs", "stream")) as stream:
        _, end = await stream.until_end()
    assert end == {"status": "failed", "exit_code": 3, "signal": None, "reason": "exited with code 3"}
    async with following(daemon.port, watched.of("stopped", "logs", "stream")) as stream:
        assert await stream.lines(1) == [("stdout", "out")]
        watched.ask("stopped", "stop")
        _, end = await stream.until_end()
    assert end == {"status": "cancelled", "exit_code": None, "signal": 15, "reason": "stopped by request"}


async def test_an_end_of_the_daemon_ends_its_streams_in_order(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_daemon(tmp_path_factory.mktemp("ending"), max_concurrent_workers=2) as own:
        watched = Watched(
            own,
            "held",
            {"name": "runs", "command": "echo begun; sleep 1000"},
            {"name": "waits", "command": "true", "after": ["runs"]},
        )
        watched.start()
        async with (
            following(own.port, watched.of("runs", "logs", "stream")) as runs,
            following(own.port, watched.of("waits", "logs", "stream")) as waits,
        ):
            assert await runs.lines(1) == [("stdout", "begun")]
            assert own.terminate() == 0
            # the last chunk comes, but no `event: end`: the worker lives on
            assert [await stream.next() for stream in (runs, waits)] == [None, None]
            assert (runs.ended_in_order, waits.ended_in_order) == (True, True)
