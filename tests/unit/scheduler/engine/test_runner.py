"""A runner: the plan's effects become changes for the store, and workers become specs for the executor."""

import json

import pytest

from scheduler.engine.effects import End, Finish, Launch, Stop, StopRun, Wake
from scheduler.engine.policy import Outcome
from scheduler.engine.runner import Acts, Runner, attempt_ended
from scheduler.store.changes import (
    AttemptIntended,
    RunEnded,
    RunStopping,
    WorkerEnded,
    WorkerRetrying,
    WorkerStopping,
)
from scheduler.store.database import Database
from schemas.workflow import Workflow, parse_workflow
from tests.unit.scheduler.engine.planning import FAILED, LOST, NEVER_STARTED, OK, WITH_LAUNCHER, workflow_of
from tests.unit.scheduler.engine.running import BOOT, GRACE_SECONDS, JOURNAL, Day, create_run, define, make_runner
from workers.executor import Report
from workers.files import Collected, OutputFact


async def runner_of(store: Database, workflow: Workflow, target: str | None = None) -> Runner:
    definition = await define(store, workflow)
    return make_runner(await create_run(store, definition, target), definition)


# -- effects to changes ----------------------------------------------------------------------------


async def test_each_effect_is_one_change(store: Database) -> None:
    runner = await runner_of(store, workflow_of(a=(), b=()))
    runner.intend(0, None, 1, BOOT, JOURNAL)
    acts = Acts()
    runner.apply(
        [
            StopRun("by request"),
            Stop(0, "stop", "by request"),
            Wake(1, 0.0, "exited with code 1"),
            End(1, "cancelled", "by request", "in words"),
            Finish("cancelled", "by request"),
        ],
        acts,
    )
    [run_stopping, stopping, retrying, ended, run_ended] = acts.changes
    seq, workflow_id, (a, b) = runner.run.seq, runner.run.workflow_id, runner.definition.worker_ids
    assert isinstance(run_stopping, RunStopping)
    assert (run_stopping.seq, run_stopping.workflow_id, run_stopping.reason) == (seq, workflow_id, "by request")
    assert isinstance(stopping, WorkerStopping)
    assert (stopping.attempt_id, stopping.worker_id, stopping.cause) == (runner.attempts[0].id, a, "stop")
    assert isinstance(retrying, WorkerRetrying)
    assert (retrying.worker_id, retrying.reason, retrying.type) == (b, "exited with code 1", "worker.retrying")
    assert isinstance(ended, WorkerEnded)
    assert (ended.worker_id, ended.status, ended.reason, ended.error_message) == (
        *(b, "cancelled", "by request", "in words"),
    )
    assert isinstance(run_ended, RunEnded)
    assert (run_ended.seq, run_ended.status, run_ended.reason) == (seq, "cancelled", "by request")


async def test_what_is_to_be_done_waits_in_the_acts(store: Database) -> None:
    runner = await runner_of(store, workflow_of(a=(), b=(), c=()))
    attempt, _ = runner.intend(0, None, 1, BOOT, JOURNAL)
    acts = Acts()
    runner.apply([Launch(2), Stop(0, "stop", "x"), Wake(1, 2.5, "x"), End(2, "failed", "x"), Finish("failed")], acts)
    assert acts.launchable == [runner]
    assert acts.stops == [attempt]
    assert acts.wakes == [(runner, 1, 2.5)]
    assert acts.settled == [(runner, 2)]
    assert acts.finished == [runner]
    assert runner.status == "failed"
    assert (acts.launches, acts.ended, acts.acknowledged) == ([], [], [])


async def test_a_launch_changes_nothing_on_record(store: Database) -> None:
    runner, acts = await runner_of(store, workflow_of(a=())), Acts()
    runner.apply(runner.plan.start(), acts)
    assert acts.changes == []


async def test_the_moment_of_the_next_attempt_is_on_record(store: Database) -> None:
    runner, acts = await runner_of(store, workflow_of(a=())), Acts()
    runner.apply([Wake(0, 3600.0, "x"), Wake(0, 0.0, "y", restarted=True)], acts)
    [late, now] = acts.changes
    assert isinstance(late, WorkerRetrying)
    assert isinstance(now, WorkerRetrying)
    assert late.retry_at > late.at
    assert (now.retry_at[:19] >= now.at[:19], now.type) == (True, "worker.restarted")


async def test_a_stop_keeps_its_first_cause(store: Database) -> None:
    runner, acts = await runner_of(store, workflow_of(a=())), Acts()
    attempt, _ = runner.intend(0, None, 1, BOOT, JOURNAL)
    runner.apply([Stop(0, "fail_fast", "x")], acts)
    assert attempt.stop_cause == "fail_fast"


def test_acts_take_over_everything() -> None:
    one, other = Acts(acknowledged=["a"]), Acts(acknowledged=["b"], changes=[RunEnded(1, 1, "failed", None, "now")])
    one.add(other)
    assert one == Acts(acknowledged=["a", "b"], changes=other.changes)


# -- launching -------------------------------------------------------------------------------------


async def test_workers_are_launched_in_the_order_in_which_they_became_ready(store: Database) -> None:
    runner = await runner_of(store, workflow_of(a=(), b=(), c=()))
    runner.apply(runner.plan.start(), Acts())
    runner.apply(runner.plan.stop_worker(1, "by request"), Acts())
    assert [runner.next_launchable() for _ in range(3)] == [0, 2, None]


async def test_an_intent_has_everything_that_a_restart_needs(store: Database) -> None:
    runner = await runner_of(store, workflow_of(a=()))
    attempt, intent = runner.intend(0, "absent", 4, BOOT, JOURNAL)
    assert runner.attempts == {0: attempt}
    assert (attempt.worker, attempt.number, attempt.stdout_to, attempt.boot_id, attempt.journal_id) == (
        *(0, 1, "absent", BOOT, JOURNAL),
    )
    worker_id = runner.definition.worker_ids[0]
    assert intent == AttemptIntended(attempt.id, runner.run.seq, worker_id, 1, 4, "absent", intent.at)
    again, second = runner.intend(0, None, 4, BOOT, JOURNAL)
    assert second.number == 2
    assert again.id > attempt.id


async def test_a_spec_says_how_to_launch(store: Database) -> None:
    given = {
        "name": "w",
        "workers": [
            {"name": "a", "command": "true", "outputs": {"raw": "raw.json"}},
            {
                "name": "b",
                "command": "tool 'x y' --in",
                "args": ["$HOME"],
                "inputs": {"raw": "a/raw"},
                "outputs": {"done": "out/done.txt"},
                "env_vars": {"LEVEL": "7"},
                "working_dir": "sub",
                "timeout_seconds": 30,
                "stop_grace_seconds": 0,
            },
        ],
    }
    runner = await runner_of(store, parse_workflow(given))
    runner.intend(1, None, 1, BOOT, JOURNAL)
    attempt, _ = runner.intend(1, None, 1, BOOT, JOURNAL)
    spec = runner.spec(attempt)
    assert (spec.id, spec.argv, spec.cwd) == (attempt.id, ["tool", "x y", "--in", "$HOME"], "/flow/sub")
    assert spec.env == {
        "WATTLE_WORKFLOW_NAME": "w",
        "WATTLE_WORKER_NAME": "b",
        "WATTLE_RUN_ID": runner.run.id,
        "WATTLE_ATTEMPT": "2",
        "WATTLE_INPUT_RAW": "/flow/raw.json",
        "WATTLE_OUTPUT_DONE": "/flow/sub/out/done.txt",
        "LEVEL": "7",
    }
    assert spec.logs == f"/state/runs/{runner.run.id}/{attempt.id}"
    assert (spec.grace_seconds, spec.timeout_seconds) == (0.0, 30.0)


async def test_the_grace_is_the_daemons_where_the_worker_has_none(store: Database) -> None:
    runner = await runner_of(store, workflow_of(a=(), b={"stop_grace_seconds": 2.5}))
    assert [runner.grace_seconds(worker) for worker in (0, 1)] == [GRACE_SECONDS, 2.5]


async def test_a_run_of_one_worker_has_no_other_member(store: Database) -> None:
    runner, acts = await runner_of(store, workflow_of(a=(), b=("a",)), target="b"), Acts()
    runner.apply(runner.plan.start(), acts)
    assert [runner.next_launchable(), runner.next_launchable()] == [1, None]
    assert not runner.plan.is_open(0)


# -- waiting for an end ----------------------------------------------------------------------------


async def test_who_waits_for_an_end_is_told(store: Database) -> None:
    runner = await runner_of(store, workflow_of(a=(), b=()))
    first, second, other = runner.when_settled(0), runner.when_settled(0), runner.when_settled(1)
    first.cancel()
    runner.tell_settled(0)
    assert (second.done(), other.done()) == (True, False)
    runner.tell_settled(0)


# -- the end of an attempt -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop_cause", "outcome", "status", "phase"),
    [
        (None, OK, "completed", None),
        (None, FAILED, "failed", None),
        (None, LOST, "failed", "lost"),
        (None, NEVER_STARTED, "cancelled", None),
        (None, WITH_LAUNCHER, "cancelled", None),
        ("stop", OK, "cancelled", None),
        ("restart", FAILED, "cancelled", None),
        ("stop", LOST, "failed", "lost"),
    ],
)
async def test_how_an_attempt_ended(
    store: Database, stop_cause: str | None, outcome: Outcome, status: str, phase: str | None
) -> None:
    runner = await runner_of(store, workflow_of(a=()))
    attempt, _ = runner.intend(0, None, 1, BOOT, JOURNAL)
    attempt.stop_cause = stop_cause
    change = attempt_ended(attempt, Report(attempt.id, "exited", ended_at=1_800_000_000_123), outcome, Collected())
    assert (change.id, change.status, change.phase, change.reason) == (attempt.id, status, phase, outcome.reason)
    assert (change.at, change.started_at, change.outputs) == ("2027-01-15T08:00:00.123Z", None, None)


async def test_the_facts_of_an_attempts_end(store: Database) -> None:
    runner = await runner_of(store, workflow_of(a=()))
    attempt, _ = runner.intend(0, None, 1, BOOT, JOURNAL)
    attempt.peak_memory_bytes, attempt.cpu_seconds = 500, 0.5
    report = Report(
        *(attempt.id, "exited"), started_at=1_800_000_000_000, exit_code=0, cpu_seconds=2.5, peak_memory_bytes=400
    )
    outputs = (OutputFact("o", "/flow/o.txt", 7, "stdout", "7:1"),)
    change = attempt_ended(attempt, report, OK, Collected(outputs))
    assert (change.exit_code, change.signal, change.cpu_seconds, change.peak_memory_bytes) == (0, None, 2.5, 500)
    assert change.started_at == "2027-01-15T08:00:00.000Z"
    assert json.loads(change.outputs or "") == [
        {"name": "o", "path": "/flow/o.txt", "size_bytes": 7, "source": "stdout"}
    ]
    nothing = attempt_ended(attempt, Report(attempt.id, "exited"), FAILED, Collected())
    assert (nothing.cpu_seconds, nothing.peak_memory_bytes, nothing.started_at) == (0.5, 500, None)


# -- a whole day -----------------------------------------------------------------------------------


async def test_the_events_of_a_run_tell_its_story(store: Database) -> None:
    day = await Day.begin(store, workflow_of(a={"retry": 1}, b=("a",), c=("b",)))
    for outcome in (FAILED, OK):
        await day.launch()
        await day.see_started("a")
        await day.see_exit("a", outcome)
        await day.let(day.runner.plan.on_timer(0))
    await day.launch()
    await day.see_started("b")
    await day.see_exit("b", FAILED)
    assert await day.launch() is None
    assert day.events == [
        *("worker.started", "worker.retrying", "worker.started", "worker.completed"),
        *("worker.started", "worker.failed", "worker.cancelled", "run.failed"),
    ]


@pytest.mark.parametrize("fail_fast", [True, False])
async def test_a_run_that_stops_itself_is_on_record_as_stopping(store: Database, fail_fast: bool) -> None:
    day = await Day.begin(store, workflow_of(fail_fast=fail_fast, a=(), b=()))
    await day.launch()
    await day.launch()
    await day.see_exit("a", FAILED)
    row = store.read(lambda db: db.execute("SELECT phase, reason FROM runs").fetchone())
    reason = "worker 'a' failed and fail_fast is set"
    assert row == (("stopping", reason) if fail_fast else (None, None))
