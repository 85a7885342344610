"""The plan of one run: told what happened, it says what to do. Pure: no clock, no I/O, no asyncio.

A worker starts the moment its own upstreams have completed; there is no barrier between levels. Recovery after a
restart feeds the same functions and has no rules of its own.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING

from scheduler.engine.effects import Effect, End, Finish, Launch, Stop, StopRun, Wake
from scheduler.engine.policy import Outcome, decide_retry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from schemas.graph import Graph
    from schemas.run import Ended
    from schemas.workflow import Worker


class Stage(Enum):
    """Where a worker stands, seen from the plan."""

    WAITING = "waiting"  # for upstreams
    READY = "ready"  # for a slot
    HANDED = "handed"  # to the launcher, not seen running yet
    RUNNING = "running"
    RESTING = "resting"  # before another attempt
    ENDED = "ended"


LIVE = frozenset((Stage.HANDED, Stage.RUNNING))


class Plan:
    """`members` are the workers that take part (None: all); upstreams that do not take part are taken as done."""

    def __init__(
        self, graph: Graph, workers: Sequence[Worker], *, fail_fast: bool, members: Collection[int] | None = None
    ) -> None:
        self._graph, self._workers, self._fail_fast = graph, workers, fail_fast
        self._members = frozenset(range(len(workers))) if members is None else frozenset(members)
        self.stages = [Stage.WAITING] * len(workers)
        self.attempts = [0] * len(workers)
        self._waits_for = [
            len(upstream) if members is None else len(self._members.intersection(upstream))
            for upstream in graph.upstream
        ]
        self._stop_reasons: dict[int, str] = {}
        self._restarting: set[int] = set()
        self._statuses: dict[int, Ended] = {}
        self._stopping: str | None = None

    # -- questions --------------------------------------------------------------------------------

    @property
    def is_finished(self) -> bool:
        """Whether every member has ended."""
        return len(self._statuses) == len(self._members)

    @property
    def is_stopping(self) -> bool:
        """Whether the whole run is being stopped."""
        return self._stopping is not None

    def is_live(self, worker: int) -> bool:
        """Whether the worker has an attempt under way."""
        return self.stages[worker] in LIVE

    def may_launch(self, worker: int) -> bool:
        """Whether the worker waits for nothing but a slot."""
        return self.stages[worker] is Stage.READY

    def waits_for(self, worker: int) -> list[int]:
        """The upstreams that a waiting worker still waits for."""
        if not self._is_waiting(worker):
            return []
        return [upstream for upstream in self._graph.upstream[worker] if self.is_open(upstream)]

    def is_resting(self, worker: int) -> bool:
        """Whether the worker waits for the end of a pause before another attempt."""
        return self.stages[worker] is Stage.RESTING

    def is_open(self, worker: int) -> bool:
        """Whether the worker takes part and has not ended."""
        return worker in self._members and self.stages[worker] is not Stage.ENDED

    def counts(self) -> Counter[Stage]:
        """How many members are in each stage."""
        return Counter(self.stages[worker] for worker in self._members)

    # -- what happens -----------------------------------------------------------------------------

    def start(self) -> list[Effect]:
        """The run begins: everything without an upstream may start."""
        return self.resume({}, {}, {})

    def resume(
        self, ended: Mapping[int, Ended], attempts: Mapping[int, int], resting: Mapping[int, float]
    ) -> list[Effect]:
        """The run goes on after a restart.

        `ended`: final statuses on record; `attempts`: how many each worker has had; `resting`: seconds that are left of
        a pause before another attempt. Workers with an attempt under way must have been given to `adopt` before.
        """
        for worker, count in attempts.items():
            self.attempts[worker] = count
        for worker, status in ended.items():
            self.stages[worker] = Stage.ENDED
            self._statuses[worker] = status
            for downstream in self._graph.downstream[worker] if status == "completed" else ():
                self._waits_for[downstream] -= 1
        effects: list[Effect] = []
        for worker, delay in resting.items():
            self.stages[worker] = Stage.RESTING
            effects.append(Wake(worker, delay, "waiting to be launched again"))
        for worker, status in ended.items():
            if status != "completed":
                effects += self._cancel_downstream(worker, status)
        for worker in self._graph.order:
            if worker in self._members and self.stages[worker] is Stage.WAITING and not self._waits_for[worker]:
                effects.append(self._ready(worker))
        return effects + self._finish_if_done()

    def adopt(self, worker: int) -> None:
        """The worker has an attempt under way, from before a restart."""
        self.stages[worker] = Stage.HANDED

    def on_launched(self, worker: int) -> int:
        """The worker is being handed over; returns the number of its attempt."""
        self.stages[worker] = Stage.HANDED
        self.attempts[worker] += 1
        return self.attempts[worker]

    def on_refused(self, worker: int, reason: str) -> list[Effect]:
        """Nothing could be launched: an input is missing, a directory cannot be made."""
        return self._fail(worker, reason) if self.may_launch(worker) else []

    def on_started(self, worker: int) -> list[Effect]:
        """The worker's process lives."""
        if self.stages[worker] is Stage.HANDED:
            self.stages[worker] = Stage.RUNNING
        return []

    def on_exited(self, worker: int, outcome: Outcome) -> list[Effect]:
        """The worker's attempt is over; outputs have been looked at."""
        if self.stages[worker] not in LIVE:
            return []
        if worker in self._restarting:
            return self._restart(worker)
        stop_reason = self._stop_reasons.get(worker)
        if stop_reason is None and outcome.cause == "launcher":
            stop_reason = "stopped together with the launcher"
        if stop_reason is not None:
            return self._cancel(worker, stop_reason)
        if outcome.ok:
            return self._complete(worker)
        decision = decide_retry(self._workers[worker], self.attempts[worker], outcome)
        if decision.again:
            self.stages[worker] = Stage.RESTING
            return [Wake(worker, decision.delay_seconds, decision.reason)]
        return self._fail(worker, decision.reason)

    def on_timer(self, worker: int) -> list[Effect]:
        """The pause before another attempt is over."""
        return [self._ready(worker)] if self.is_resting(worker) else []

    # -- what is asked ----------------------------------------------------------------------------

    def stop(self, reason: str, cause: str = "stop") -> list[Effect]:
        """Stop the run: what has not begun is cancelled now, what runs is stopped."""
        if self.is_finished:
            return []
        effects: list[Effect] = [] if self.is_stopping else [StopRun(reason)]
        self._stopping = self._stopping or reason
        for worker in sorted(self._members):
            if self.stages[worker] in LIVE:
                effects += self._stop_attempt(worker, reason, cause)
            elif self.stages[worker] is not Stage.ENDED:
                effects += self._end(worker, "cancelled", reason)
        return effects + self._finish_if_done()

    def stop_worker(self, worker: int, reason: str) -> list[Effect]:
        """Stop one worker; what depends on it is cancelled when it has ended."""
        if self.stages[worker] in LIVE:
            return self._stop_attempt(worker, reason, "stop")
        return self._cancel(worker, reason) if self.is_open(worker) else []

    def restart_worker(self, worker: int) -> list[Effect]:
        """End the worker's attempt and launch another in the same run; what depends on it goes on waiting.

        A pause before another attempt is cut short. Nothing follows without either, or when the attempt is being
        stopped or restarted already: a stop wins.
        """
        if self.is_resting(worker):
            return self._restart(worker)
        if self.stages[worker] not in LIVE or worker in self._stop_reasons or worker in self._restarting:
            return []
        self._restarting.add(worker)
        return [Stop(worker, "restart", "restarted by request")]

    # -- inside -----------------------------------------------------------------------------------

    def _ready(self, worker: int) -> Launch:
        self.stages[worker] = Stage.READY
        return Launch(worker)

    def _stop_attempt(self, worker: int, reason: str, cause: str) -> list[Effect]:
        if worker in self._stop_reasons:
            return []
        self._restarting.discard(worker)
        self._stop_reasons[worker] = reason
        return [Stop(worker, cause, reason)]

    def _restart(self, worker: int) -> list[Effect]:
        self._restarting.discard(worker)
        self.stages[worker] = Stage.RESTING
        return [Wake(worker, 0.0, "restarted by request", restarted=True)]

    def _end(self, worker: int, status: Ended, reason: str | None, error: str | None = None) -> list[Effect]:
        self.stages[worker] = Stage.ENDED
        self._statuses[worker] = status
        self._stop_reasons.pop(worker, None)
        return [End(worker, status, reason, error)]

    def _complete(self, worker: int) -> list[Effect]:
        effects = self._end(worker, "completed", None)
        for downstream in self._graph.downstream[worker]:
            self._waits_for[downstream] -= 1
            if self._waits_for[downstream] == 0 and self._is_waiting(downstream):
                effects.append(self._ready(downstream))
        return effects + self._finish_if_done()

    def _is_waiting(self, worker: int) -> bool:
        return worker in self._members and self.stages[worker] is Stage.WAITING

    def _fail(self, worker: int, reason: str) -> list[Effect]:
        effects = self._end(worker, "failed", reason, reason) + self._cancel_downstream(worker, "failed")
        own = self._workers[worker].fail_fast
        if (self._fail_fast if own is None else own) and not self.is_stopping and not self.is_finished:
            effects += self.stop(f"worker '{self._workers[worker].name}' failed and fail_fast is set", "fail_fast")
            return effects
        return effects + self._finish_if_done()

    def _cancel(self, worker: int, reason: str) -> list[Effect]:
        effects = self._end(worker, "cancelled", reason) + self._cancel_downstream(worker, "cancelled")
        return effects + self._finish_if_done()

    def _cancel_downstream(self, worker: int, how: Ended) -> list[Effect]:
        """Everything that waits for this worker, directly or not, cannot happen any more."""
        effects: list[Effect] = []
        pending = [(worker, how)]
        while pending:
            upstream, ended = pending.pop()
            message = f"upstream '{self._workers[upstream].name}' {ended}"
            for downstream in self._graph.downstream[upstream]:
                if self._is_waiting(downstream):
                    effects += self._end(downstream, "cancelled", message, message)
                    pending.append((downstream, "cancelled"))
        return effects

    def _finish_if_done(self) -> list[Effect]:
        if not self.is_finished:
            return []
        statuses = Counter(self._statuses.values())
        if statuses["failed"]:
            return [Finish("failed", self._stopping or f"{statuses['failed']} of {len(self._members)} workers failed")]
        if statuses["cancelled"]:
            return [Finish("cancelled", self._stopping or "a worker was stopped")]
        return [Finish("completed")]
