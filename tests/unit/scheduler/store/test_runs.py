"""What is read back of runs: how workers stand now, attempts, pages; and that none of it grows with the history."""

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from scheduler.store.changes import RunEnded, RunStarted
from scheduler.store.record import record
from scheduler.store.runs import (
    WorkerState,
    attempts_of_worker,
    base_run,
    count_attempts,
    current_state,
    current_states,
    get_attempt,
    get_run,
    last_run_seq,
    latest_attempts_of_run,
    launcher_row,
    list_runs,
    open_attempts,
    open_runs,
    states_of_run,
    stdout_versions,
)
from scheduler.store.workflows import delete_workflow, get_workflow, replace_workflow
from tests.unit.scheduler.store.facts import Story, at, workflow


def now(story: Story) -> dict[str, tuple[int, str]]:
    """{worker: (run, status)} as of now; both ways to ask must agree."""
    base = base_run(story.db, story.workflow_id)
    states = current_states(story.db, story.workflow_id, base)
    for worker_id in story.workers.values():
        assert current_state(story.db, worker_id, base) == states.get(worker_id)
    ids = {worker_id: name for name, worker_id in story.workers.items()}
    return {ids[worker_id]: (state.run, state.status) for worker_id, state in states.items()}


# -- how workers stand now -------------------------------------------------------------------------


def test_nothing_has_happened_yet(db: sqlite3.Connection) -> None:
    story = Story(db, "w", "a", "b")
    assert now(story) == {}
    run = story.start_run()
    assert now(story) == {}
    story.intend(run, "a")
    assert now(story) == {"a": (1, "created")}


def test_a_new_whole_run_starts_from_nothing(db: sqlite3.Connection) -> None:
    story = Story(db, "w", "a", "b")
    for worker in ("a", "b"):
        story.work(1 if story.runs else story.start_run(), worker)
    story.run_ended(1)
    assert now(story) == {"a": (1, "completed"), "b": (1, "completed")}
    run = story.start_run()
    assert now(story) == {}
    story.work(run, "a", "failed")
    assert now(story) == {"a": (2, "failed")}


def test_a_run_of_one_worker_tells_about_that_worker_only(db: sqlite3.Connection) -> None:
    story = Story(db, "w", "a", "b")
    run = story.start_run()
    story.work(run, "a", "failed")
    story.worker_ended(run, "b", "cancelled", "upstream 'a' failed")
    story.run_ended(run, "failed")
    again = story.start_run(target="a")
    assert now(story) == {"a": (1, "failed"), "b": (1, "cancelled")}
    story.intend(again, "a")
    assert now(story) == {"a": (2, "created"), "b": (1, "cancelled")}
    story.started(again, "a")
    story.attempt_ended(again, "a")
    story.worker_ended(again, "a")
    story.run_ended(again)
    assert now(story) == {"a": (2, "completed"), "b": (1, "cancelled")}


def test_the_latest_of_many_single_runs_counts(db: sqlite3.Connection) -> None:
    story = Story(db, "w", "a", "b")
    for status in ("failed", "completed", "cancelled"):
        run = story.start_run(target="a")
        story.work(run, "a", status)
        story.run_ended(run, status)
    assert now(story) == {"a": (3, "cancelled")}


def test_a_single_run_beside_a_whole_one_tells_the_latest_of_its_worker(db: sqlite3.Connection) -> None:
    story = Story(db, "w", "a", "b")
    whole = story.start_run()
    story.work(whole, "a")
    single = story.start_run(target="a")
    story.work(single, "a", "failed")
    story.work(whole, "b")
    assert now(story) == {"a": (2, "failed"), "b": (1, "completed")}


def test_a_replaced_workflow_knows_nothing_of_before(db: sqlite3.Connection) -> None:
    story = Story(db, "w", "a")
    run = story.start_run()
    story.work(run, "a")
    story.run_ended(run)
    replace_workflow(db, workflow("w", "a"), "/work", at(30))
    assert now(story) == {}
    run = story.start_run(target="a", revision=2)
    story.work(run, "a", "failed")
    assert now(story) == {"a": (2, "failed")}


# -- attempts --------------------------------------------------------------------------------------


def test_attempts_newest_first_in_pages(db: sqlite3.Connection) -> None:
    story = Story(db, "w", "a", "b")
    first, second = story.start_run(), story.start_run()
    for run, name in ((first, "a"), (first, "a"), (second, "a"), (second, "b")):
        story.intend(run, name)
    worker = story.workers["a"]
    assert [attempt.id for attempt in attempts_of_worker(db, worker, -1)] == ["2-a-1", "1-a-2", "1-a-1"]
    assert [attempt.id for attempt in attempts_of_worker(db, worker, 1, 1)] == ["1-a-2"]
    assert (count_attempts(db, worker), count_attempts(db, story.workers["b"])) == (3, 1)


def test_the_latest_attempt_of_each_worker_of_a_run(db: sqlite3.Connection) -> None:
    story = Story(db, "w", "a", "b", "c")
    first, second = story.start_run(), story.start_run()
    for run, worker in ((first, "a"), (first, "a"), (first, "b"), (second, "b")):
        story.intend(run, worker)
    story.worker_ended(first, "c", "cancelled", "by request")
    latest = latest_attempts_of_run(db, first)
    assert {attempt.id for attempt in latest.values()} == {"1-a-2", "1-b-1"}
    assert latest[story.workers["a"]] == get_attempt(db, "1-a-2")


def test_open_attempts_are_those_that_have_not_ended(db: sqlite3.Connection) -> None:
    story = Story(db, "w", "a", "b")
    run = story.start_run()
    story.work(run, "a")
    story.intend(run, "b")
    [attempt] = open_attempts(db)
    assert (attempt.id, attempt.run_id, attempt.run, attempt.number) == ("1-b-1", "run-1", 1, 1)
    assert get_attempt(db, "nobody's") is None


def test_a_launcher_has_one_row(db: sqlite3.Connection) -> None:
    rows = [launcher_row(db, *each) for each in (("b", "1"), ("b", "2"), ("c", "1"), ("b", "1"), ("c", "1"))]
    assert rows == [1, 2, 3, 1, 3]


def test_versions_are_given_for_the_paths_that_have_one(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO stdout_outputs VALUES ('/x', '1:1')")
    assert stdout_versions(db, ["/x", "/y"]) == {"/x": "1:1"}
    assert stdout_versions(db, []) == {}


# -- runs ------------------------------------------------------------------------------------------


def test_runs_newest_first_in_pages_with_filters(db: sqlite3.Connection) -> None:
    story = Story(db, "w", "a")
    for status in ("completed", "failed", "completed"):
        story.run_ended(story.start_run(), status)
    story.start_run(target="a")

    def listed(workflow: str | None = None, status: str | None = None, limit: int = -1, offset: int = 0) -> Any:
        rows, total = list_runs(db, workflow, status, limit, offset)
        return [row.number for row in rows], total

    assert listed() == listed("w") == ([4, 3, 2, 1], 4)
    assert listed(limit=2, offset=1) == ([3, 2], 4)
    assert listed(status="completed") == ([3, 1], 2)
    assert listed("w", "running") == ([4], 1)
    assert listed("another") == ([], 0)
    story.run_ended(4)
    delete_workflow(db, "w", at(99))
    assert listed() == ([], 0)
    assert get_run(db, "run-1") is not None
    assert get_run(db, "nobody's") is None


def test_sequence_numbers_go_on(db: sqlite3.Connection) -> None:
    assert last_run_seq(db) == 0
    story = Story(db)
    story.start_run()
    story.run_ended(story.start_run())
    assert last_run_seq(db) == 2
    assert [run.seq for run in open_runs(db)] == [1]


# -- the cost of a long history --------------------------------------------------------------------

READERS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "current_states": lambda db: current_states(db, 1, 2),
    "current_state": lambda db: current_state(db, 1, 1),
    "states_of_run": lambda db: states_of_run(db, 1),
    "open_runs": open_runs,
    "open_attempts": open_attempts,
    "get_run": lambda db: get_run(db, "run-1"),
    "get_attempt": lambda db: get_attempt(db, "1-a-1"),
    "attempts_of_worker": lambda db: attempts_of_worker(db, 1, 10),
    "count_attempts": lambda db: count_attempts(db, 1),
    "latest_attempts_of_run": lambda db: latest_attempts_of_run(db, 1),
    "last_run_seq": last_run_seq,
    "stdout_versions": lambda db: stdout_versions(db, ["/x"]),
    "get_workflow": lambda db: get_workflow(db, "w"),
    "the end of a run": lambda db: record(db, [RunEnded(2, 1, "completed", None, at(9))]),
    "the start of a run": lambda db: record(db, [RunStarted(3, "3", 1, 1, None, at(9))]),
}


@pytest.mark.parametrize("reader", READERS)
def test_nothing_reads_the_whole_history(db: sqlite3.Connection, reader: str) -> None:
    """Ten thousand finished attempts make no question slower: each goes by an index to what it asks for."""
    story = Story(db, "w", "a")
    story.work(story.start_run(), "a")
    story.start_run()
    statements: list[str] = []
    db.set_trace_callback(statements.append)
    READERS[reader](db)
    db.set_trace_callback(None)
    for statement in statements:
        plan = "; ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}"))
        is_of_open_ones = "INDEX runs_open" in plan or "INDEX attempts_open" in plan
        assert is_of_open_ones or ("SCAN" not in plan and "TEMP B-TREE" not in plan), f"{statement}: {plan}"


def test_a_state_is_one_row(db: sqlite3.Connection) -> None:
    story = Story(db, "w", "a")
    run = story.start_run()
    story.work(run, "a", "failed")
    worker = story.workers["a"]
    assert states_of_run(db, run) == {
        worker: WorkerState(run, worker, "failed", None, "failed", None, "1-a-1", 1, None, at(3), at(5))
    }
