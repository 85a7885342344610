"""One timed run of a graph on the daemon: from the request to its recorded end, checked to the last worker."""

import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench.asking import Connection
from tests.bench.dags import Dag, as_workflow
from tests.bench.place import Bench
from tests.bench.report import VoidError
from tests.bench.rivals import check_outputs
from tests.helpers.daemon import Daemon, path_of

POLL_SECONDS = 0.02
RUN_SECONDS = 600.0
QUIET_SECONDS = 0.3
QUIET_TICKS = 1
SETTLE_SECONDS = 60.0
CLOCK_TOLERANCE_SECONDS = 0.002
_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds that the two processes have used since they began."""

    daemon: float
    launcher: float

    def since(self, earlier: "Cpu") -> "Cpu":
        """What was used in between."""
        return Cpu(self.daemon - earlier.daemon, self.launcher - earlier.launcher)


@dataclass(frozen=True, slots=True)
class TimedRun:
    """Wall time until the end was seen over the API, CPU until then and until all was quiet, how long polls took."""

    wall_seconds: float
    cpu: Cpu
    cpu_until_quiet: Cpu
    poll_seconds: list[float]


def launcher_pid(daemon: Daemon) -> int:
    """The process that holds the workers."""
    return int(daemon.get("/api/health")["launcher"]["pid"])


def cpu_of(daemon: Daemon, launcher: int) -> Cpu:
    """As of now, in steps of a clock tick (10 ms)."""
    return Cpu(_cpu_seconds(daemon.pid), _cpu_seconds(launcher))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_SECONDS


def settle(daemon: Daemon, launcher: int) -> None:
    """Wait until the daemon is idle: what it puts off until after a run must not slow down who is timed next."""
    deadline = time.monotonic() + SETTLE_SECONDS
    before = cpu_of(daemon, launcher)
    while time.monotonic() < deadline:
        time.sleep(QUIET_SECONDS)
        now = cpu_of(daemon, launcher)
        used = now.since(before)
        if used.daemon + used.launcher < (QUIET_TICKS + 0.5) * _TICK_SECONDS:
            return
        before = now
    raise VoidError(f"the daemon is still busy {SETTLE_SECONDS:g} s after a run")


def time_run(bench: Bench, daemon: Daemon, dag: Dag, *, poll_seconds: float = POLL_SECONDS) -> TimedRun:
    """Create the workflow untimed, then time one run of it. Raises VoidError unless it did exactly what it should."""
    name, place, launcher = bench.unique("run"), bench.directory("work"), launcher_pid(daemon)
    daemon.post("/api/workflows", as_workflow(dag, name, place))
    settle(daemon, launcher)
    before = cpu_of(daemon, launcher)
    asked_at, begin = time.time(), time.perf_counter()
    with Connection(daemon.port) as connection:
        run_id = connection.ask("POST", path_of("workflows", name, "start")).envelope["run"]
        polls = _poll_until_ended(connection, name, poll_seconds)
    wall, seen_at = time.perf_counter() - begin, time.time()
    cpu = cpu_of(daemon, launcher).since(before)
    check_run(daemon, dag, run_id, (asked_at, seen_at))
    check_outputs(dag, place, "Wattle")
    settle(daemon, launcher)
    return TimedRun(wall, cpu, cpu_of(daemon, launcher).since(before), polls)


def _poll_until_ended(connection: Connection, name: str, pause_seconds: float) -> list[float]:
    """Ask for the workflow until it has ended; returns how long each answer took."""
    taken: list[float] = []
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        time.sleep(pause_seconds)
        answer = connection.ask("GET", path_of("workflows", name))
        taken.append(answer.seconds)
        if answer.data["completed_at"]:
            return taken
    raise VoidError(f"'{name}' did not end within {RUN_SECONDS:g} s")


def check_run(daemon: Daemon, dag: Dag, run_id: str, between: tuple[float, float]) -> None:
    """Raises VoidError unless every worker ran once, in order, with exit code 0, on record and with its two logs."""
    run = daemon.get(f"/api/runs/{run_id}")
    if run["status"] != "completed" or run["workers"]["completed"] != len(dag):
        raise VoidError(f"the run ended {run['status']}: {run['reason']}; {run['workers']}")
    ended_at = datetime.fromisoformat(run["completed_at"]).timestamp()
    if not between[0] - CLOCK_TOLERANCE_SECONDS <= ended_at <= between[1] + CLOCK_TOLERANCE_SECONDS:
        raise VoidError(f"the run's recorded end {ended_at} lies outside of {between}")
    _check_workers(dag, {worker["name"]: worker for worker in daemon.get(f"/api/runs/{run_id}/workers")})
    _check_logs(daemon.state_dir / "runs" / run_id, len(dag))


def _check_workers(dag: Dag, workers: dict[str, dict[str, Any]]) -> None:
    for node in dag.nodes:
        worker = workers.get(node.name, {})
        if (worker.get("status"), worker.get("exit_code"), worker.get("attempts")) != ("completed", 0, 1):
            raise VoidError(f"'{node.name}' did not run once with exit code 0: {worker}")
        for above in node.reads:
            if worker["started_at"] < workers[above]["completed_at"]:
                raise VoidError(f"'{node.name}' started before '{above}', whose file it reads, had ended")


def _check_logs(directory: Path, count: int) -> None:
    endings = [os.path.splitext(name)[1] for name in os.listdir(directory)]
    found = endings.count(".out"), endings.count(".err")
    if found != (count, count):
        raise VoidError(f"{found[0]} stdout and {found[1]} stderr logs are there for {count} workers")
