"""The engine's verbs: what a person can ask of workflows and workers, each refused or on disk when it returns."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from scheduler.engine.definitions import Definition, Definitions
from scheduler.engine.pump import Enter, Pump
from scheduler.engine.recovery import recover
from scheduler.engine.runner import Acts, Attempt, Runner
from scheduler.engine.slots import Window
from scheduler.engine.waiting import why_waiting
from scheduler.store.changes import RunStarted
from scheduler.store.record import record
from scheduler.store.runs import get_run, last_run_seq
from scheduler.store.ulid import new_ulid
from scheduler.store.workflows import get_worker, get_workflow
from schemas.envelope import utc_timestamp
from schemas.errors import (
    InputMissing,
    ServiceUnavailable,
    WorkerAlreadyRunning,
    WorkerNotRunning,
    WorkflowAlreadyRunning,
    WorkflowNotRunning,
)
from workers.files import missing_inputs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from scheduler.bus import Bus
    from scheduler.config import Settings
    from scheduler.engine.disk_guard import DiskGuard
    from scheduler.store.database import Database
    from scheduler.store.runs import StoredRun
    from scheduler.store.workflows import StoredWorkflow
    from schemas.events import Event
    from workers.executor import Executor, LauncherIdentity

BY_REQUEST = "stopped by request"
STOP_MARGIN_SECONDS = 15.0


class Engine:
    """Owns the runs in progress. All verbs raise the errors of `schemas.errors` and change nothing then."""

    def __init__(self, settings: Settings, store: Database, executor: Executor, bus: Bus, guard: DiskGuard) -> None:
        self._settings, self._store, self._executor, self._bus = settings, store, executor, bus
        self.guard = guard
        self.definitions = Definitions(store)
        self.window = Window(settings.max_concurrent_workers, settings.queue_ahead)
        self.pump = Pump(store, executor, bus, self.window, guard)
        self._runners: dict[int, Runner] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._last_seq = 0

    # -- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bring back what was unfinished and connect to the launcher; `pump.run()` is the caller's to schedule."""
        self._last_seq = self._store.read(last_run_seq)
        acts = Acts()
        for runner in await recover(self._store, self.definitions, self._make_runner, acts):
            self._enter(runner)
            for attempt in runner.attempts.values():
                self.pump.attempts[attempt.id] = attempt
                self.window.handed += 1
        await self._executor.start(self.pump.put)
        self.pump.begin_with(acts)

    def _make_runner(self, run: StoredRun, definition: Definition) -> Runner:
        runner = Runner(run, definition, self._settings.state_dir, self._settings.stop_grace_seconds)
        os.makedirs(runner.logs_dir, mode=0o700, exist_ok=True)
        return runner

    def _enter(self, runner: Runner) -> None:
        self._runners[runner.run.seq] = runner
        runner.ended.add_done_callback(lambda _: self._runners.pop(runner.run.seq, None))

    # -- questions --------------------------------------------------------------------------------

    @property
    def runners(self) -> list[Runner]:
        """Runs in progress, oldest first."""
        return list(self._runners.values())

    def running_attempts(self) -> list[Attempt]:
        """Attempts whose process lives."""
        return [attempt for attempt in self.pump.attempts.values() if attempt.started_at is not None]

    @property
    def queued(self) -> int:
        """How many workers wait for a slot and nothing else, in the launcher or not handed to it yet."""
        waiting = sum(len(runner.launchable) for runner in self._runners.values())
        return waiting + sum(attempt.started_at is None for attempt in self.pump.attempts.values())

    def explain_waiting(self, run_seq: int, workers: Iterable[str]) -> dict[str, tuple[str, str]]:
        """{worker: (phase, reason in words)} of those that have not started in a run in progress."""
        runner = self._runners.get(run_seq)
        if runner is None:
            return {}
        slot_reason = self._why_no_slot()
        found = ((name, why_waiting(runner, name, slot_reason)) for name in workers)
        return {name: why for name, why in found if why is not None}

    def _why_no_slot(self) -> str:
        running, slots = len(self.running_attempts()), self.window.slots
        if self.guard.is_low:
            return self.guard.reason
        if running < slots:
            return "is about to start"
        return f"waits for a slot, {running} of {slots} are taken (max_concurrent_workers)"

    def find_attempt(self, workflow_id: int, worker: str) -> Attempt | None:
        """The attempt under way of a worker, None without one."""
        found = self._find_open(workflow_id, worker)
        return found[0].attempts.get(found[1]) if found else None

    def is_open(self, workflow_id: int, worker: str) -> bool:
        """Whether a worker takes part in a run in progress and its end there is not on disk."""
        indices = ((runner, runner.definition.index_by_name.get(worker)) for runner in self._of_workflow(workflow_id))
        return any(index is not None and runner.is_open(index) for runner, index in indices)

    def when_over(self, attempt_id: str, then: Callable[[], None]) -> None:
        """Call `then` once the attempt's end is on disk, at once if it is."""
        attempt = self.pump.attempts.get(attempt_id)
        if attempt is None:
            then()
        else:
            attempt.over.add_done_callback(lambda _: then())

    @property
    def launcher(self) -> LauncherIdentity | None:
        """The launcher that holds the processes, None before the first connection."""
        return self._executor.identity

    def complaints(self) -> Iterator[str]:
        """What is not well, each in a sentence."""
        if self.guard.is_low:
            yield self.guard.reason
        if self._executor.identity is None:
            yield "no launcher answers yet"
        delayed = [attempt for attempt in self.pump.attempts.values() if attempt.delayed]
        if delayed:
            yield f"{len(delayed)} attempts wait because the machine had no room to fork: {delayed[0].delayed}"

    def _of_workflow(self, workflow_id: int) -> list[Runner]:
        return [runner for runner in self._runners.values() if runner.run.workflow_id == workflow_id]

    def _find_open(self, workflow_id: int, worker: str) -> tuple[Runner, int] | None:
        """The run in progress in which a worker has not ended, and its index there."""
        for runner in self._of_workflow(workflow_id):
            index = runner.definition.index_by_name.get(worker)
            if index is not None and runner.plan.is_open(index):
                return runner, index
        return None

    # -- workflows --------------------------------------------------------------------------------

    def alone(self, name: str) -> asyncio.Lock:
        """What starts a workflow, replaces it or deletes it holds this: one after the other.

        Without it a start could read one definition and run another.
        """
        return self._locks.setdefault(name, asyncio.Lock())

    async def start_workflow(self, name: str) -> StoredRun:
        """Begin a run of the whole workflow; returns once it is on disk."""
        self.guard.check()
        async with self.alone(name):
            stored = self._store.read(lambda db: get_workflow(db, name))
            if self._of_workflow(stored.id):
                raise WorkflowAlreadyRunning(name=name)
            return await self._begin(stored, None)

    async def stop_workflow(self, name: str) -> None:
        """Stop every run of the workflow; returns when all its processes are gone."""
        stored = self._store.read(lambda db: get_workflow(db, name))
        runners = self._of_workflow(stored.id)
        if not runners:
            raise WorkflowNotRunning(name=name)
        await self._stop_runs(runners, BY_REQUEST)

    async def stop_all(self, reason: str) -> None:
        """Stop every run; returns when all processes are gone."""
        await self._stop_runs(self.runners, reason)

    async def _stop_runs(self, runners: list[Runner], reason: str) -> None:
        def decide(acts: Acts) -> None:
            for runner in runners:
                runner.apply(runner.plan.stop(reason), acts)

        await self.pump.ask(decide)
        await self._until(asyncio.gather(*(asyncio.shield(runner.ended) for runner in runners)), runners)

    async def restart_workflow(self, name: str) -> StoredRun:
        """Stop the workflow if it runs, and begin a new run."""
        self.guard.check()
        stored = self._store.read(lambda db: get_workflow(db, name))
        if self._of_workflow(stored.id):
            await self.stop_workflow(name)
        return await self.start_workflow(name)

    # -- workers ----------------------------------------------------------------------------------

    async def start_worker(self, name: str, worker: str) -> StoredRun:
        """Begin a run of this one worker; its inputs must exist."""
        self.guard.check()
        async with self.alone(name):
            stored = self._store.read(lambda db: get_workflow(db, name))
            self._store.read(lambda db: get_worker(db, stored, worker))
            if self._find_open(stored.id, worker):
                raise WorkerAlreadyRunning(workflow=name, name=worker)
            definition = await self.definitions.get(stored)
            inputs = definition.inputs(definition.index_by_name[worker])
            missing = await asyncio.to_thread(missing_inputs, inputs)
            if missing:
                raise InputMissing(workflow=name, name=worker, missing=missing)
            return await self._begin(stored, worker)

    async def stop_worker(self, name: str, worker: str) -> None:
        """Stop one worker; returns when its processes are gone."""
        runner, index = self._require_open(name, worker)
        settled = runner.when_settled(index)
        await self.pump.ask(lambda acts: runner.apply(runner.plan.stop_worker(index, BY_REQUEST), acts))
        await self._until(settled, [runner])

    async def restart_worker(self, name: str, worker: str) -> None:
        """Launch a worker anew: within its run if it runs, as a run of its own otherwise."""
        stored = self._store.read(lambda db: get_workflow(db, name))
        self._store.read(lambda db: get_worker(db, stored, worker))
        found = self._find_open(stored.id, worker)
        if found is not None and found[0].plan.is_resting(found[1]):
            resting, index = found
            await self.pump.ask(lambda acts: resting.apply(resting.plan.restart_worker(index), acts))
            return
        attempt = self.find_attempt(stored.id, worker)
        if attempt is None:
            await self.start_worker(name, worker)
            return
        runner = attempt.runner
        await self.pump.ask(lambda acts: runner.apply(runner.plan.restart_worker(attempt.worker), acts))
        await self._until(asyncio.shield(attempt.over), [runner])
        if not runner.plan.is_open(attempt.worker):  # a stop was asked for as well, and a stop wins
            raise WorkerNotRunning(workflow=name, name=worker)

    def _require_open(self, name: str, worker: str) -> tuple[Runner, int]:
        stored = self._store.read(lambda db: get_workflow(db, name))
        self._store.read(lambda db: get_worker(db, stored, worker))
        found = self._find_open(stored.id, worker)
        if found is None:
            raise WorkerNotRunning(workflow=name, name=worker)
        return found

    # -- inside -----------------------------------------------------------------------------------

    async def _begin(self, stored: StoredWorkflow, target: str | None) -> StoredRun:
        definition = await self.definitions.get(stored)
        run = await self._create_run(stored, target)
        runner = self._make_runner(run, definition)
        self._enter(runner)
        self.pump.put(Enter(runner))
        return run

    async def _create_run(self, stored: StoredWorkflow, target: str | None) -> StoredRun:
        self._last_seq += 1
        change = RunStarted(self._last_seq, new_ulid(), stored.id, stored.revision, target, utc_timestamp())

        def create(db: sqlite3.Connection) -> tuple[list[Event], StoredRun]:
            events = record(db, [change])
            run = get_run(db, change.id)
            assert run is not None
            return events, run

        events, run = await self._store.write(create)
        self._bus.publish(events)
        return run

    async def _until(self, end: Awaitable[object], runners: Iterable[Runner]) -> None:
        """Wait for an end as long as the longest grace allows and a little more."""
        graces = [runner.grace_seconds(attempt.worker) for runner in runners for attempt in runner.attempts.values()]
        seconds = max(graces, default=0.0) + STOP_MARGIN_SECONDS
        try:
            await asyncio.wait_for(end, seconds)
        except TimeoutError:
            raise ServiceUnavailable(
                reason=f"the stop is under way but has not ended within {seconds:g} s, ask again", retry_after_seconds=5
            ) from None
