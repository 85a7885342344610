"""The log linker: people find the logs of what runs, and thousands of short attempts are not slowed down for it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scheduler.engine.log_linker import BATCH, LogLinker, link_of
from scheduler.engine.runner import Attempt
from scheduler.engine.slots import Window
from scheduler.store.database import Database
from tests.helpers.waiting import wait_until
from tests.unit.scheduler.engine.planning import workflow_of
from tests.unit.scheduler.engine.running import BOOT, JOURNAL, Day


@pytest.fixture
async def attempts(store: Database, tmp_path: Path) -> list[Attempt]:
    """Two attempts of `a` and one of `b`."""
    work = tmp_path / "flow"
    day = await Day.begin(store, workflow_of(a={}, b={"working_dir": "sub"}), working_dir=str(work))
    day.runner.logs_dir = str(tmp_path)
    made = [day.runner.intend(worker, None, 1, BOOT, JOURNAL)[0] for worker in (0, 0, 1)]
    write_logs(made)
    return made


def write_logs(attempts: list[Attempt]) -> None:
    """Logs that hold the attempt's name."""
    for attempt in attempts:
        for ending in ("out", "err"):
            Path(f"{attempt.runner.log_prefix(attempt.id)}.{ending}").write_text(attempt.id)


@pytest.fixture
def window() -> Window:
    return Window(slots=2, most_ahead=64)


@contextlib.asynccontextmanager
async def running(linker: LogLinker) -> AsyncIterator[None]:
    task = asyncio.get_running_loop().create_task(linker.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def noted(linker: LogLinker, attempt: Attempt, seconds_ago: float) -> None:
    """Note an attempt as if that had been a while ago."""
    linker.note(attempt)
    folder, prefix = link_of(attempt)
    linker._wanted[folder] = (prefix, time.monotonic() - seconds_ago)


async def test_the_folder_is_the_workers_in_its_own_working_directory(attempts: list[Attempt], tmp_path: Path) -> None:
    first, _, other = attempts
    assert link_of(first) == (f"{tmp_path}/flow/a", f"{tmp_path}/{first.id}")
    assert link_of(other) == (f"{tmp_path}/flow/sub/b", f"{tmp_path}/{other.id}")


async def test_links_lead_to_the_latest_attempt(attempts: list[Attempt], window: Window, tmp_path: Path) -> None:
    linker = LogLinker(window)
    async with running(linker):
        for attempt in attempts:
            linker.note(attempt)
        links = [tmp_path / "flow" / "a" / "stdout.log", tmp_path / "flow" / "sub" / "b" / "stderr.log"]
        await wait_until(lambda: all(link.exists() for link in links), on_timeout="both workers have their links")
        assert [link.read_text() for link in links] == [attempts[1].id, attempts[2].id]
        linker.note(attempts[0])
        await wait_until(lambda: links[0].read_text() == attempts[0].id, on_timeout="the link leads to the newer one")


async def test_one_that_cannot_be_made_keeps_no_other_waiting(
    attempts: list[Attempt], window: Window, tmp_path: Path
) -> None:
    (tmp_path / "flow").mkdir()
    (tmp_path / "flow" / "a").write_text("in the way")
    linker = LogLinker(window)
    async with running(linker):
        linker.note(attempts[0])
        linker.note(attempts[2])
        await wait_until((tmp_path / "flow" / "sub" / "b" / "stdout.log").exists, on_timeout="the other has its link")
    assert linker._due() == []


async def test_while_much_is_queued_only_what_lives_for_a_while_gets_links(
    attempts: list[Attempt], window: Window
) -> None:
    linker = LogLinker(window)
    window.handed = window.slots + 1
    noted(linker, attempts[0], seconds_ago=0.5)
    assert linker._due() == []
    noted(linker, attempts[0], seconds_ago=1.5)
    assert linker._due() == [link_of(attempts[0])]
    assert linker._due() == []


class BusyAtFirst(Window):
    """A window that is overfull at the first look, and quiet ever after."""

    looks = 0

    @property
    def handed(self) -> int:
        self.looks += 1
        return self.slots + (self.looks == 1)

    @handed.setter
    def handed(self, _: int) -> None:
        pass


async def test_what_had_to_wait_gets_its_link_in_quieter_times(attempts: list[Attempt], tmp_path: Path) -> None:
    linker = LogLinker(BusyAtFirst(slots=2, most_ahead=64))
    async with running(linker):
        linker.note(attempts[0])
        link = tmp_path / "flow" / "a" / "stdout.log"
        await wait_until(link.exists, on_timeout="the link is made without another word")


async def test_what_has_only_just_started_waits_a_moment(attempts: list[Attempt], window: Window) -> None:
    linker = LogLinker(window)
    linker.note(attempts[0])
    assert linker._due() == []
    noted(linker, attempts[0], seconds_ago=0.5)
    assert linker._due() == [link_of(attempts[0])]


async def test_a_few_at_a_time(attempts: list[Attempt], window: Window) -> None:
    linker = LogLinker(window)
    long_ago = time.monotonic() - 60
    linker._wanted = {f"/nowhere/{number}": (f"/state/{number}", long_ago) for number in range(BATCH + 1)}
    assert [len(linker._due()) for _ in range(3)] == [BATCH, 1, 0]


async def test_it_sleeps_when_there_is_nothing_to_do(attempts: list[Attempt], window: Window, tmp_path: Path) -> None:
    linker = LogLinker(window)
    async with running(linker):
        linker.note(attempts[0])
        await wait_until(lambda: not linker._awake.is_set(), on_timeout="the linker sleeps")
    assert (tmp_path / "flow" / "a" / "stdout.log").read_text() == attempts[0].id
