"""After a restart: what was unfinished goes on as if nothing had happened, and nothing is written twice."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.engine.definitions import Definitions
from scheduler.engine.effects import End, Finish, Launch
from scheduler.engine.plan import LIVE, Stage
from scheduler.engine.recovery import judge_missing, recover
from scheduler.engine.runner import Acts, Attempt, Runner
from scheduler.store.database import Database
from schemas.workflow import Workflow
from tests.unit.scheduler.engine.planning import FAILED, OK, OUTCOMES, workflow_of
from tests.unit.scheduler.engine.running import BOOT, JOURNAL, Day, create_run, define, make_runner
from tests.unit.scheduler.engine.test_plan_model import workflows
from tests.unit.scheduler.store.facts import events, opened, snapshot

RETRY = {"retry": {"limit": 3, "delay_seconds": 1000}}


async def restart(store: Database) -> tuple[list[Runner], Acts]:
    """What a new daemon makes of the record."""
    acts = Acts()
    return await recover(store, Definitions(store), make_runner, acts), acts


async def restart_one(store: Database) -> tuple[Runner, Acts]:
    [runner], acts = await restart(store)
    return runner, acts


# -- one thing at a time ---------------------------------------------------------------------------


async def test_nothing_unfinished_is_nothing_to_do(store: Database) -> None:
    day = await Day.begin(store, workflow_of(a=()))
    await day.launch()
    await day.see_exit("a", OK)
    assert await restart(store) == ([], Acts())


async def test_a_run_that_had_just_been_created_begins(store: Database) -> None:
    await Day.begin(store, workflow_of(a=(), b=("a",)))
    runner, acts = await restart_one(store)
    assert acts == Acts(launchable=[runner])
    assert runner.next_launchable() == 0


async def test_an_attempt_under_way_is_adopted_as_it_was(store: Database) -> None:
    day = await Day.begin(store, workflow_of(a=(), b=("a",)))
    intended = await day.launch()
    assert intended is not None
    await day.see_started("a", pid=4711)
    runner, acts = await restart_one(store)
    adopted = runner.attempts[0]
    assert (adopted.id, adopted.number, adopted.pid, adopted.started_at, adopted.boot_id, adopted.journal_id) == (
        *(intended.id, 1, 4711, intended.started_at, BOOT, JOURNAL),
    )
    assert adopted.runner is runner
    assert acts == Acts()
    assert runner.plan.on_exited(0, OK) == [End(0, "completed"), Launch(1)]


async def test_an_intent_is_adopted_too_since_it_may_have_been_launched(store: Database) -> None:
    day = await Day.begin(store, workflow_of(a=()))
    await day.launch()
    runner, acts = await restart_one(store)
    assert (runner.attempts[0].started_at, runner.attempts[0].pid) == (None, 0)
    assert acts == Acts()
    assert runner.next_launchable() is None


async def test_how_stdout_was_to_be_used_is_remembered(store: Database) -> None:
    day = await Day.begin(store, workflow_of(a=()))
    worker = day.runner.next_launchable()
    assert worker == 0
    _, intent = day.runner.intend(worker, "12:345", 1, BOOT, JOURNAL)
    await day.keep(Acts(changes=[intent]))
    runner, _ = await restart_one(store)
    assert runner.attempts[0].stdout_to == "12:345"


async def test_a_pause_goes_on_and_its_reason_stays(store: Database) -> None:
    day = await Day.begin(store, workflow_of(a=RETRY))
    await day.launch()
    await day.see_exit("a", FAILED)
    before = store.read(snapshot), store.read(events)
    runner, acts = await restart_one(store)
    [(rested, worker, delay)] = acts.wakes
    assert (rested, worker) == (runner, 0)
    assert 900 < delay <= 1000
    assert acts.changes == []
    assert (store.read(snapshot), store.read(events)) == before
    assert runner.plan.on_timer(0) == [Launch(0)]
    assert runner.plan.on_launched(0) == 2


async def test_a_pause_that_ended_meanwhile_is_over_at_once(store: Database) -> None:
    day = await Day.begin(store, workflow_of(a=RETRY))
    await day.launch()
    await day.see_exit("a", FAILED)
    await store.write(lambda db: db.execute("UPDATE run_workers SET retry_at = '2020-01-01T00:00:00.000Z'"))
    _, acts = await restart_one(store)
    assert [delay for _, _, delay in acts.wakes] == [0.0]


@pytest.mark.parametrize("whole_run", [True, False])
async def test_a_stop_under_way_goes_on_and_is_not_written_again(store: Database, whole_run: bool) -> None:
    day = await Day.begin(store, workflow_of(a=(), b=("a",), c=()))
    await day.launch()
    plan = day.runner.plan
    await day.let(plan.stop("by request") if whole_run else plan.stop_worker(0, "by request"))
    runner, acts = await restart_one(store)
    assert acts.changes == []
    assert runner.attempts[0].stop_cause == "stop"
    assert runner.plan.is_stopping == whole_run
    effects = runner.plan.on_exited(0, OK)
    assert effects[0] == End(0, "cancelled", "by request")
    assert (effects[-1] == Finish("cancelled", "by request")) == whole_run


async def test_a_restart_under_way_goes_on(store: Database) -> None:
    day = await Day.begin(store, workflow_of(a=()))
    await day.launch()
    await day.let(day.runner.plan.restart_worker(0))
    runner, acts = await restart_one(store)
    assert acts.changes == []
    assert runner.attempts[0].stop_cause == "restart"
    effects = runner.plan.on_exited(0, FAILED)
    assert effects == day.runner.plan.on_exited(0, FAILED)
    assert runner.plan.stages == [Stage.RESTING]


async def test_a_run_that_was_stopping_itself_says_at_its_end_why(store: Database) -> None:
    day = await Day.begin(store, workflow_of(fail_fast=True, a=(), b=()))
    await day.launch()
    await day.launch()
    await day.see_exit("a", FAILED)
    runner, acts = await restart_one(store)
    assert acts.changes == []
    assert runner.plan.on_exited(1, OK)[-1] == Finish("failed", "worker 'a' failed and fail_fast is set")


async def test_a_run_of_one_worker_comes_back_as_that(store: Database) -> None:
    await Day.begin(store, workflow_of(a=(), b=("a",), c=("b",)), target="b")
    runner, _ = await restart_one(store)
    assert runner.next_launchable() == 1
    assert [runner.plan.is_open(worker) for worker in range(3)] == [False, True, False]


async def test_runs_come_back_in_the_order_of_their_starts(store: Database) -> None:
    for seq, name in enumerate(("one", "two", "three"), 1):
        definition = await define(store, workflow_of(a=()).model_copy(update={"name": name}))
        await create_run(store, definition, seq=seq)
    runners, _ = await restart(store)
    assert [runner.workflow for runner in runners] == ["one", "two", "three"]


# -- what became of an attempt that no launcher lists ----------------------------------------------


def attempt(**fields: object) -> Attempt:
    loop = asyncio.get_running_loop()
    given = {"boot_id": BOOT, "journal_id": JOURNAL, **fields}
    return Attempt("01", None, 0, 1, None, over=loop.create_future(), **given)  # type: ignore[arg-type]


async def test_what_provably_never_began_is_sent_again() -> None:
    assert judge_missing(attempt(), BOOT, JOURNAL) is None


@pytest.mark.parametrize("started_at", [None, 5])
@pytest.mark.parametrize("stop_cause", [None, "stop"])
async def test_what_cannot_be_known_is_lost(started_at: int | None, stop_cause: str | None) -> None:
    of_another_boot = judge_missing(attempt(started_at=started_at, stop_cause=stop_cause), "another boot", JOURNAL)
    assert of_another_boot is not None
    assert of_another_boot.lost == "the host restarted while it ran or waited to start"
    without_journal = judge_missing(attempt(started_at=started_at, stop_cause=stop_cause), BOOT, "another journal")
    assert without_journal is not None
    assert without_journal.lost == "the launcher's journal is gone, and with it what became of this"
    assert not without_journal.never_started


async def test_what_ran_and_is_not_listed_is_lost() -> None:
    report = judge_missing(attempt(started_at=5), BOOT, JOURNAL)
    assert report is not None
    assert report.lost


async def test_what_never_began_and_is_to_be_stopped_never_begins() -> None:
    report = judge_missing(attempt(stop_cause="stop"), BOOT, JOURNAL)
    assert report is not None
    assert (report.never_started, report.cause, report.lost) == (True, "stop", None)


# -- any day, a restart at its end -----------------------------------------------------------------

Step = tuple[str, int]
HAPPENINGS = (
    "launch",
    "launch",
    "launch",
    "start",
    "exit",
    "exit",
    "exit",
    "timer",
    "refuse",
    "stop_worker",
    "restart",
    "stop",
)


@settings(max_examples=60, deadline=None)
@given(workflows(), st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.integers(0, 41)), max_size=25))
def test_a_restart_at_any_moment_changes_nothing(workflow: Workflow, steps: list[Step]) -> None:
    asyncio.run(compare(workflow, steps))


async def compare(workflow: Workflow, steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder)) as store:
            day = await Day.begin(store, workflow)
            for step in steps:
                await take_step(day, step)
            before = store.read(snapshot), store.read(events)
            runners, acts = await restart(store)
            assert (acts.changes, acts.stops, acts.settled, acts.finished) == ([], [], [], [])
            assert (store.read(snapshot), store.read(events)) == before
            if day.runner.status is not None:
                assert runners == []
                return
            [runner] = runners
            assert stages(runner) == stages(day.runner)
            assert runner.plan.attempts == day.runner.plan.attempts
            assert sorted(runner.launchable) == having(Stage.READY, day.runner)
            assert sorted(worker for _, worker, _ in acts.wakes) == having(Stage.RESTING, day.runner)
            assert facts(runner) == facts(day.runner)
            for worker in waiting_again(day.runner):
                assert runner.plan.on_timer(worker) == [Launch(worker)]
            assert follow(runner) == follow(day.runner)


def stages(runner: Runner) -> list[Stage]:
    """As far as they are on record: a pause that is over still looks like one, whose end has come."""
    found = [Stage.RUNNING if stage in LIVE else stage for stage in runner.plan.stages]
    return [
        Stage.RESTING if stage is Stage.READY and attempts else stage
        for stage, attempts in zip(found, runner.plan.attempts, strict=True)
    ]


def waiting_again(runner: Runner) -> list[int]:
    return [worker for worker in having(Stage.RESTING, runner) if runner.plan.may_launch(worker)]


def having(stage: Stage, runner: Runner) -> list[int]:
    return [worker for worker, found in enumerate(stages(runner)) if found is stage]


def facts(runner: Runner) -> dict[int, tuple[object, ...]]:
    return {
        worker: (each.id, each.number, each.pid, each.started_at, each.boot_id, each.journal_id)
        for worker, each in runner.attempts.items()
    }


def follow(runner: Runner) -> list[object]:
    """Everything that the plan says when all goes well from here."""
    plan, said = runner.plan, []
    while not plan.is_finished:
        worker = next(
            worker for worker, stage in enumerate(stages(runner)) if stage in (*LIVE, Stage.READY, Stage.RESTING)
        )
        if plan.stages[worker] is Stage.RESTING:
            said += plan.on_timer(worker)
        if plan.may_launch(worker):
            plan.on_launched(worker)
        said += plan.on_exited(worker, OK)
    return [*said]


async def take_step(day: Day, step: Step) -> None:
    happening, number = step
    runner, plan, workers = day.runner, day.runner.plan, day.runner.definition.workflow.workers
    live = sorted(runner.attempts)
    name = workers[live[number % len(live)]].name if live else None
    match happening:
        case "launch":
            await day.launch()
        case "start" if name is not None and runner.attempts[day.index(name)].started_at is None:
            await day.see_started(name, pid=100 + number)
        case "exit" if name is not None:
            await day.see_exit(name, OUTCOMES[number // 7 % len(OUTCOMES)])
        case "timer":
            await day.let(plan.on_timer(number % len(workers)))
        case "refuse" if number % 5 == 0 and (worker := runner.next_launchable()) is not None:
            await day.let(plan.on_refused(worker, "input 'x' does not exist"))
        case "stop_worker":
            await day.let(plan.stop_worker(number % len(workers), "by request"))
        case "restart":
            await day.let(plan.restart_worker(number % len(workers)))
        case "stop" if number % 5 == 0:
            await day.let(plan.stop("the whole run, by request"))
