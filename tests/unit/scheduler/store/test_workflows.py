"""Definitions: created, replaced and deleted as a whole, read back as they were given."""

import sqlite3
from typing import Any

import pytest

from scheduler.store.workflows import (
    definition_of,
    delete_worker,
    delete_workflow,
    get_worker,
    get_workers,
    get_workers_of_revision,
    get_workflow,
    get_workflow_by_id,
    insert_workflow,
    list_workflows,
    replace_workflow,
)
from schemas.errors import WorkerNotFound, WorkflowAlreadyExists, WorkflowAlreadyRunning, WorkflowNotFound
from schemas.workflow import parse_workflow
from tests.unit.scheduler.store.facts import (
    Story,
    at,
    create,
    events,
    snapshot,
    status_of,
    worker_ids,
    workflow,
)

GIVEN: dict[str, Any] = {
    "name": "资料",
    "working_dir": "/data",
    "workers": [
        {"name": "b", "command": "echo 'ü'", "args": ["x y", ""], "outputs": {"o": "o.txt"}},
        {"name": "a", "command": "true", "retry": 2, "inputs": {"i": "b/o"}, "working_dir": "sub", "env_vars": {}},
    ],
}


def names(db: sqlite3.Connection, **which: Any) -> list[str]:
    return [each.name for each in list_workflows(db, **{"status": None, **which})[0]]


# -- create and read -------------------------------------------------------------------------------


def test_a_workflow_is_read_back_as_it_was_given(db: sqlite3.Connection) -> None:
    event = insert_workflow(db, parse_workflow(GIVEN), "/data", at(1))
    assert (event.type, event.data) == ("workflow.created", {"workers": 2})
    stored = get_workflow(db, "资料")
    assert (stored.id, stored.working_dir, stored.revision, stored.status, stored.base_run, stored.created_at) == (
        *(event.workflow_id, "/data", 1, "created", 0, at(1)),
    )
    assert get_workflow_by_id(db, stored.id) == stored
    workers = get_workers(db, stored.id)
    assert [(worker.name, worker.working_dir) for worker in workers] == [("b", "/data"), ("a", "/data/sub")]
    again = definition_of(stored, workers)
    assert parse_workflow(again) == parse_workflow(GIVEN)
    assert again["workers"][0] == GIVEN["workers"][0]  # type: ignore[index]
    assert "fail_fast" not in again
    assert events(db) == ["workflow.created"]


def test_a_name_is_taken_once(db: sqlite3.Connection) -> None:
    create(db)
    before = snapshot(db, ("workflows", "workers", "events"))
    with pytest.raises(WorkflowAlreadyExists, match="'w'"):
        create(db)
    assert snapshot(db, ("workflows", "workers", "events")) == before


def test_what_does_not_exist_is_said_with_what_may_be_meant(db: sqlite3.Connection) -> None:
    create(db, "data-pipeline", "producer", "processor")
    with pytest.raises(WorkflowNotFound) as caught:
        get_workflow(db, "data-pipelin")
    assert caught.value.details == {"nearest": "data-pipeline"}
    with pytest.raises(WorkflowNotFound) as caught:
        get_workflow(db, "something else")
    assert caught.value.details is None
    stored = get_workflow(db, "data-pipeline")
    with pytest.raises(WorkerNotFound, match="Worker 'data-pipeline/procesor' does not exist") as missing:
        get_worker(db, stored, "procesor")
    assert missing.value.details == {"nearest": "processor"}
    assert get_worker(db, stored, "processor").name == "processor"


def test_pages_and_a_filter(db: sqlite3.Connection) -> None:
    for name in ("c", "a", "b"):
        create(db, name)
    db.execute("UPDATE workflows SET status = 'failed' WHERE name = 'a'")
    assert names(db) == ["c", "a", "b"]  # in the order of their creation
    assert names(db, limit=2, offset=1) == ["a", "b"]
    assert names(db, offset=9) == []
    assert list_workflows(db, None, 1, 0)[1] == 3
    assert (names(db, status="failed"), list_workflows(db, "failed")[1]) == (["a"], 1)
    stored = get_workflow(db, "a")
    assert [worker.name for worker in get_workers(db, stored.id, limit=1)] == ["a"]


# -- replace ---------------------------------------------------------------------------------------


def test_a_replaced_workflow_is_new_but_for_its_past(db: sqlite3.Connection) -> None:
    story = Story(db, "w", "a", "b")
    story.run_ended(story.start_run(), "failed")
    before = get_workflow(db, "w")
    event = replace_workflow(db, workflow("w", "b", "c", fail_fast=True), "/elsewhere", at(30))
    after = get_workflow(db, "w")
    assert (event.type, event.workflow_id, event.data) == ("workflow.replaced", before.id, {"workers": 2})
    assert (after.id, after.revision, after.working_dir, after.created_at) == (
        *(before.id, 2, "/elsewhere", before.created_at),
    )
    assert (after.status, after.started_at, after.completed_at) == ("created", None, None)
    assert after.base_run == 2  # the next run: what was before says nothing about the new workers
    assert [worker.name for worker in get_workers(db, after.id)] == ["b", "c"]
    assert worker_ids(db, after.id)["b"] != story.workers["b"]
    assert definition_of(after, [])["fail_fast"] is True
    assert db.execute("SELECT count(*) FROM runs").fetchone() == (1,)


def test_only_what_exists_is_replaced(db: sqlite3.Connection) -> None:
    with pytest.raises(WorkflowNotFound):
        replace_workflow(db, workflow("w"), "/work", at(1))
    assert events(db) == []


def test_the_workers_of_a_run_are_those_of_its_revision(db: sqlite3.Connection) -> None:
    story = Story(db, "w", "a", "b")  # at 0
    delete_worker(db, "w", "b", at(10))
    replace_workflow(db, workflow("w", "c"), "/work", at(20))

    def lived(revision: int) -> list[str]:
        return [worker.name for worker in get_workers_of_revision(db, story.workflow_id, revision)]

    assert [lived(revision) for revision in (1, 2, 3)] == [["a", "b"], ["a"], ["c"]]


# -- delete ----------------------------------------------------------------------------------------


def test_deleting_is_soft_and_frees_the_name(db: sqlite3.Connection) -> None:
    first = create(db)
    event = delete_workflow(db, "w", at(5))
    assert (event.type, event.workflow_id) == ("workflow.deleted", first)
    assert names(db) == []
    assert get_workers(db, first) == []
    with pytest.raises(WorkflowNotFound):
        delete_workflow(db, "w", at(6))
    second = create(db)
    assert second != first
    assert names(db) == ["w"]
    assert get_workflow_by_id(db, first).name == "w"
    assert db.execute("SELECT deleted_at FROM workflows ORDER BY id").fetchall() == [(at(5),), (None,)]
    assert events(db) == ["workflow.created", "workflow.deleted", "workflow.created"]


def test_a_name_can_be_freed_many_times(db: sqlite3.Connection) -> None:
    for _ in range(3):
        create(db)
        delete_workflow(db, "w", at(1))
    assert db.execute("SELECT count(*) FROM workflows WHERE name = 'w'").fetchone() == (3,)


def test_a_deleted_worker_is_gone_and_what_was_read_of_its_workflow_is_old(db: sqlite3.Connection) -> None:
    workflow_id = create(db, "w", "a", "b")
    event = delete_worker(db, "w", "a", at(5))
    assert (event.type, event.workflow_id) == ("worker.deleted", workflow_id)
    stored = get_workflow(db, "w")
    assert stored.revision == 2
    assert [worker.name for worker in get_workers(db, workflow_id)] == ["b"]
    with pytest.raises(WorkerNotFound):
        delete_worker(db, "w", "a", at(6))
    assert get_workflow(db, "w").revision == 2


@pytest.mark.parametrize("target", [None, "a"])
def test_nothing_changes_under_a_run(db: sqlite3.Connection, target: str | None) -> None:
    story = Story(db, "w", "a", "b")
    run = story.start_run(target)
    before = snapshot(db, ("workflows", "workers", "events"))
    with pytest.raises(WorkflowAlreadyRunning, match="'w'"):
        replace_workflow(db, workflow("w"), "/work", at(9))
    with pytest.raises(WorkflowAlreadyRunning):
        delete_workflow(db, "w", at(9))
    with pytest.raises(WorkflowAlreadyRunning):
        delete_worker(db, "w", "b", at(9))
    assert snapshot(db, ("workflows", "workers", "events")) == before
    story.run_ended(run)
    delete_workflow(db, "w", at(10))


def test_nothing_changes_under_the_last_of_two_runs(db: sqlite3.Connection) -> None:
    story = Story(db, "w", "a", "b")
    whole = story.start_run()
    single = story.start_run("a")
    story.run_ended(single)
    with pytest.raises(WorkflowAlreadyRunning):
        delete_workflow(db, "w", at(9))
    story.run_ended(whole, "cancelled")
    replace_workflow(db, workflow("w"), "/work", at(10))
    assert status_of(db) == "created"
