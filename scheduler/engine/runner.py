"""One run in progress: turns the plan's effects into changes for the store and specs for the executor."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from scheduler.engine.effects import Effect, End, Finish, Launch, Stop, StopRun, Wake
from scheduler.engine.plan import Plan
from scheduler.state_dir import run_dir
from scheduler.store.changes import (
    AttemptEnded,
    AttemptIntended,
    Change,
    RetryEvent,
    RunEnded,
    RunStopping,
    WorkerEnded,
    WorkerRetrying,
    WorkerStopping,
)
from scheduler.store.ulid import new_ulid
from schemas.envelope import utc_timestamp
from workers.command import build_argv
from workers.environment import attempt_environment
from workers.executor import LaunchSpec

if TYPE_CHECKING:
    from collections.abc import Collection

    from scheduler.engine.definitions import Definition
    from scheduler.engine.policy import Outcome
    from scheduler.store.runs import StoredRun
    from schemas.run import Ended
    from workers.executor import Report
    from workers.files import Collected


@dataclass(slots=True)
class Attempt:
    """An attempt under way, as the engine sees it. Times are milliseconds since 1970."""

    id: str
    runner: Runner
    worker: int
    number: int
    stdout_to: str | None
    boot_id: str | None
    journal_id: str | None
    pid: int = 0
    started_at: int | None = None
    stop_cause: str | None = None
    ending: bool = False  # its end is known and being looked into
    delayed: str | None = None  # why the launcher could not start it yet
    peak_memory_bytes: int | None = None  # the highest sample
    cpu_seconds: float | None = None  # the latest sample, which has also those that nobody waits for
    over: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(slots=True)
class Acts:
    """What is to be done once the changes are on disk, and when to call whom again."""

    changes: list[Change] = field(default_factory=list)
    stops: list[Attempt] = field(default_factory=list)
    wakes: list[tuple[Runner, int, float]] = field(default_factory=list)
    launchable: list[Runner] = field(default_factory=list)
    settled: list[tuple[Runner, int]] = field(default_factory=list)
    finished: list[Runner] = field(default_factory=list)
    started: list[Attempt] = field(default_factory=list)
    ended: list[Attempt] = field(default_factory=list)
    launches: list[Attempt] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)

    def add(self, other: Acts) -> None:
        """Take over everything from another."""
        for each in dataclasses.fields(self):
            getattr(self, each.name).extend(getattr(other, each.name))


class Runner:
    """Holds a run's plan, its launchable workers and its attempts; every status of the run is decided here."""

    def __init__(self, run: StoredRun, definition: Definition, state_dir: str, grace_seconds: float) -> None:
        self.run, self.definition = run, definition
        self.logs_dir = run_dir(state_dir, run.id)
        self._grace_seconds = grace_seconds
        target = None if run.target is None else definition.index_by_name[run.target]
        members: Collection[int] | None = None if target is None else (target,)
        self.plan = Plan(
            definition.graph, definition.workflow.workers, fail_fast=definition.workflow.fail_fast, members=members
        )
        self.launchable: deque[int] = deque()
        self.attempts: dict[int, Attempt] = {}
        self.made_dirs: set[str] = set()
        self.status: Ended | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters: dict[int, list[asyncio.Future[None]]] = {}
        self._settling: set[int] = set()

    @property
    def workflow(self) -> str:
        """The workflow's name."""
        return self.run.workflow

    def worker_id(self, worker: int) -> int:
        """The store's id of a worker."""
        return self.definition.worker_ids[worker]

    def grace_seconds(self, worker: int) -> float:
        """Seconds between TERM and KILL for a worker."""
        own = self.definition.worker(worker).stop_grace_seconds
        return self._grace_seconds if own is None else own

    # -- effects to changes -----------------------------------------------------------------------

    def apply(self, effects: list[Effect], acts: Acts) -> None:
        """Add to `acts` what the plan asks for."""
        now = utc_timestamp()
        for effect in effects:
            match effect:
                case Launch(worker):
                    self.launchable.append(worker)
                    acts.launchable.append(self)
                case Stop(worker, cause, reason):
                    self._stop(worker, cause, reason, now, acts)
                case StopRun(reason):
                    acts.changes.append(RunStopping(self.run.seq, self.run.workflow_id, reason, now))
                case Wake():
                    self._wake(effect, now, acts)
                case End():
                    self._end(effect, now, acts)
                case Finish(status, reason):
                    acts.changes.append(RunEnded(self.run.seq, self.run.workflow_id, status, reason, now))
                    acts.finished.append(self)
                    self.status = status

    def _stop(self, worker: int, cause: str, reason: str, now: str, acts: Acts) -> None:
        attempt = self.attempts[worker]
        attempt.stop_cause = attempt.stop_cause or cause
        run = self.run
        acts.changes.append(
            WorkerStopping(attempt.id, run.seq, run.workflow_id, self.worker_id(worker), cause, reason, now)
        )
        acts.stops.append(attempt)

    def _wake(self, effect: Wake, now: str, acts: Acts) -> None:
        retry_at = utc_timestamp(time.time() + effect.delay_seconds)
        kind: RetryEvent = "worker.restarted" if effect.restarted else "worker.retrying"
        worker_id = self.worker_id(effect.worker)
        acts.changes.append(
            WorkerRetrying(self.run.seq, self.run.workflow_id, worker_id, effect.reason, retry_at, now, kind)
        )
        acts.wakes.append((self, effect.worker, effect.delay_seconds))

    def _end(self, effect: End, now: str, acts: Acts) -> None:
        acts.changes.append(
            WorkerEnded(
                self.run.seq,
                self.run.workflow_id,
                self.worker_id(effect.worker),
                effect.status,
                effect.reason,
                effect.error_message,
                now,
            )
        )
        acts.settled.append((self, effect.worker))
        self._settling.add(effect.worker)

    # -- launching --------------------------------------------------------------------------------

    def next_launchable(self) -> int | None:
        """The next worker that may start; those that ended while they waited for a slot are passed over."""
        while self.launchable:
            worker = self.launchable.popleft()
            if self.plan.may_launch(worker):
                return worker
        return None

    def intend(
        self, worker: int, stdout_to: str | None, launcher: int, boot_id: str, journal_id: str
    ) -> tuple[Attempt, AttemptIntended]:
        """Make the attempt that will be handed over once its intent is on disk."""
        number = self.plan.on_launched(worker)
        attempt = Attempt(new_ulid(), self, worker, number, stdout_to, boot_id, journal_id)
        self.attempts[worker] = attempt
        intent = AttemptIntended(
            attempt.id, self.run.seq, self.worker_id(worker), number, launcher, stdout_to, utc_timestamp()
        )
        return attempt, intent

    def spec(self, attempt: Attempt) -> LaunchSpec:
        """How to launch an attempt."""
        index = attempt.worker
        worker, files = self.definition.worker(index), self.definition.files(index)
        return LaunchSpec(
            id=attempt.id,
            argv=build_argv(worker.command, worker.args or (), worker.shell),
            env=attempt_environment(
                workflow=self.workflow,
                worker=worker.name,
                run_id=self.run.id,
                attempt=attempt.number,
                inputs=files.inputs,
                outputs=files.outputs,
                own=worker.env_vars or {},
            ),
            cwd=files.working_dir,
            logs=self.log_prefix(attempt.id),
            grace_seconds=self.grace_seconds(index),
            timeout_seconds=worker.timeout_seconds,
        )

    def log_prefix(self, attempt_id: str) -> str:
        """The path that `.out` and `.err` are appended to."""
        return f"{self.logs_dir}/{attempt_id}"

    # -- waiting for an end -----------------------------------------------------------------------

    def is_open(self, worker: int) -> bool:
        """Whether the worker takes part and its end is not on disk yet; the plan knows of an end earlier."""
        return self.plan.is_open(worker) or worker in self._settling

    def when_settled(self, worker: int) -> asyncio.Future[None]:
        """Done when the worker has its final status on disk."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(worker, []).append(future)
        return future

    def tell_settled(self, worker: int) -> None:
        """The worker's final status is on disk."""
        self._settling.discard(worker)
        for future in self._waiters.pop(worker, ()):
            if not future.done():
                future.set_result(None)


def attempt_ended(attempt: Attempt, report: Report, outcome: Outcome, collected: Collected) -> AttemptEnded:
    """The end of an attempt as a change for the store: status, facts, and the highest of what was measured."""
    was_stopped = attempt.stop_cause is not None or outcome.never_started or outcome.cause == "launcher"
    status: Ended = "cancelled" if was_stopped and not outcome.lost else "completed" if outcome.ok else "failed"
    outputs = [
        {"name": fact.name, "path": fact.path, "size_bytes": fact.size_bytes, "source": fact.source}
        for fact in collected.outputs
    ]
    peaks = [peak for peak in (report.peak_memory_bytes, attempt.peak_memory_bytes) if peak]
    used = [seconds for seconds in (report.cpu_seconds, attempt.cpu_seconds) if seconds is not None]
    return AttemptEnded(
        id=attempt.id,
        status=status,
        phase="lost" if outcome.lost else None,
        reason=outcome.reason,
        exit_code=report.exit_code,
        signal=report.signal,
        cpu_seconds=max(used, default=None),
        peak_memory_bytes=max(peaks, default=None),
        outputs=orjson.dumps(outputs).decode() if outputs else None,
        started_at=utc_timestamp(report.started_at / 1000) if report.started_at else None,
        at=utc_timestamp(report.ended_at / 1000) if report.ended_at else utc_timestamp(),
    )
