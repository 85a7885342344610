"""What a daemon does with what its predecessor left: each verb is on disk before it is said, and nothing is guessed.

The launcher is played by a fake that says what the tests want it to say, since the moments that matter here last for
microseconds. tests/chaos does the same with real ones.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from scheduler.bus import Bus
from scheduler.config import Settings
from scheduler.engine.disk_guard import DiskGuard
from scheduler.engine.engine import Engine
from scheduler.store.database import Database
from scheduler.store.runs import StoredAttempt, get_attempt, get_run, states_of_run
from scheduler.store.workflows import get_worker, get_workflow, insert_workflow
from schemas.envelope import utc_timestamp
from schemas.workflow import parse_workflow
from tests.helpers.waiting import wait_until
from workers.executor import Connected, LauncherIdentity, LaunchSpec, News, Report, Reported

IDENTITY = LauncherIdentity("1-1", "boot-1", "journal-1", pid=1, protocol=1)
OTHER_BOOT = LauncherIdentity("2-1", "boot-2", "journal-1", pid=1, protocol=1)
OTHER_JOURNAL = LauncherIdentity("2-1", "boot-1", "journal-2", pid=1, protocol=1)
STARTED = 1_700_000_000_000


class ScriptedLauncher:
    """An executor that does nothing but hold the engine to its order: what it is told must be on disk already."""

    def __init__(self, store: Database, identity: LauncherIdentity = IDENTITY) -> None:
        self.identity: LauncherIdentity | None = identity
        self.launched: list[str] = []
        self.acknowledged: list[str] = []
        self.stopped: list[tuple[str, float, str]] = []
        self.tell: Callable[[News], None] = lambda _: None
        self._store = store

    async def start(self, deliver: Callable[[News], None]) -> None:
        self.tell = deliver

    def launch(self, specs: Iterable[LaunchSpec]) -> None:
        for spec in specs:
            stored = self._stored(spec.id)
            assert (stored.status, stored.boot_id, stored.completed_at) == ("created", "boot-1", None)
            assert spec.id not in self.acknowledged, "what was acknowledged is sent again, and would run twice"
            self.launched.append(spec.id)

    def stop(self, attempt_id: str, grace_seconds: float, cause: str) -> None:
        if cause != "unknown":
            assert self._stored(attempt_id).stop_cause == cause
        self.stopped.append((attempt_id, grace_seconds, cause))

    def acknowledge(self, attempt_ids: Iterable[str]) -> None:
        for attempt_id in attempt_ids:
            stored = self._store.read(lambda db, wanted=attempt_id: get_attempt(db, wanted))  # type: ignore[misc]
            assert stored is None or stored.completed_at, "acknowledged before it was on disk"
            self.acknowledged.append(attempt_id)

    def _stored(self, attempt_id: str) -> StoredAttempt:
        stored = self._store.read(lambda db: get_attempt(db, attempt_id))
        assert stored is not None, "not on disk"
        return stored

    async def ping(self, timeout_seconds: float) -> bool:
        return True

    async def close(self, *, end_launcher: bool = False) -> None:
        pass

    # -- what the tests let it say ----------------------------------------------------------------

    def connect(self, *reports: Report, identity: LauncherIdentity | None = None) -> None:
        self.identity = identity or self.identity
        assert self.identity is not None
        self.tell(Connected(self.identity, list(reports)))

    def report(self, *reports: Report) -> None:
        self.tell(Reported(list(reports)))

    async def launch_of(self, number: int) -> str:
        """The id of the number-th attempt that was handed over."""
        await wait_until(lambda: len(self.launched) >= number, on_timeout=f"launch {number} of {self.launched}")
        return self.launched[number - 1]


def running(attempt_id: str) -> Report:
    return Report(attempt_id, "running", pid=7, ticks=8, started_at=STARTED)


def exited(attempt_id: str, code: int = 0, **fields: Any) -> Report:
    ends = {"exit_code": code, "pid": 7, "started_at": STARTED, "ended_at": STARTED + 5, **fields}
    return Report(attempt_id, "exited", **ends)


class Life:
    """One daemon's life, without the door: the store, the engine, and a launcher that is played."""

    def __init__(self, store: Database, engine: Engine, launcher: ScriptedLauncher) -> None:
        self.store, self.engine, self.launcher = store, engine, launcher

    async def create(self, *workers: dict[str, Any]) -> None:
        listed = [{"command": "true", **worker} for worker in workers]
        parsed = parse_workflow({"name": "w", "working_dir": "/tmp", "workers": listed})
        await self.store.write(lambda db: insert_workflow(db, parsed, "/tmp", utc_timestamp()))

    def status_of(self, run_id: str, worker: str) -> tuple[str | None, str | None]:
        """(status, reason) of a worker as it is on disk."""
        run = self.store.read(lambda db: get_run(db, run_id))
        assert run is not None
        workflow = self.store.read(lambda db: get_workflow(db, "w"))
        worker_id = self.store.read(lambda db: get_worker(db, workflow, worker)).id
        state = self.store.read(lambda db: states_of_run(db, run.seq)).get(worker_id)
        return (state.status, state.reason) if state else (None, None)

    async def ends(self, run_id: str) -> str:
        """The status of a run once it has ended."""

        def ended() -> str:
            run = self.store.read(lambda db: get_run(db, run_id))
            return run.status if run is not None and run.completed_at else ""

        return await wait_until(ended, on_timeout="the run ends")

    async def turns(self) -> None:
        """Returns when everything that was told has been acted upon."""
        for _ in range(2):
            await self.engine.pump.ask(lambda _: None)


@asynccontextmanager
async def life(state_dir: Path, identity: LauncherIdentity = IDENTITY) -> AsyncIterator[Life]:
    """A daemon that lives inside the block; behind it, it is as if it had been killed."""
    fatal: list[BaseException] = []
    store = Database(str(state_dir / "wattle.db"), fatal.append)
    await store.open()
    settings = Settings(state_dir=str(state_dir), max_concurrent_workers=2, min_free_bytes=0, min_free_percent=0)
    launcher = ScriptedLauncher(store, identity)
    engine = Engine(settings, store, launcher, Bus(), DiskGuard(str(state_dir), 0, 0))
    await engine.start()
    pump = asyncio.create_task(engine.pump.run())
    try:
        yield Life(store, engine, launcher)
    finally:
        pump.cancel()
        (ended,) = await asyncio.gather(pump, return_exceptions=True)
        await store.close()
    assert isinstance(ended, asyncio.CancelledError), f"the pump ended by itself: {ended!r}"
    assert fatal == []


async def started(state_dir: Path, *workers: dict[str, Any], is_running: bool = True) -> tuple[str, str]:
    """A first daemon that handed over the first worker's attempt and died; (run id, attempt id)."""
    async with life(state_dir) as first:
        await first.create(*workers)
        first.launcher.connect()
        run = await first.engine.start_workflow("w")
        attempt_id = await first.launcher.launch_of(1)
        if is_running:
            first.launcher.report(running(attempt_id))
        await first.turns()
    return run.id, attempt_id


# -- before and at the list -------------------------------------------------------------------------


async def test_nothing_is_handed_over_before_the_launcher_has_listed(tmp_path: Path) -> None:
    """Whose launch it is has to be on record with the intent, or a later daemon could prove nothing."""
    async with life(tmp_path) as daemon:
        await daemon.create({"name": "a"})
        run = await daemon.engine.start_workflow("w")
        await daemon.turns()
        assert daemon.launcher.launched == []
        daemon.launcher.connect()
        daemon.launcher.report(exited(await daemon.launcher.launch_of(1)))
        assert await daemon.ends(run.id) == "completed"


async def test_what_a_run_had_not_handed_over_waits_for_the_list_too(tmp_path: Path) -> None:
    async with life(tmp_path) as daemon:
        await daemon.create({"name": "a"})
        run = await daemon.engine.start_workflow("w")
    async with life(tmp_path) as daemon:
        await daemon.turns()
        assert daemon.launcher.launched == []
        daemon.launcher.connect()
        daemon.launcher.report(exited(await daemon.launcher.launch_of(1)))
        assert await daemon.ends(run.id) == "completed"


async def test_a_list_that_was_made_too_early_starts_nothing_twice(tmp_path: Path) -> None:
    """Handed over, not in the list that was already under way, and over: all of it heard in one turn."""
    async with life(tmp_path) as daemon:
        await daemon.create({"name": "a"})
        daemon.launcher.connect()
        run = await daemon.engine.start_workflow("w")
        attempt_id = await daemon.launcher.launch_of(1)
        daemon.launcher.connect()
        daemon.launcher.report(running(attempt_id), exited(attempt_id))
        assert await daemon.ends(run.id) == "completed"
        await daemon.turns()
        assert daemon.launcher.launched == [attempt_id]
        assert daemon.launcher.acknowledged == [attempt_id]


async def test_what_is_told_twice_counts_once(tmp_path: Path) -> None:
    async with life(tmp_path) as daemon:
        await daemon.create({"name": "a"}, {"name": "b", "after": ["a"]})
        daemon.launcher.connect()
        run = await daemon.engine.start_workflow("w")
        first = await daemon.launcher.launch_of(1)
        for _ in range(2):
            daemon.launcher.report(running(first), exited(first), running(first), exited(first, 9))
        second = await daemon.launcher.launch_of(2)
        daemon.launcher.report(exited(first), running(second), exited(second, 3))
        assert await daemon.ends(run.id) == "failed"
        assert daemon.status_of(run.id, "a") == ("completed", None)
        assert daemon.status_of(run.id, "b")[1] == "exited with code 3"
        assert daemon.launcher.launched == [first, second]


# -- after a restart --------------------------------------------------------------------------------


async def test_what_runs_is_adopted(tmp_path: Path) -> None:
    run_id, attempt_id = await started(tmp_path, {"name": "a"})
    async with life(tmp_path) as daemon:
        daemon.launcher.connect(running(attempt_id))
        await daemon.turns()
        assert (daemon.launcher.launched, daemon.status_of(run_id, "a")) == ([], ("running", None))
        assert [attempt.id for attempt in daemon.engine.running_attempts()] == [attempt_id]
        daemon.launcher.report(exited(attempt_id))
        assert await daemon.ends(run_id) == "completed"


async def test_what_ended_meanwhile_is_finished_and_its_downstream_begins(tmp_path: Path) -> None:
    run_id, attempt_id = await started(tmp_path, {"name": "a"}, {"name": "b", "after": ["a"]}, is_running=False)
    async with life(tmp_path) as daemon:
        daemon.launcher.connect(exited(attempt_id))
        second = await daemon.launcher.launch_of(1)
        assert second != attempt_id
        assert daemon.launcher.acknowledged == [attempt_id]
        daemon.launcher.report(exited(second))
        assert await daemon.ends(run_id) == "completed"


async def test_what_the_same_journal_does_not_know_is_sent_again_under_its_id(tmp_path: Path) -> None:
    run_id, attempt_id = await started(tmp_path, {"name": "a"}, is_running=False)
    async with life(tmp_path) as daemon:
        daemon.launcher.connect()
        assert await daemon.launcher.launch_of(1) == attempt_id
        daemon.launcher.report(exited(attempt_id))
        assert await daemon.ends(run_id) == "completed"


async def test_what_is_known_to_have_begun_is_not_sent_again_whatever_the_journal_says(tmp_path: Path) -> None:
    """A journal of which a part was lost: that it does not know of a start proves nothing against our own record."""
    run_id, _ = await started(tmp_path, {"name": "a"}, is_running=True)
    async with life(tmp_path) as daemon:
        daemon.launcher.connect()
        assert await daemon.ends(run_id) == "failed"
        assert daemon.launcher.launched == []
        assert str(daemon.status_of(run_id, "a")[1]).startswith("lost: ")


@pytest.mark.parametrize(
    ("identity", "why"), [(OTHER_BOOT, "the host restarted"), (OTHER_JOURNAL, "the launcher's journal is gone")]
)
async def test_what_nobody_can_know_is_lost(tmp_path: Path, identity: LauncherIdentity, why: str) -> None:
    run_id, attempt_id = await started(tmp_path, {"name": "a"}, {"name": "b", "after": ["a"]}, is_running=False)
    async with life(tmp_path, identity) as daemon:
        daemon.launcher.connect()
        assert await daemon.ends(run_id) == "failed"
        assert daemon.launcher.launched == []
        status, reason = daemon.status_of(run_id, "a")
        assert (status, str(reason).startswith(f"lost: {why}")) == ("failed", True)
        assert daemon.status_of(run_id, "b")[0] == "cancelled"
        stored = daemon.store.read(lambda db: get_attempt(db, attempt_id))
        assert stored is not None
        assert (stored.phase, stored.exit_code, stored.signal) == ("lost", None, None)


async def test_an_end_in_the_journal_counts_even_after_a_restart_of_the_host(tmp_path: Path) -> None:
    run_id, attempt_id = await started(tmp_path, {"name": "a"})
    async with life(tmp_path, OTHER_BOOT) as daemon:
        daemon.launcher.connect(exited(attempt_id, 3))
        assert await daemon.ends(run_id) == "failed"
        assert daemon.status_of(run_id, "a") == ("failed", "exited with code 3")


# -- stops ------------------------------------------------------------------------------------------


async def stop_and_die(state_dir: Path) -> tuple[str, str]:
    """A first daemon that was asked to stop the run, wrote it down, and died."""
    async with life(state_dir) as first:
        await first.create({"name": "a", "stop_grace_seconds": 3}, {"name": "b", "after": ["a"]})
        first.launcher.connect()
        run = await first.engine.start_workflow("w")
        attempt_id = await first.launcher.launch_of(1)
        asked = asyncio.create_task(first.engine.stop_workflow("w"))
        await wait_until(lambda: first.launcher.stopped, on_timeout="the stop is told")
        asked.cancel()
    return run.id, attempt_id


async def test_a_stop_on_record_is_told_again(tmp_path: Path) -> None:
    run_id, attempt_id = await stop_and_die(tmp_path)
    async with life(tmp_path) as daemon:
        daemon.launcher.connect(running(attempt_id))
        await wait_until(lambda: daemon.launcher.stopped, on_timeout="the stop is told again")
        assert set(daemon.launcher.stopped) == {(attempt_id, 3.0, "stop")}
        daemon.launcher.report(exited(attempt_id, cause="stop"))
        assert await daemon.ends(run_id) == "cancelled"
        assert daemon.launcher.launched == []


async def test_what_was_stopped_before_it_began_never_begins(tmp_path: Path) -> None:
    run_id, _ = await stop_and_die(tmp_path)
    async with life(tmp_path) as daemon:
        daemon.launcher.connect()
        assert await daemon.ends(run_id) == "cancelled"
        assert daemon.launcher.launched == []


# -- what is nobody's -------------------------------------------------------------------------------


async def test_what_is_on_no_record_is_stopped_or_forgotten(tmp_path: Path) -> None:
    """A database from a backup: the launcher holds more than it knows."""
    async with life(tmp_path) as daemon:
        daemon.launcher.connect(running("X1"), exited("X2"), Report("X3", "queued"))
        await daemon.turns()
        assert daemon.launcher.stopped == [("X1", 0.0, "unknown"), ("X3", 0.0, "unknown")]
        assert daemon.launcher.acknowledged == ["X2"]
        daemon.launcher.report(exited("X1"))
        await daemon.turns()
        assert daemon.launcher.acknowledged == ["X2", "X1"]


async def test_an_acknowledgement_that_was_lost_is_given_again(tmp_path: Path) -> None:
    async with life(tmp_path) as daemon:
        await daemon.create({"name": "a"})
        daemon.launcher.connect()
        run = await daemon.engine.start_workflow("w")
        attempt_id = await daemon.launcher.launch_of(1)
        daemon.launcher.report(exited(attempt_id))
        await daemon.ends(run.id)
    async with life(tmp_path) as daemon:
        daemon.launcher.connect(exited(attempt_id))
        await daemon.turns()
        assert daemon.launcher.acknowledged == [attempt_id]
        assert daemon.launcher.launched == []
