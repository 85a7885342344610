"""The sampler: one pass for all who ask, the highest memory kept, logs held within their cap, silence when idle."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from scheduler.engine import sampler as room
from scheduler.engine.runner import Attempt
from scheduler.engine.sampler import Sampler
from scheduler.store.database import Database
from tests.helpers.waiting import wait_until
from tests.unit.scheduler.engine.planning import workflow_of
from tests.unit.scheduler.engine.running import BOOT, JOURNAL, Day

CAP_BYTES = 1 << 20
Begin = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often: what is tested is what is seen, not how often."""
    monkeypatch.setattr(room, "SAMPLE_SECONDS", 0.02)


@pytest.fixture
async def attempt(store: Database, tmp_path: Path) -> Attempt:
    day = await Day.begin(store, workflow_of(a=()))
    day.runner.logs_dir = str(tmp_path)
    return day.runner.intend(0, None, 1, BOOT, JOURNAL)[0]


@pytest.fixture
def begin(attempt: Attempt) -> Iterator[Begin]:
    """Starts the attempt's process as the launcher does; kills what is left of it."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(*argv: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(argv, start_new_session=True)
        begun.append(process)
        attempt.pid, attempt.started_at = process.pid, 1
        return process

    yield begin
    for process in begun:
        process.kill()
        process.wait()


class Passes:
    """Counts the passes over the process table, which it leaves to the real one."""

    def __init__(self, sampler: Sampler) -> None:
        self.count, self._real = 0, sampler._trees.sample
        sampler._trees.sample = self._sample  # type: ignore[method-assign, assignment]

    def _sample(self, leaders: dict[str, int]) -> object:
        self.count += 1
        return self._real(leaders)


@contextlib.asynccontextmanager
async def running(sampler: Sampler) -> AsyncIterator[None]:
    task = asyncio.get_running_loop().create_task(sampler.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def disk_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


def log_of(attempt: Attempt) -> Path:
    return Path(attempt.runner.log_prefix(attempt.id) + ".out")


async def test_a_sample_of_a_real_process(attempt: Attempt, begin: Begin) -> None:
    begin("sleep", "1000")
    sample = await Sampler(lambda: [attempt], CAP_BYTES).sample_of(attempt)
    assert sample is not None
    assert (sample.processes, sample.memory_bytes > 0) == (1, True)
    assert attempt.peak_memory_bytes == sample.memory_bytes
    assert attempt.cpu_seconds == sample.cpu_seconds


async def test_nothing_is_left_of_what_has_ended(attempt: Attempt, begin: Begin) -> None:
    begin("true").wait()
    assert await Sampler(lambda: [attempt], CAP_BYTES).sample_of(attempt) is None
    assert attempt.peak_memory_bytes is None


async def test_many_who_ask_at_once_cost_one_pass(attempt: Attempt, begin: Begin) -> None:
    begin("sleep", "1000")
    sampler = Sampler(lambda: [attempt], CAP_BYTES)
    passes = Passes(sampler)
    samples = await asyncio.gather(*(sampler.sample_of(attempt) for _ in range(20)))
    assert passes.count == 1
    assert len(set(samples)) == 1


async def test_a_worker_that_is_new_since_the_last_pass_is_sampled_at_once(attempt: Attempt, begin: Begin) -> None:
    known: list[Attempt] = []
    sampler = Sampler(lambda: known, CAP_BYTES)
    assert await sampler.sample_of(attempt) is None
    begin("sleep", "1000")
    known.append(attempt)
    assert await sampler.sample_of(attempt) is not None


async def test_the_highest_memory_is_kept(attempt: Attempt, begin: Begin) -> None:
    begin("sleep", "1000")
    attempt.peak_memory_bytes = 1 << 50
    await Sampler(lambda: [attempt], CAP_BYTES).sample_of(attempt)
    assert attempt.peak_memory_bytes == 1 << 50


async def test_the_loop_samples_what_runs_and_forgets_it_afterwards(attempt: Attempt, begin: Begin) -> None:
    begin("sleep", "1000")
    known = [attempt]
    sampler = Sampler(lambda: known, CAP_BYTES)
    passes = Passes(sampler)
    async with running(sampler):
        await wait_until(lambda: getattr(sampler._awake, "_waiters"), on_timeout="the sampler waits to be told")  # noqa: B009
        assert passes.count == 0
        sampler.note(attempt)
        await wait_until(lambda: attempt.peak_memory_bytes, on_timeout="the running attempt is sampled")
        known.clear()
        await wait_until(lambda: not sampler._awake.is_set(), on_timeout="the sampler sleeps")
        assert sampler._samples == {}


async def test_a_log_over_its_cap_is_cut_while_the_worker_runs(attempt: Attempt, begin: Begin) -> None:
    begin("sleep", "1000")
    log = log_of(attempt)
    log.write_bytes(b"x" * 4 * CAP_BYTES)
    sampler = Sampler(lambda: [attempt], CAP_BYTES)
    async with running(sampler):
        sampler.note(attempt)
        await wait_until(lambda: disk_bytes(log) <= CAP_BYTES, on_timeout="the log is within its cap")


async def test_a_log_of_one_that_ended_before_the_first_look_is_cut_too(attempt: Attempt) -> None:
    log = log_of(attempt)
    log.write_bytes(b"x" * 4 * CAP_BYTES)
    sampler = Sampler(list, CAP_BYTES)
    async with running(sampler):
        sampler.note(attempt)
        await wait_until(lambda: disk_bytes(log) <= CAP_BYTES, on_timeout="the log is within its cap")
        await wait_until(lambda: not sampler._awake.is_set(), on_timeout="the sampler sleeps")
