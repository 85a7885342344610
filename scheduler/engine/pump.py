"""The engine's one loop: whatever happens to a run passes here, in order, and is on disk before it is acted upon."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from scheduler.engine.policy import Outcome, read_outcome
from scheduler.engine.recovery import judge_missing
from scheduler.engine.runner import Acts, Attempt, Runner, attempt_ended
from scheduler.engine.slots import Turns, Window
from scheduler.store.changes import AttemptStarted, StdoutCaptured
from scheduler.store.record import record
from scheduler.store.runs import get_attempt, launcher_row, stdout_versions
from schemas.envelope import utc_timestamp
from schemas.errors import ServiceUnavailable
from workers.executor import Connected, Delayed, News, Report, Reported
from workers.failpoints import failpoint
from workers.files import Collected, Ready, WorkerFiles, collect, make_ready

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from scheduler.bus import Bus
    from scheduler.engine.disk_guard import DiskGuard
    from scheduler.store.database import Database
    from schemas.events import Event
    from workers.executor import Executor, LauncherIdentity

T = TypeVar("T")

COALESCE_SECONDS = 0.005
FULL_DISK_PAUSE_SECONDS = 0.5
NOTHING_COLLECTED = Collected()

log = logging.getLogger("wattle.engine")


@dataclass(frozen=True, slots=True)
class Enter:
    """A run that was just created begins."""

    runner: Runner


@dataclass(frozen=True, slots=True)
class Due:
    """The pause after a worker's `attempts`-th attempt is over."""

    runner: Runner
    worker: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Inspected:
    """The outputs of attempts that ended with 0 have been looked at."""

    found: list[tuple[Attempt, Report, Collected]]


@dataclass(frozen=True, slots=True)
class Ask:
    """A person's wish; `decide` adds to the acts of its turn, `done` when these are on disk."""

    decide: Callable[[Acts], None]
    done: asyncio.Future[None]


Item = News | Enter | Due | Inspected | Ask


class Pump:
    """Takes what has happened, lets the plans decide, records it in one transaction, and only then acts."""

    def __init__(self, store: Database, executor: Executor, bus: Bus, window: Window, guard: DiskGuard) -> None:
        self._store, self._executor, self._bus = store, executor, bus
        self.window, self._guard = window, guard
        self.attempts: dict[str, Attempt] = {}
        self._turns: Turns[Runner] = Turns()
        self._inbox: list[Item] = []
        self._awake = asyncio.Event()
        self._launcher: tuple[int, LauncherIdentity] | None = None  # its row and itself, once its list has been heard
        self._inspections: set[asyncio.Task[None]] = set()
        self.on_started: Callable[[Attempt], None] = lambda _: None
        """Called for every attempt whose start is on disk, even if its end came in the same turn."""

    def put(self, item: Item) -> None:
        """Something happened."""
        self._inbox.append(item)
        self._awake.set()

    async def ask(self, decide: Callable[[Acts], None]) -> None:
        """Let `decide` add to the next turn's acts; returns when they are on disk."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.put(Ask(decide, done))
        await asyncio.shield(done)

    def begin_with(self, acts: Acts) -> None:
        """Do what followed from the recovery in the first turn."""

        def merge(turn: Acts) -> None:
            turn.add(acts)

        self.put(Ask(merge, asyncio.get_running_loop().create_future()))

    def nudge(self) -> None:
        """Look again whether something can be launched: the disk has room again."""
        self._awake.set()

    async def run(self) -> None:
        """Turn for ever: 1. take 2. decide 3. fill the window 4. record 5. act."""
        while True:
            items = await self._take()
            acts = Acts()
            for item in items:
                await self._decide(item, acts)
            await self._fill_window(acts)
            events = await self._record(acts) if acts.changes else []
            self._act(acts, events)
            for item in items:
                if isinstance(item, Ask) and not item.done.done():
                    item.done.set_result(None)

    # -- 1. take ----------------------------------------------------------------------------------

    async def _take(self) -> list[Item]:
        await self._awake.wait()
        if self.window.is_well_fed:  # the launcher has work for a while: one commit for more of it
            await asyncio.sleep(COALESCE_SECONDS)
        self._awake.clear()
        items, self._inbox = self._inbox, []
        return items

    # -- 2. decide --------------------------------------------------------------------------------

    async def _decide(self, item: Item, acts: Acts) -> None:
        match item:
            case Reported(reports):
                self._on_reports(reports, acts)
            case Inspected(found):
                for attempt, report, collected in found:
                    self._settle(attempt, report, collected, acts)
            case Enter(runner):
                runner.apply(runner.plan.start(), acts)
            case Due(runner, worker, attempts):
                if runner.plan.attempts[worker] == attempts:  # else a restart cut that pause short
                    runner.apply(runner.plan.on_timer(worker), acts)
            case Ask(decide):
                decide(acts)
            case Delayed(attempt_id, reason):
                self._on_delayed(attempt_id, reason)
            case Connected():
                await self._on_connected(item, acts)

    def _on_reports(self, reports: list[Report], acts: Acts) -> None:
        ended: list[tuple[Attempt, Report]] = []
        for report in reports:
            attempt = self.attempts.get(report.id)
            if attempt is None:
                self._on_stray(report, acts)
            elif report.state == "running":
                self._on_started(attempt, report, acts)
            elif report.state == "exited" and not attempt.ending:
                attempt.ending = True
                if report.exit_code == 0 and attempt.runner.definition.worker(attempt.worker).outputs:
                    ended.append((attempt, report))
                else:
                    self._settle(attempt, report, NOTHING_COLLECTED, acts)
        if ended:
            task = asyncio.get_running_loop().create_task(self._inspect(ended))
            self._inspections.add(task)
            task.add_done_callback(self._inspections.discard)

    def _on_started(self, attempt: Attempt, report: Report, acts: Acts) -> None:
        if attempt.started_at is not None or report.started_at is None or not report.pid:
            return
        attempt.pid, attempt.started_at, attempt.delayed = report.pid, report.started_at, None
        acts.started.append(attempt)
        run = attempt.runner.run
        acts.changes.append(
            AttemptStarted(
                attempt.id,
                run.seq,
                run.workflow_id,
                attempt.runner.worker_id(attempt.worker),
                report.pid,
                report.ticks,
                utc_timestamp(report.started_at / 1000),
            )
        )
        attempt.runner.apply(attempt.runner.plan.on_started(attempt.worker), acts)

    def _on_delayed(self, attempt_id: str, reason: str) -> None:
        attempt = self.attempts.get(attempt_id)
        if attempt is not None:
            attempt.delayed = reason
            log.warning("attempt %s waits, the machine has no room: %s", attempt_id, reason)

    def _on_stray(self, report: Report, acts: Acts) -> None:
        """The launcher holds what we do not wait for: acknowledged in vain, or unknown to this database."""
        if report.state == "exited":
            acts.acknowledged.append(report.id)
        elif (stored := self._store.read(lambda db: get_attempt(db, report.id))) is None or stored.completed_at:
            log.warning("the launcher holds attempt %s, which is not on record as running: stopping it", report.id)
            self._executor.stop(report.id, 0.0, "unknown")

    async def _inspect(self, ended: list[tuple[Attempt, Report]]) -> None:
        """Look at the outputs of what ended well, in a thread, and come back with what was found."""

        def look() -> list[tuple[Attempt, Report, Collected]]:
            return [(attempt, report, self._collect(attempt, report)) for attempt, report in ended]

        self.put(Inspected(await asyncio.to_thread(look)))

    @staticmethod
    def _collect(attempt: Attempt, report: Report) -> Collected:
        files = attempt.runner.definition.files(attempt.worker)
        stdout_log = attempt.runner.log_prefix(attempt.id) + ".out"
        return collect(files, attempt.stdout_to, stdout_log, report.started_at or 0)

    def _settle(self, attempt: Attempt, report: Report, collected: Collected, acts: Acts) -> None:
        """An attempt is over: everything that follows from it goes into the same transaction."""
        runner = attempt.runner
        if report.pid and report.error_number is None:
            self._on_started(attempt, report, acts)
        outcome = read_outcome(report, runner.definition.worker(attempt.worker))
        if collected.error is not None:
            outcome = Outcome(ok=False, reason=collected.error, exit_code=0)
        effects = runner.plan.on_exited(attempt.worker, outcome)
        acts.changes.append(attempt_ended(attempt, report, outcome, collected))
        acts.changes.extend(
            StdoutCaptured(fact.path, fact.version) for fact in collected.outputs if fact.source == "stdout"
        )
        self._forget(attempt, report)
        acts.acknowledged.append(attempt.id)
        acts.ended.append(attempt)
        runner.apply(effects, acts)

    def _forget(self, attempt: Attempt, report: Report) -> None:
        del self.attempts[attempt.id]
        if attempt.runner.attempts.get(attempt.worker) is attempt:
            del attempt.runner.attempts[attempt.worker]
        self.window.handed -= 1
        if report.started_at is not None and report.ended_at is not None:
            self.window.observe((report.ended_at - report.started_at) / 1000)

    # -- a launcher answers (again) ---------------------------------------------------------------

    async def _on_connected(self, news: Connected, acts: Acts) -> None:
        identity = news.identity
        row = await self._write(lambda db: launcher_row(db, identity.boot_id, identity.journal_id))
        self._launcher = row, identity
        listed = {report.id: report for report in news.reports}
        missing = [attempt for attempt in self.attempts.values() if attempt.id not in listed and not attempt.ending]
        for attempt in missing:
            report = judge_missing(attempt, identity.boot_id, identity.journal_id)
            if report is None:
                acts.launches.append(attempt)  # its id is unknown there, so sending it again cannot start it twice
            else:
                news.reports.append(report)
        self._on_reports(news.reports, acts)
        acts.stops += [attempt for attempt in self.attempts.values() if attempt.stop_cause and not attempt.ending]

    # -- 3. fill the window -----------------------------------------------------------------------

    async def _fill_window(self, acts: Acts) -> None:
        for runner in acts.launchable:
            self._turns.join(runner)
        while self._launcher is not None and not self._guard.is_low:
            chosen = self._choose()
            if not chosen:
                return
            for (runner, worker), ready in zip(chosen, await self._make_ready(chosen), strict=True):
                self._launch_or_refuse(runner, worker, ready, acts)

    def _choose(self) -> list[tuple[Runner, int]]:
        chosen: list[tuple[Runner, int]] = []
        while len(chosen) < self.window.room and (runner := self._turns.next()) is not None:
            worker = runner.next_launchable()
            if worker is None:
                self._turns.leave(runner)
            else:
                chosen.append((runner, worker))
        return chosen

    async def _make_ready(self, chosen: list[tuple[Runner, int]]) -> list[Ready]:
        """Directories, inputs and the state of outputs, looked at in one hop to a thread, none if nothing needs it."""
        files = [runner.definition.files(worker) for runner, worker in chosen]
        if not any(_needs_disk(runner, each) for (runner, _), each in zip(chosen, files, strict=True)):
            return [Ready()] * len(chosen)
        only = [each.only_output for each in files if each.only_output is not None]
        versions = self._store.read(lambda db: stdout_versions(db, only)) if only else {}

        def look() -> list[Ready]:
            return [make_ready(each, versions.get(each.only_output or "")) for each in files]

        ready = await asyncio.to_thread(look)
        for (runner, _), each, found in zip(chosen, files, ready, strict=True):
            if found.error is None:
                runner.made_dirs.add(each.working_dir)
        return ready

    def _launch_or_refuse(self, runner: Runner, worker: int, ready: Ready, acts: Acts) -> None:
        if not runner.plan.may_launch(worker):  # cancelled by a refusal of this very round
            return
        problem = ready.error or _missing_inputs(runner, worker, ready)
        if problem is not None:
            runner.apply(runner.plan.on_refused(worker, problem), acts)
            for other in acts.launchable:
                self._turns.join(other)
            return
        assert self._launcher is not None
        row, identity = self._launcher
        attempt, intent = runner.intend(worker, ready.stdout_to, row, identity.boot_id, identity.journal_id)
        self.attempts[attempt.id] = attempt
        self.window.handed += 1
        acts.changes.append(intent)
        acts.launches.append(attempt)

    # -- 4. record --------------------------------------------------------------------------------

    async def _record(self, acts: Acts) -> list[Event]:
        return await self._write(lambda db: record(db, acts.changes))

    async def _write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Write, however long the disk stays full: results wait, they are not lost."""
        while True:
            try:
                return await self._store.write(function)
            except ServiceUnavailable as error:
                log.warning("cannot record: %s; trying again", error)
                await asyncio.sleep(FULL_DISK_PAUSE_SECONDS)

    # -- 5. act -----------------------------------------------------------------------------------

    def _act(self, acts: Acts, events: list[Event]) -> None:
        failpoint("pump.recorded")
        if acts.acknowledged:
            self._executor.acknowledge(acts.acknowledged)
        # One that a launcher did not list yet and that ended within this turn is acknowledged: it must not come again.
        launches = [attempt for attempt in acts.launches if attempt.id in self.attempts]
        if launches:
            self._executor.launch([attempt.runner.spec(attempt) for attempt in launches])
        for attempt in acts.stops:
            grace_seconds = attempt.runner.grace_seconds(attempt.worker)
            self._executor.stop(attempt.id, grace_seconds, attempt.stop_cause or "stop")
        loop = asyncio.get_running_loop()
        for runner, worker, delay in acts.wakes:
            loop.call_later(delay, self.put, Due(runner, worker, runner.plan.attempts[worker]))
        for attempt in acts.started:
            self.on_started(attempt)
        self._bus.publish(events)
        for attempt in acts.ended:
            if not attempt.over.done():
                attempt.over.set_result(None)
        for runner, worker in acts.settled:
            runner.tell_settled(worker)
        for runner in acts.finished:
            self._turns.leave(runner)
            runner.ended.set_result(None)


def _needs_disk(runner: Runner, files: WorkerFiles) -> bool:
    return bool(files.inputs or files.outputs or files.working_dir not in runner.made_dirs)


def _missing_inputs(runner: Runner, worker: int, ready: Ready) -> str | None:
    if not ready.missing_inputs:
        return None
    paths = runner.definition.inputs(worker)
    missing = [f"'{name}' ({path})" for name, path in paths.items() if path in ready.missing_inputs]
    return f"input {', '.join(missing)} does not exist"
