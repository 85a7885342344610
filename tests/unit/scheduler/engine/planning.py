"""What the tests of plans share: workflows in a line, ends of attempts, and a world that watches every effect."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from scheduler.engine.effects import Effect, End, Finish, Launch, Stop, StopRun, Wake
from scheduler.engine.plan import Plan
from scheduler.engine.policy import Outcome
from schemas.graph import Graph, build_graph
from schemas.run import Ended
from schemas.workflow import Worker, Workflow

OK = Outcome(ok=True, exit_code=0)
FAILED = Outcome(ok=False, reason="exited with code 1", exit_code=1)
CODE_7 = Outcome(ok=False, reason="exited with code 7", exit_code=7)
LOST = Outcome(ok=False, reason="lost: the host restarted", lost=True)
NEVER_STARTED = Outcome(ok=False, reason="stopped before it started", never_started=True, cause="stop")
WITH_LAUNCHER = Outcome(ok=False, reason="killed by SIGTERM", cause="launcher")
OUTCOMES = (OK, FAILED, CODE_7, LOST, NEVER_STARTED, WITH_LAUNCHER)


def workflow_of(*, fail_fast: bool = False, **workers: Sequence[str] | dict[str, Any]) -> Workflow:
    """A workflow of workers by name, each with what it comes after, or with any fields."""
    return workflow_from(workers, fail_fast=fail_fast)


def workflow_from(workers: Mapping[str, Sequence[str] | dict[str, Any]], *, fail_fast: bool = False) -> Workflow:
    """The same for many."""
    fields = {name: given if isinstance(given, dict) else {"after": list(given)} for name, given in workers.items()}
    listed = [Worker(**{"name": name, "command": "true", **given}) for name, given in fields.items()]
    return Workflow(name="w", fail_fast=fail_fast, workers=listed)


def plan_of(
    *, fail_fast: bool = False, members: Collection[int] | None = None, **workers: Sequence[str] | dict[str, Any]
) -> Plan:
    """The plan of `workflow_of` the same arguments."""
    workflow = workflow_of(fail_fast=fail_fast, **workers)
    return Plan(build_graph(workflow, "/w"), workflow.workers, fail_fast=fail_fast, members=members)


def run_to(plan: Plan, worker: int, outcome: Outcome = OK) -> list[Effect]:
    """Hand over, start and end an attempt; the effects of its end."""
    plan.on_launched(worker)
    assert plan.on_started(worker) == []
    return plan.on_exited(worker, outcome)


class World:
    """What runner, launcher and store are to a plan: holds who may start, who lives, rests and has ended.

    Every effect passes `take`, which knows what must never happen.
    """

    def __init__(self, workflow: Workflow, members: Collection[int] | None = None) -> None:
        self.workflow, self.graph = workflow, build_graph(workflow, "/w")
        self.members = frozenset(range(len(workflow.workers)) if members is None else members)
        self.plan = self.make_plan()
        self.ready: set[int] = set()
        self.live: dict[int, bool] = {}  # worker: whether its process was seen
        self.resting: dict[int, float] = {}
        self.ended: dict[int, Ended] = {}
        self.attempts: Counter[int] = Counter()
        self.stops: dict[int, tuple[str, str]] = {}  # worker: (cause, reason), as on record
        self.stopped_workers: set[int] = set()
        self.stopping: str | None = None
        self.finish: Finish | None = None
        self.effects = 0

    def make_plan(self) -> Plan:
        everyone = len(self.members) == len(self.workflow.workers)
        return Plan(
            self.graph,
            self.workflow.workers,
            fail_fast=self.workflow.fail_fast,
            members=None if everyone else self.members,
        )

    # -- what the plan says ------------------------------------------------------------------------

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            self.effects += 1
            assert self.finish is None, f"{effect} after the run was finished"
            self._take(effect)
        left = self.ready or self.live or self.resting
        assert (self.finish is None) == bool(left), "stuck: nothing can happen, and the run is not finished"
        assert self.plan.is_finished == (self.finish is not None)

    def _take(self, effect: Effect) -> None:
        match effect:
            case Launch(worker):
                self._must_be_idle(worker)
                self._must_have_inputs(worker)
                assert self.stopping is None, "launched while the run is being stopped"
                assert worker not in self.stopped_workers, "launched although it was to be stopped"
                self.resting.pop(worker, None)
                self.ready.add(worker)
            case Stop(worker, cause, reason):
                assert worker in self.live, "stopped without an attempt"
                assert self.stops.get(worker, ("restart", ""))[0] == "restart", "stopped twice"
                assert (cause, worker in self.stops) != ("restart", True), "a restart after a stop"
                self.stops[worker] = (cause, reason)
            case StopRun(reason):
                assert self.stopping is None, "stopped twice"
                self.stopping = reason
            case Wake(worker, delay_seconds):
                self._must_be_idle(worker)
                assert delay_seconds >= 0
                self.resting[worker] = delay_seconds
            case End(worker, status, reason):
                assert worker in self.members
                assert worker not in self.ended, "ended twice"
                assert worker not in self.live, "ended before its attempt"
                assert (status == "completed") == (reason is None)
                self.ready.discard(worker)
                self.resting.pop(worker, None)
                self.ended[worker] = status
            case Finish(status):
                assert self.ended.keys() == self.members, "finished before everyone has ended"
                assert status == worst(self.ended.values())
                self.finish = effect

    def _must_be_idle(self, worker: int) -> None:
        assert worker in self.members
        assert worker not in self.ready
        assert worker not in self.live
        assert worker not in self.ended

    def _must_have_inputs(self, worker: int) -> None:
        for upstream in self.members.intersection(self.graph.upstream[worker]):
            assert self.ended.get(upstream) == "completed", f"launched before upstream {upstream} completed"

    # -- what happens ------------------------------------------------------------------------------

    def begin(self) -> None:
        self.take(self.plan.start())

    def launch(self, worker: int) -> None:
        self.ready.remove(worker)
        self.live[worker] = False
        self.attempts[worker] += 1
        assert self.plan.on_launched(worker) == self.attempts[worker]

    def refuse(self, worker: int) -> list[Effect]:
        return self.plan.on_refused(worker, "input 'x' does not exist")

    def see_started(self, worker: int) -> list[Effect]:
        self.live[worker] = True
        return self.plan.on_started(worker)

    def see_exit(self, worker: int, outcome: Outcome) -> list[Effect]:
        del self.live[worker]
        self.stops.pop(worker, None)
        return self.plan.on_exited(worker, outcome)

    def fire_timer(self, worker: int) -> list[Effect]:
        return self.plan.on_timer(worker)

    def stop(self) -> list[Effect]:
        return self.plan.stop("stopped by request")

    def stop_worker(self, worker: int) -> list[Effect]:
        effects = self.plan.stop_worker(worker, "stopped by request")
        self.stopped_workers.add(worker)
        return effects

    def restart_worker(self, worker: int) -> list[Effect]:
        return self.plan.restart_worker(worker)

    def drain(self) -> None:
        """Let everything that is under way end well, until the run has finished."""
        limit = 20 * len(self.members) + 20
        while self.finish is None:
            limit -= 1
            assert limit, "the run does not come to its end"
            if self.ready:
                self.launch(min(self.ready))
            elif self.live:
                self.take(self.see_exit(min(self.live), OK))
            else:
                self.take(self.fire_timer(min(self.resting)))

    # -- a restart of the daemon -------------------------------------------------------------------

    def restored_plan(self) -> tuple[Plan, list[Effect]]:
        """A plan made of nothing but what is on record, as recovery does it, and the effects of that."""
        plan = self.make_plan()
        for worker in self.live:
            plan.adopt(worker)
        effects = plan.resume(self.ended, self.attempts, self.resting)
        for worker, (cause, reason) in self.stops.items():
            again = plan.restart_worker(worker) if cause == "restart" else plan.stop_worker(worker, reason)
            assert again == [Stop(worker, cause if cause == "restart" else "stop", reason)]
        if self.stopping is not None:
            assert plan.stop(self.stopping) == [StopRun(self.stopping)], "what a stop means is on record with it"
        return plan, effects


def worst(statuses: Collection[Ended]) -> Ended:
    """The status of a run whose workers ended so."""
    return "failed" if "failed" in statuses else "cancelled" if "cancelled" in statuses else "completed"


def counted(graph: Graph) -> tuple[Graph, list[int]]:
    """The same graph, and a list of one number: how often a neighbourhood was looked up in it."""
    count = [0]

    class Counted(tuple[tuple[int, ...], ...]):
        __slots__ = ()

        def __getitem__(self, index: Any) -> Any:
            count[0] += 1
            return tuple.__getitem__(self, index)

    both = Counted(graph.upstream), Counted(graph.downstream)
    return Graph(graph.names, both[0], both[1], graph.edges, graph.levels, graph.order), count
