"""Definitions as the engine runs them: paths made absolute, parsed once, forgotten when they are old or many."""

from pathlib import Path

import pytest

from scheduler.engine import definitions as room
from scheduler.engine.definitions import Definition, Definitions
from scheduler.store.database import Database
from scheduler.store.workflows import delete_worker, get_workflow, insert_workflow, replace_workflow
from schemas.errors import DependencyValidationFailed
from schemas.graph import build_graph
from schemas.workflow import Workflow, parse_workflow
from tests.unit.scheduler.engine.running import define
from tests.unit.scheduler.store.facts import at, workflow

PIPELINE = {
    "name": "w",
    "workers": [
        {
            "name": "a",
            "command": "make",
            "working_dir": "sub/./x/..",
            "outputs": {"raw": "out/raw.json", "abs": "/x/y"},
        },
        {
            "name": "b",
            "command": "use",
            "retry": 1,
            "timeout_seconds": 5,
            "inputs": {"r": "a/raw", "own": "./here.txt", "up": "../there.txt"},
        },
        {"name": "c", "command": "idle", "working_dir": "/elsewhere", "after": ["b"]},
    ],
}


async def read(store: Database, definitions: Definitions, name: str) -> Definition:
    return await definitions.get(store.read(lambda db: get_workflow(db, name)))


async def create(store: Database, definition: Workflow) -> None:
    await store.write(lambda db: insert_workflow(db, definition, "/flow", at(0)))


async def test_a_definition_read_from_the_store_is_the_one_that_was_given(store: Database) -> None:
    given = parse_workflow(PIPELINE)
    definition = await define(store, given)
    assert definition.workflow == given
    assert definition.graph == build_graph(given, "/flow")
    assert definition.index_by_name == {"a": 0, "b": 1, "c": 2}
    assert definition.index_by_id == {worker_id: index for index, worker_id in enumerate(definition.worker_ids)}
    assert (definition.revision, definition.working_dir) == (1, "/flow")


async def test_every_path_is_absolute(store: Database) -> None:
    definition = await define(store, parse_workflow(PIPELINE))
    assert [definition.working_dir_of(index) for index in range(3)] == ["/flow/sub", "/flow", "/elsewhere"]
    a, b, c = (definition.files(index) for index in range(3))
    assert (a.working_dir, a.outputs, a.inputs) == (
        *("/flow/sub", {"raw": "/flow/sub/out/raw.json", "abs": "/x/y"}, {}),
    )
    assert b.inputs == {"r": "/flow/sub/out/raw.json", "own": "/flow/here.txt", "up": "/there.txt"}
    assert (b.outputs, b.only_output) == ({}, None)
    assert (c.inputs, c.outputs) == ({}, {})


async def test_what_was_read_is_kept_until_it_changes(store: Database) -> None:
    definitions = Definitions(store)
    await create(store, workflow("w", "a"))
    first = await read(store, definitions, "w")
    assert await read(store, definitions, "w") is first
    await store.write(lambda db: replace_workflow(db, workflow("w", "b"), "/new", at(1)))
    second = await read(store, definitions, "w")
    assert (second.revision, second.index_by_name, second.working_dir) == (2, {"b": 0}, "/new")
    assert list(first.index_by_name) == ["a"]


async def test_a_dependency_on_a_worker_that_was_deleted_is_named(store: Database) -> None:
    definitions = Definitions(store)
    await create(store, parse_workflow(PIPELINE))
    await read(store, definitions, "w")
    await store.write(lambda db: delete_worker(db, "w", "a", at(1)))
    with pytest.raises(DependencyValidationFailed, match="a/raw"):
        await read(store, definitions, "w")


async def test_what_was_parsed_a_moment_ago_is_not_parsed_again(store: Database) -> None:
    definitions, given = Definitions(store), parse_workflow(PIPELINE)
    await create(store, given)
    stored = store.read(lambda db: get_workflow(db, "w"))
    await definitions.learn(stored, given, build_graph(given, "/flow"))
    learnt = await definitions.get(stored)
    assert learnt.workflow is given
    assert learnt == await Definitions(store).get(stored)


async def test_the_least_recently_used_go_when_they_are_many(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "KEPT_WORKERS", 5)
    definitions = Definitions(store)
    for name in ("one", "two", "three"):
        await create(store, workflow(name, "a", "b"))
    one, two = [await read(store, definitions, name) for name in ("one", "two")]
    assert await read(store, definitions, "one") is one
    await read(store, definitions, "three")
    assert await read(store, definitions, "one") is one
    assert await read(store, definitions, "two") is not two


async def test_one_that_is_larger_than_all_may_be_is_kept_alone(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "KEPT_WORKERS", 1)
    definitions = Definitions(store)
    await create(store, workflow("large", "a", "b", "c"))
    large = await read(store, definitions, "large")
    assert await read(store, definitions, "large") is large


async def test_ten_thousand_workers_resolve_only_what_is_asked_for(store: Database, tmp_path: Path) -> None:
    size = 10_000
    workers = [{"name": f"w{n}", "command": "true", "outputs": {"o": f"{n}.txt"}} for n in range(size)]
    workers.append({"name": "last", "command": "true", "inputs": {"i": f"w{size - 1}/o"}})
    definition = await define(store, parse_workflow({"name": "w", "workers": workers}))
    assert definition.inputs(size) == {"i": f"/flow/{size - 1}.txt"}
    assert len(definition._outputs) == 1
