"""Workflows as the engine runs them: the stored definition, parsed, with its graph and paths; the latest are kept."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scheduler.store.workflows import definition_of, get_workers
from schemas.graph import Graph, build_graph
from schemas.locations import resolve_dir, resolve_inputs, resolve_outputs
from schemas.workflow import Worker, Workflow
from workers.files import WorkerFiles

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

    from scheduler.store.database import Database
    from scheduler.store.workflows import StoredWorkflow

KEPT_WORKERS = 20_000


class _OutputsByWorker(dict[str, "Mapping[str, str]"]):
    """Output paths by worker name, resolved when they are first asked for: a start of one of 10,000 needs few."""

    def __init__(self, workflow: Workflow, working_dir: str) -> None:
        super().__init__()
        self._workers = {worker.name: worker for worker in workflow.workers}
        self._working_dir = working_dir

    def __missing__(self, name: str) -> Mapping[str, str]:
        worker = self._workers[name]
        paths = self[name] = resolve_outputs(worker, resolve_dir(worker, self._working_dir))
        return paths


@dataclass(slots=True)
class Definition:
    """A workflow ready to run. Indices into `workflow.workers`, `worker_ids` and `graph` are the same."""

    workflow_id: int
    revision: int
    working_dir: str
    workflow: Workflow
    graph: Graph
    worker_ids: Sequence[int]
    index_by_name: dict[str, int] = field(init=False)
    index_by_id: dict[int, int] = field(init=False)
    _outputs: _OutputsByWorker = field(init=False)

    def __post_init__(self) -> None:
        self.index_by_name = {worker.name: index for index, worker in enumerate(self.workflow.workers)}
        self.index_by_id = {worker_id: index for index, worker_id in enumerate(self.worker_ids)}
        self._outputs = _OutputsByWorker(self.workflow, self.working_dir)

    def worker(self, index: int) -> Worker:
        """The worker at an index."""
        return self.workflow.workers[index]

    def working_dir_of(self, index: int) -> str:
        """The absolute directory in which a worker works."""
        return resolve_dir(self.worker(index), self.working_dir)

    def inputs(self, index: int) -> dict[str, str]:
        """Absolute paths of a worker's inputs, by name."""
        return resolve_inputs(self.worker(index), self.working_dir_of(index), self._outputs)

    def files(self, index: int) -> WorkerFiles:
        """The files of a worker."""
        worker = self.worker(index)
        return WorkerFiles(
            working_dir=self.working_dir_of(index),
            inputs=self.inputs(index) if worker.inputs else {},
            outputs=self._outputs[worker.name] if worker.outputs else {},
        )


class Definitions:
    """Parsed definitions by workflow; the least recently used go when all together pass 20,000 workers."""

    def __init__(self, store: Database) -> None:
        self._store = store
        self._kept: OrderedDict[int, Definition] = OrderedDict()

    async def get(self, stored: StoredWorkflow) -> Definition:
        """The definition of a stored workflow at its present revision; raises what `build_graph` raises."""
        kept = self._kept.get(stored.id)
        if kept is not None and kept.revision == stored.revision:
            self._kept.move_to_end(stored.id)
            return kept
        definition = await self._store.read_many(lambda db: _read(db, stored))
        self._keep(definition)
        return definition

    async def learn(self, stored: StoredWorkflow, workflow: Workflow, graph: Graph) -> None:
        """Keep what was parsed and checked a moment ago, when it was created."""
        ids = await self._store.read_many(lambda db: [worker.id for worker in get_workers(db, stored.id)])
        self._keep(Definition(stored.id, stored.revision, stored.working_dir, workflow, graph, ids))

    def _keep(self, definition: Definition) -> None:
        self._kept[definition.workflow_id] = definition
        self._kept.move_to_end(definition.workflow_id)
        excess = sum(len(kept.worker_ids) for kept in self._kept.values()) - KEPT_WORKERS
        for oldest in list(self._all_but_newest()):
            if excess <= 0:
                return
            excess -= len(oldest.worker_ids)
            del self._kept[oldest.workflow_id]

    def _all_but_newest(self) -> Iterator[Definition]:
        *older, _ = self._kept.values()
        yield from older


def _read(db: sqlite3.Connection, stored: StoredWorkflow) -> Definition:
    rows = get_workers(db, stored.id)
    data = definition_of(stored, rows)
    # It was checked when it came in; what may no longer hold (a worker was deleted) is for build_graph to say.
    head = Workflow.model_validate({**data, "workers": [{"name": "none", "command": "true"}]})
    workers = [Worker.model_validate_json(row.definition) for row in rows]
    workflow = head.model_copy(update={"workers": workers})
    graph = build_graph(workflow, stored.working_dir)
    return Definition(stored.id, stored.revision, stored.working_dir, workflow, graph, [row.id for row in rows])
