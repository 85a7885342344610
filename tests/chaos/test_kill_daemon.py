"""The basic proof: a daemon killed -9 in the middle of its work starts nothing twice, loses nothing, tells the truth.

`WATTLE_KILL_ROUNDS` says how often (default 3), `WATTLE_KILL_SEED` which kill moments; the seed is printed.
"""

import asyncio
import os
import random
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.dags import Dag, is_lost, read_effects, violations
from tests.helpers.daemon import Daemon
from tests.helpers.processes import processes_of
from tests.helpers.waiting import wait_until

ROUNDS = int(os.environ.get("WATTLE_KILL_ROUNDS", "3"))
SEED = int(os.environ.get("WATTLE_KILL_SEED") or random.SystemRandom().randrange(1 << 32))
WORKERS = 60
KILLS = 6
SLOTS = 4


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path, max_concurrent_workers=SLOTS)
    yield made
    made.end()


class Watch:
    """One run from outside: what the API has said may not be taken back."""

    def __init__(self, daemon: Daemon, dag: Dag, run_id: str, effects: Path) -> None:
        self.daemon, self.dag, self.run_id, self.effects = daemon, dag, run_id, effects
        self._final: dict[str, tuple[Any, ...]] = {}

    def look(self) -> dict[str, dict[str, Any]]:
        """The run's workers; raises AssertionError when an end that was told before is told differently now."""
        told = self.daemon.workers_of(self.run_id)
        for name, worker in told.items():
            end = (worker["status"], worker["exit_code"], worker["signal"], worker["completed_at"])
            assert self._final.get(name, end) == end, f"{name} was {self._final[name]} and is {end} now"
            if worker["completed_at"]:
                self._final[name] = end
        return told

    async def is_true_again(self) -> None:
        """After a restart: who had ended before it is known to have ended, with the right end."""
        ended = {line.worker for line in read_effects(self.effects) if line.kind == "end" and line.run == self.run_id}
        await wait_until(
            lambda: all(self.look()[name]["completed_at"] for name in ended), on_timeout="all ends are known"
        )

    async def finished(self) -> list[str]:
        """What is wrong once the run has ended."""
        run = await asyncio.to_thread(self.daemon.wait_for_run, "dag")
        told = self.look()
        found = list(violations(self.dag, self.run_id, told, read_effects(self.effects)))
        expected = "failed" if any(worker["status"] == "failed" for worker in told.values()) else "completed"
        if run["status"] != expected:
            found.append(f"the run is {run['status']}, it should be {expected}")
        return found


def created(daemon: Daemon, dag: Dag, name: str = "dag") -> Path:
    """Creates the workflow; returns the path of the file that its workers append to."""
    effects = daemon.directory / f"{name}.effects"
    daemon.create(name, dag.workers(effects))
    return effects


def integrity(daemon: Daemon) -> str:
    with sqlite3.connect(daemon.state_dir / "wattle.db") as db:
        return str(db.execute("PRAGMA integrity_check").fetchone()[0])


async def kill_and_restart(daemon: Daemon, rng: random.Random) -> None:
    """kill -9 at a moment of its own choice, and sometimes again before the daemon has got up."""
    # the one thing in these tests that is not waited for but chosen
    await asyncio.sleep(rng.uniform(0.02, 0.3))
    daemon.kill()
    while rng.random() < 0.3:
        daemon.begin()
        await asyncio.sleep(rng.uniform(0.0, 0.5))
        daemon.kill()
    daemon.start()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", range(ROUNDS))
async def test_killed_anywhere_every_worker_runs_exactly_once(daemon: Daemon, number: int) -> None:
    rng = seeded(number)
    dag = Dag.random(rng, WORKERS)
    daemon.start()
    effects = created(daemon, dag)
    watch = Watch(daemon, dag, daemon.start_run("dag"), effects)
    for _ in range(KILLS):
        await kill_and_restart(daemon, rng)
        await watch.is_true_again()
    assert await watch.finished() == []
    assert {worker["attempts"] for worker in watch.look().values()} <= {0, 1}
    assert not [name for name, worker in watch.look().items() if is_lost(worker)]
    await wait_until(lambda: len(processes_of(daemon.directory)) == 2, on_timeout="only daemon and launcher are left")
    daemon.end()
    assert integrity(daemon) == "ok"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", range(max(1, ROUNDS // 3)))
async def test_the_launcher_killed_as_well(daemon: Daemon, number: int) -> None:
    """Then there are ends that nobody saw. They are called lost, only they are, and still nothing runs twice."""
    rng = seeded(number)
    dag = Dag.random(rng, WORKERS)
    daemon.start()
    effects = created(daemon, dag)
    watch = Watch(daemon, dag, daemon.start_run("dag"), effects)
    for _ in range(KILLS // 2):
        launcher = daemon.get("/api/health")["launcher"]["pid"]
        await asyncio.sleep(rng.uniform(0.02, 0.3))
        os.kill(launcher, signal.SIGKILL)
        await kill_and_restart(daemon, rng)
    assert await watch.finished() == []
    lost = [name for name, worker in watch.look().items() if is_lost(worker)]
    assert len(lost) <= SLOTS * KILLS // 2, lost
    await wait_until(lambda: len(processes_of(daemon.directory)) == 2, on_timeout="only daemon and launcher are left")
    daemon.end()
    assert integrity(daemon) == "ok"


def seeded(number: int) -> random.Random:
    """The random moments of one round, and how to have them again."""
    print(f"WATTLE_KILL_SEED={SEED + number} WATTLE_KILL_ROUNDS=1")
    return random.Random(SEED + number)
