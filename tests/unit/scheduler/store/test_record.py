"""`record`: what happened is on record once, with its event, and what has ended stays as it ended."""

import asyncio
import json
import sqlite3
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.store.changes import (
    Change,
    RunEnded,
    RunStarted,
    RunStopping,
    StdoutCaptured,
    WorkerEnded,
    WorkerRetrying,
    WorkerStopping,
)
from scheduler.store.database import Database
from scheduler.store.migrate import migrate
from scheduler.store.record import record
from scheduler.store.runs import (
    get_attempt,
    get_run,
    open_attempts,
    open_runs,
    states_of_run,
    stdout_versions,
)
from schemas.errors import WorkflowNotFound
from schemas.events import EVENT_TYPES, Event
from schemas.run import ENDED, Ended
from tests.unit.scheduler.store.facts import Story, at, attempt_ended, events, snapshot, status_of

# -- the way of a run ------------------------------------------------------------------------------


def test_a_run_begins(db: sqlite3.Connection) -> None:
    story = Story(db)
    told = story.tell(RunStarted(7, "01RUN", story.workflow_id, 1, None, at(5)))
    assert told == [Event(at(5), "run.started", story.workflow_id, 7, data={"run_id": "01RUN", "number": 1})]
    run = get_run(db, "01RUN")
    assert run is not None
    assert (run.seq, run.number, run.status, run.phase, run.started_at, run.completed_at) == (
        *(7, 1, "running", None, at(5), None),
    )
    assert open_runs(db) == [run]
    assert status_of(db) == "running"


def test_runs_are_numbered_within_their_workflow(db: sqlite3.Connection) -> None:
    one, other = Story(db, "one"), Story(db, "other")
    one.tell(*(RunStarted(seq, f"{seq}", one.workflow_id, 1, None, at(seq)) for seq in (1, 3)))
    other.tell(RunStarted(2, "2", other.workflow_id, 1, None, at(2)))
    numbers = {row.id: row.number for row in open_runs(db)}
    assert numbers == {"1": 1, "3": 2, "2": 1}


def test_an_attempt_from_its_intent_to_its_end(db: sqlite3.Connection) -> None:
    story = Story(db)
    run, worker = story.start_run(), story.workers["a"]
    attempt_id = story.intend(run, "a")
    [intended] = open_attempts(db)
    assert (intended.id, intended.status, intended.phase, intended.boot_id, intended.journal_id, intended.pid) == (
        *(attempt_id, "created", "starting", "boot", "journal", None),
    )
    assert (states_of_run(db, run)[worker].status, states_of_run(db, run)[worker].phase) == ("created", "starting")

    [event] = story.started(run, "a")
    assert (event.type, event.worker_id, event.attempt_id, event.data) == (
        *("worker.started", worker, attempt_id, {"pid": 77}),
    )
    assert (states_of_run(db, run)[worker].status, states_of_run(db, run)[worker].phase) == ("running", None)

    outputs = json.dumps([{"name": "x"}])
    assert story.attempt_ended(run, "a", exit_code=0, cpu_seconds=1.5, peak_memory_bytes=9, outputs=outputs) == []
    [ended] = story.worker_ended(run, "a")
    assert (ended.type, ended.data) == ("worker.completed", {})
    attempt = get_attempt(db, attempt_id)
    assert attempt is not None
    assert (attempt.status, attempt.phase, attempt.exit_code, attempt.cpu_seconds, attempt.outputs) == (
        *("completed", None, 0, 1.5, outputs),
    )
    state = states_of_run(db, run)[worker]
    assert (state.status, state.attempts, state.attempt_id, state.completed_at) == (
        *("completed", 1, attempt_id, at(story.seconds)),
    )
    assert open_attempts(db) == []


def test_a_worker_that_never_began_has_an_end_too(db: sqlite3.Connection) -> None:
    story = Story(db)
    run = story.start_run()
    message = "upstream 'x' failed"
    [event] = story.tell(WorkerEnded(run, story.workflow_id, story.workers["a"], "cancelled", message, message, at(9)))
    state = states_of_run(db, run)[story.workers["a"]]
    assert (state.status, state.error_message, state.attempts, state.started_at, state.completed_at) == (
        *("cancelled", message, 0, None, at(9)),
    )
    assert (event.type, event.data) == ("worker.cancelled", {"reason": message})


def test_a_pause_before_another_attempt(db: sqlite3.Connection) -> None:
    story = Story(db)
    run, worker = story.start_run(), story.workers["a"]
    story.intend(run, "a")
    story.started(run, "a")
    first_started = states_of_run(db, run)[worker].started_at
    story.attempt_ended(run, "a", "failed", reason="exited with code 1", exit_code=1)
    [event] = story.tell(WorkerRetrying(run, story.workflow_id, worker, "exited with code 1", at(60), at(5)))
    assert (event.type, event.data) == ("worker.retrying", {"reason": "exited with code 1", "retry_at": at(60)})
    resting = states_of_run(db, run)[worker]
    assert (resting.status, resting.phase, resting.retry_at, resting.completed_at) == (
        *("created", "retrying", at(60), None),
    )
    story.intend(run, "a")
    again = states_of_run(db, run)[worker]
    assert (again.status, again.phase, again.reason, again.retry_at, again.attempts) == (
        *("created", "starting", None, None, 2),
    )
    story.started(run, "a")
    assert states_of_run(db, run)[worker].started_at == first_started


def test_a_restart_by_request_is_an_event_of_its_own(db: sqlite3.Connection) -> None:
    story = Story(db)
    run = story.start_run()
    story.intend(run, "a")
    change = WorkerRetrying(run, story.workflow_id, story.workers["a"], "by request", at(6), at(5), "worker.restarted")
    assert [event.type for event in story.tell(change)] == ["worker.restarted"]


def test_a_stop_is_on_record_before_it_is_driven(db: sqlite3.Connection) -> None:
    story = Story(db)
    run, worker = story.start_run(), story.workers["a"]
    attempt_id = story.intend(run, "a")
    story.started(run, "a")
    told = story.tell(
        RunStopping(run, story.workflow_id, "by request", at(8)),
        WorkerStopping(attempt_id, run, story.workflow_id, worker, "stop", "by request", at(8)),
    )
    assert [event.type for event in told] == ["run.stopping", "worker.stopping"]
    [open_run], [attempt] = open_runs(db), open_attempts(db)
    assert (open_run.status, open_run.phase, open_run.reason) == ("running", "stopping", "by request")
    assert (attempt.status, attempt.phase, attempt.stop_cause, attempt.reason) == (
        *("running", "stopping", "stop", "by request"),
    )
    assert (states_of_run(db, run)[worker].status, states_of_run(db, run)[worker].phase) == ("running", "stopping")
    story.run_ended(run, "cancelled", "by request")
    assert get_run(db, open_run.id) is not None
    assert open_runs(db) == []


def test_an_attempt_that_ended_before_it_was_seen_has_its_start_too(db: sqlite3.Connection) -> None:
    story = Story(db)
    attempt_id = story.intend(story.start_run(), "a")
    story.tell(attempt_ended(attempt_id, started_at=at(3), at=at(4)))
    attempt = get_attempt(db, attempt_id)
    assert attempt is not None
    assert (attempt.started_at, attempt.completed_at) == (at(3), at(4))


def test_the_highest_memory_stays_when_the_end_knows_none(db: sqlite3.Connection) -> None:
    story = Story(db)
    attempt_id = story.intend(story.start_run(), "a")
    db.execute("UPDATE attempts SET peak_memory_bytes = 5")
    story.tell(attempt_ended(attempt_id))
    attempt = get_attempt(db, attempt_id)
    assert attempt is not None
    assert attempt.peak_memory_bytes == 5


def test_a_captured_output_replaces_the_version_before(db: sqlite3.Connection) -> None:
    record(db, [StdoutCaptured("/x", "1:1"), StdoutCaptured("/y", "2:2"), StdoutCaptured("/x", "3:3")])
    assert stdout_versions(db, ["/x", "/y", "/z"]) == {"/x": "3:3", "/y": "2:2"}


# -- what has ended stays as it ended --------------------------------------------------------------


@pytest.mark.parametrize("first", ENDED)
@pytest.mark.parametrize("second", ENDED)
def test_an_end_that_is_told_again_changes_nothing_and_is_no_event(
    db: sqlite3.Connection, first: Ended, second: Ended
) -> None:
    story = Story(db)
    run = story.start_run()
    story.intend(run, "a")
    story.started(run, "a")
    ends: list[Change] = [
        attempt_ended("1-a-1", first, at=at(20), exit_code=0, reason="the first"),
        WorkerEnded(run, story.workflow_id, story.workers["a"], first, "the first", None, at(20)),
        RunEnded(run, story.workflow_id, first, "the first", at(20)),
    ]
    story.tell(*ends)
    before, told = snapshot(db), events(db)
    worker = story.workers["a"]
    again = story.tell(
        attempt_ended("1-a-1", second, at=at(99), exit_code=9, signal=9, reason="another", phase="lost"),
        WorkerEnded(run, story.workflow_id, worker, second, "another", "another", at(99)),
        RunEnded(run, story.workflow_id, second, "another", at(99)),
        RunStopping(run, story.workflow_id, "late", at(99)),
        WorkerStopping("1-a-1", run, story.workflow_id, worker, "stop", "late", at(99)),
        WorkerRetrying(run, story.workflow_id, worker, "late", at(99), at(99)),
    )
    assert story.started(run, "a") == []
    assert snapshot(db) == before
    assert events(db) == told
    assert again == []


def test_the_end_of_an_old_run_says_nothing_about_a_workflow_that_was_replaced(db: sqlite3.Connection) -> None:
    story = Story(db)
    run = story.start_run()
    story.run_ended(run, "failed")
    db.execute("UPDATE workflows SET status = 'created'")
    story.run_ended(run, "failed")
    assert status_of(db) == "created"


def test_a_launcher_may_tell_a_start_again_after_every_connection(db: sqlite3.Connection) -> None:
    story = Story(db)
    run = story.start_run()
    story.intend(run, "a")
    assert [event.type for event in story.started(run, "a")] == ["worker.started"]
    before = snapshot(db)
    assert story.started(run, "a") == []
    assert snapshot(db) == before


# -- the workflow's status -------------------------------------------------------------------------


@pytest.mark.parametrize("status", ENDED)
def test_a_workflow_is_as_its_run_ended(db: sqlite3.Connection, status: Ended) -> None:
    story = Story(db)
    run = story.start_run()
    story.run_ended(run, status)
    assert status_of(db) == status
    [row] = db.execute("SELECT started_at, completed_at FROM workflows").fetchall()
    assert row == (at(1), at(2))


def test_a_new_run_takes_the_end_of_the_one_before_away(db: sqlite3.Connection) -> None:
    story = Story(db)
    story.run_ended(story.start_run(), "failed")
    story.start_run()
    assert db.execute("SELECT status, started_at, completed_at FROM workflows").fetchall() == [("running", at(3), None)]


@pytest.mark.parametrize("whole_ends_first", [True, False])
def test_a_workflow_runs_as_long_as_any_of_its_runs(db: sqlite3.Connection, whole_ends_first: bool) -> None:
    story = Story(db, "w", "a", "b")
    whole = story.start_run()
    single = story.start_run(target="a")
    first, last = (whole, single) if whole_ends_first else (single, whole)
    story.run_ended(first, "completed")
    assert db.execute("SELECT status, completed_at FROM workflows").fetchall() == [("running", None)]
    story.run_ended(last, "completed")
    assert status_of(db) == "completed"


def test_the_latest_run_says_how_a_workflow_stands(db: sqlite3.Connection) -> None:
    story = Story(db)
    story.run_ended(story.start_run(), "failed")
    story.run_ended(story.start_run(target="a"), "completed")
    assert status_of(db) == "completed"


# -- the fence -------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["replaced", "deleted"])
def test_a_run_of_what_was_changed_meanwhile_does_not_begin(db: sqlite3.Connection, event: str) -> None:
    story = Story(db)
    db.execute("UPDATE workflows SET revision = 2" if event == "replaced" else "UPDATE workflows SET deleted_at = 'x'")
    before = snapshot(db)
    with pytest.raises(WorkflowNotFound, match="Workflow 'w' does not exist"):
        story.start_run(revision=1)
    assert snapshot(db) == before
    assert events(db) == ["workflow.created"]


# -- status and event in one transaction -----------------------------------------------------------


async def test_a_failure_after_it_takes_the_change_and_its_event_back(store: Database) -> None:
    def fail(db: sqlite3.Connection) -> None:
        story = Story(db)
        story.work(story.start_run(), "a")
        raise LookupError("and then")

    with pytest.raises(LookupError):
        await store.write(fail)
    assert store.read(events) == []
    assert all(not rows for rows in store.read(snapshot).values())


async def test_events_are_numbered_in_the_order_of_their_commits(store: Database) -> None:
    def tell(name: str) -> Callable[[sqlite3.Connection], Story]:
        return lambda db: Story(db, name)

    def start(story: Story, seq: int) -> Callable[[sqlite3.Connection], list[Event]]:
        return lambda db: record(db, [RunStarted(seq, f"{seq}", story.workflow_id, 1, None, at(seq))])

    stories = [await store.write(tell(f"w{number}")) for number in range(5)]
    await asyncio.gather(*(store.write(start(story, seq)) for seq, story in enumerate(stories, 1)))
    rows = store.read(lambda db: db.execute("SELECT seq, run FROM events WHERE type = 'run.started'").fetchall())
    assert [run for _, run in rows] == [1, 2, 3, 4, 5]
    assert [seq for seq, _ in rows] == [6, 7, 8, 9, 10]


STATUSES = "SELECT 'run', seq, status FROM runs UNION SELECT 'worker ' || worker_id, run, status FROM run_workers"
HAPPENINGS = ("intend", "started", "attempt_ended", "retrying", "stopping", "worker_ended", "run_ended", "run_stopping")
Step = tuple[str, str, Ended]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.sampled_from("ab"), st.sampled_from(ENDED)), max_size=25))
def test_every_change_of_a_status_has_its_event_and_no_end_changes(steps: list[Step]) -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db)
    story = Story(db, "w", "a", "b")
    run = story.start_run()
    for step in steps:
        before = {(what, which): status for what, which, status in db.execute(STATUSES)}
        told = take_step(story, run, step)
        after = {(what, which): status for what, which, status in db.execute(STATUSES)}
        changed = {key: status for key, status in after.items() if before.get(key, "created") != status}
        assert len(changed) <= 1
        for key, status in changed.items():
            assert before.get(key) not in ENDED
            assert is_said(status, told), f"{status} without an event: {told}"
        assert {event.type for event in told} <= set(EVENT_TYPES)
    types = events(db)
    assert types[:2] == ["workflow.created", "run.started"]
    db.close()


def is_said(status: str, told: list[Event]) -> bool:
    meaning = {"running": "started", "created": "retrying"}.get(status, status)
    return [event.type.partition(".")[2] for event in told] == [meaning]


def take_step(story: Story, run: int, step: Step) -> list[Event]:
    what, name, status = step
    worker, is_known = story.workers[name], (run, name) in story.attempts
    match what:
        case "intend":
            story.intend(run, name)
        case "started" if is_known:
            return story.started(run, name)
        case "attempt_ended" if is_known:
            return story.attempt_ended(run, name, status)
        case "retrying":
            return story.tell(WorkerRetrying(run, story.workflow_id, worker, "again", at(50), story.now()))
        case "stopping" if is_known:
            attempt_id = f"{run}-{name}-{story.attempts[run, name]}"
            return story.tell(
                WorkerStopping(attempt_id, run, story.workflow_id, worker, "stop", "by request", story.now())
            )
        case "worker_ended":
            return story.worker_ended(run, name, status)
        case "run_ended":
            return story.run_ended(run, status)
        case "run_stopping":
            return story.tell(RunStopping(run, story.workflow_id, "by request", story.now()))
    return []
