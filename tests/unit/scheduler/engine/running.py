"""What the tests of runners share: a run on record, and a day in which things happen to it, all recorded."""

from typing import Any

from scheduler.engine.definitions import Definition, Definitions
from scheduler.engine.effects import Effect
from scheduler.engine.policy import Outcome
from scheduler.engine.runner import Acts, Attempt, Runner
from scheduler.store.changes import AttemptStarted, RunStarted
from scheduler.store.database import Database
from scheduler.store.record import record
from scheduler.store.runs import StoredRun, get_run, launcher_row
from scheduler.store.ulid import new_ulid
from scheduler.store.workflows import get_workflow, insert_workflow
from schemas.envelope import utc_timestamp
from schemas.workflow import Workflow
from tests.unit.scheduler.store.facts import attempt_ended

BOOT, JOURNAL = "this boot", "this journal"
GRACE_SECONDS = 10.0


async def define(store: Database, workflow: Workflow, working_dir: str = "/flow") -> Definition:
    """Create a workflow and read its definition back."""
    await store.write(lambda db: insert_workflow(db, workflow, working_dir, utc_timestamp()))
    return await Definitions(store).get(store.read(lambda db: get_workflow(db, workflow.name)))


async def create_run(store: Database, definition: Definition, target: str | None = None, seq: int = 1) -> StoredRun:
    """Put a new run on record."""
    run_id = new_ulid()
    change = RunStarted(seq, run_id, definition.workflow_id, definition.revision, target, utc_timestamp())
    await store.write(lambda db: record(db, [change]))
    run = store.read(lambda db: get_run(db, run_id))
    assert run is not None
    return run


def make_runner(run: StoredRun, definition: Definition) -> Runner:
    return Runner(run, definition, "/state", GRACE_SECONDS)


class Day:
    """A run and what happens to it. Like the pump, it records what follows from each happening in one transaction."""

    def __init__(self, store: Database, runner: Runner) -> None:
        self.store, self.runner = store, runner
        self.events: list[str] = []

    @classmethod
    async def begin(
        cls, store: Database, workflow: Workflow, target: str | None = None, working_dir: str = "/flow"
    ) -> "Day":
        definition = await define(store, workflow, working_dir)
        day = cls(store, make_runner(await create_run(store, definition, target), definition))
        await day.let(day.runner.plan.start())
        return day

    def index(self, name: str) -> int:
        return self.runner.definition.index_by_name[name]

    async def let(self, effects: list[Effect], acts: Acts | None = None) -> Acts:
        """Apply what follows and record it."""
        acts = acts or Acts()
        self.runner.apply(effects, acts)
        await self.keep(acts)
        return acts

    async def keep(self, acts: Acts) -> None:
        self.events += [event.type for event in await self.store.write(lambda db: record(db, acts.changes))]

    async def launch(self) -> Attempt | None:
        """Intend the next attempt, if there is one."""
        worker = self.runner.next_launchable()
        if worker is None:
            return None
        launcher = await self.store.write(lambda db: launcher_row(db, BOOT, JOURNAL))
        attempt, intent = self.runner.intend(worker, None, launcher, BOOT, JOURNAL)
        await self.keep(Acts(changes=[intent]))
        return attempt

    async def see_started(self, name: str, pid: int = 77) -> Acts:
        attempt = self.runner.attempts[self.index(name)]
        attempt.pid, attempt.started_at = pid, 1_800_000_000_000
        at = utc_timestamp(attempt.started_at / 1000)
        worker_id = self.runner.worker_id(attempt.worker)
        run = self.runner.run
        change = AttemptStarted(attempt.id, run.seq, run.workflow_id, worker_id, pid, 5, at)
        return await self.let(self.runner.plan.on_started(attempt.worker), Acts(changes=[change]))

    async def see_exit(self, name: str, outcome: Outcome, **fields: Any) -> Acts:
        attempt = self.runner.attempts.pop(self.index(name))
        ended = attempt_ended(
            attempt.id, "completed" if outcome.ok else "failed", reason=outcome.reason, at=utc_timestamp(), **fields
        )
        effects = self.runner.plan.on_exited(attempt.worker, outcome)
        return await self.let(effects, Acts(changes=[ended]))
