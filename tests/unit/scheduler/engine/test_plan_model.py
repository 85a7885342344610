"""Plans of random workflows through random days: whatever happens in whatever order, the rules of a run hold."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.engine.effects import Effect, Launch, Wake
from scheduler.engine.plan import Plan
from schemas.workflow import Retry, Worker, Workflow
from tests.unit.scheduler.engine.planning import FAILED, NEVER_STARTED, OUTCOMES, World

Step = tuple[str, int]
HAPPENINGS = ("launch", "launch", "launch", "exit", "exit", "exit", "start", "timer", "timer", "refuse")
WISHES = ("stop_worker", "restart_worker", "restart_worker", "stop", "late")
MOST_EXAMPLES = 300


@st.composite
def workflows(draw: st.DrawFn) -> Workflow:
    size = draw(st.integers(1, 7))
    workers = []
    for index in range(size):
        after = draw(st.lists(st.integers(0, index - 1), unique=True, max_size=3)) if index else []
        retry = draw(st.none() | st.builds(Retry, limit=st.integers(0, 2), exit_codes=st.none() | st.just([7])))
        workers.append(
            Worker(
                name=f"w{index}",
                command="true",
                after=[f"w{other}" for other in after],
                retry=retry,
                fail_fast=draw(st.sampled_from((None, None, None, True, False))),
                on_lost=draw(st.sampled_from(("fail", "retry"))),
            )
        )
    return Workflow(name="w", fail_fast=draw(st.booleans()), workers=draw(st.permutations(workers)))


def days(*more: str) -> st.SearchStrategy[list[Step]]:
    """What happens one after the other, each with a number that chooses to whom."""
    return st.lists(st.tuples(st.sampled_from((*HAPPENINGS, *WISHES, *more)), st.integers(0, 41)), max_size=40)


def take_step(world: World, step: Step) -> None:
    """Let one thing happen to whom it can happen; nothing if there is nobody."""
    happening, number = step
    effects = _STEPS[happening](world, number)
    world.take(effects)


def _chosen(among: list[int], number: int) -> int | None:
    return among[number % len(among)] if among else None


def _launch(world: World, number: int) -> list[Effect]:
    worker = _chosen(sorted(world.ready), number)
    if worker is not None:
        world.launch(worker)
    return []


def _exit(world: World, number: int) -> list[Effect]:
    worker = _chosen(sorted(world.live), number)
    return [] if worker is None else world.see_exit(worker, OUTCOMES[number // 7 % len(OUTCOMES)])


def _start(world: World, number: int) -> list[Effect]:
    worker = _chosen(sorted(world.live), number)
    return [] if worker is None else world.see_started(worker)


def _timer(world: World, number: int) -> list[Effect]:
    worker = _chosen(sorted(world.resting), number)
    return [] if worker is None else world.fire_timer(worker)


def _refuse(world: World, number: int) -> list[Effect]:
    worker = _chosen(sorted(world.ready), number)
    return [] if worker is None or number % 3 else world.refuse(worker)


def _late(world: World, number: int) -> list[Effect]:
    """News of what is not under way (any more): nothing follows."""
    plan = world.plan
    for worker in range(len(world.workflow.workers)):
        if worker not in world.live:
            assert plan.on_exited(worker, FAILED) == plan.on_exited(worker, NEVER_STARTED) == []
            assert plan.on_started(worker) == []
        if worker not in world.resting:
            assert plan.on_timer(worker) == []
        if worker not in world.live and worker not in world.resting:
            assert plan.restart_worker(worker) == []
        if worker not in world.ready:
            assert plan.on_refused(worker, "late") == []
    return []


def _of_any(verb: Callable[[World, int], list[Effect]]) -> Callable[[World, int], list[Effect]]:
    return lambda world, number: verb(world, number % len(world.workflow.workers))


def _stop(world: World, number: int) -> list[Effect]:
    return [] if number % 3 else world.stop()


_STEPS: dict[str, Callable[[World, int], list[Effect]]] = {
    "launch": _launch,
    "exit": _exit,
    "start": _start,
    "timer": _timer,
    "refuse": _refuse,
    "late": _late,
    "stop": _stop,
    "stop_worker": _of_any(World.stop_worker),
    "restart_worker": _of_any(World.restart_worker),
}


@settings(max_examples=MOST_EXAMPLES, deadline=None)
@given(workflows(), days())
def test_the_rules_hold_whatever_happens(workflow: Workflow, day: list[Step]) -> None:
    world = World(workflow)
    world.begin()
    for step in day:
        take_step(world, step)
    world.drain()


@settings(max_examples=100, deadline=None)
@given(workflows(), st.data(), days())
def test_the_rules_hold_for_one_worker_alone(workflow: Workflow, data: st.DataObject, day: list[Step]) -> None:
    world = World(workflow, members=(data.draw(st.integers(0, len(workflow.workers) - 1)),))
    world.begin()
    for step in day:
        take_step(world, step)
    world.drain()


@settings(max_examples=MOST_EXAMPLES, deadline=None)
@given(workflows(), days(), days())
def test_a_restart_of_the_daemon_changes_nothing_of_what_follows(
    workflow: Workflow, before: list[Step], after: list[Step]
) -> None:
    world = World(workflow)
    world.begin()
    for step in before:
        take_step(world, step)
    if world.finish is not None:
        return
    restored, effects = world.restored_plan()
    assert sorted(launched(effects)) == sorted(world.ready)
    assert {effect.worker: effect.delay_seconds for effect in effects if isinstance(effect, Wake)} == world.resting
    assert len(effects) == len(world.ready) + len(world.resting)
    for step in [*after, *[("launch", 0), ("timer", 0), ("exit", 0)] * 60]:
        take_twin_step(world, restored, step)
    assert world.finish is not None


def launched(effects: list[Effect]) -> list[int]:
    return [effect.worker for effect in effects if isinstance(effect, Launch)]


def take_twin_step(world: World, twin: Plan, step: Step) -> None:
    """Let the same happen to the plan that was never interrupted and to its twin: the same must follow."""
    happening, number = step
    own = world.plan
    held = {name: _copied(value) for name, value in vars(world).items()}
    world.plan = twin
    of_twin = _STEPS[happening](world, number)
    vars(world).update(held)
    world.plan = own
    effects = _STEPS[happening](world, number)
    assert of_twin == effects
    world.take(effects)


def _copied(value: object) -> object:
    return value.copy() if isinstance(value, dict | set) else value
