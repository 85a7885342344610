"""What the daemon costs by being there: how soon it is ready, how much memory it takes, what a history adds."""

import socket
import time
from pathlib import Path
from statistics import median

from tests.bench import dags
from tests.bench.place import AT_ONCE, Bench
from tests.bench.report import Row, VoidError, against_bar, amount, spread
from tests.bench.runs import check_run, launcher_pid, settle
from tests.helpers.daemon import READY_SECONDS, Daemon

READY_BAR_SECONDS = 0.6
IDLE_BAR_MB = 60.0
GROWTH_BAR_MB = 20.0
POLL_SECONDS = 0.002
HEALTH = b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n"


def measure_ready(bench: Bench) -> list[Row]:
    """From the process's start, in a new state directory, to the first answer that it is well."""
    taken = []
    for _ in range(bench.pick(7, 2)):
        daemon = Daemon(bench.directory("daemon"), max_concurrent_workers=AT_ONCE)
        try:
            taken.append(_ready_seconds(daemon))
        finally:
            daemon.end()
    note = f"{len(taken)} starts, each in a new state directory, {spread(taken, 's')}"
    samples = {"seconds": taken}
    return [
        against_bar(
            "wattle serve, cold start to ready", median(taken), READY_BAR_SECONDS, "s", note=note, samples=samples
        )
    ]


def measure_idle(bench: Bench) -> list[Row]:
    """Memory of a daemon that nobody has asked for anything."""
    daemons, launchers, rest_seconds = [], [], bench.pick(5.0, 1.0)
    for _ in range(bench.pick(3, 1)):
        with bench.daemon() as daemon:
            time.sleep(rest_seconds)
            daemons.append(memory_mb(daemon.pid))
            launchers.append(memory_mb(launcher_pid(daemon)))
    return [
        against_bar("idle memory (RSS), daemon", median(daemons), IDLE_BAR_MB, "MB", samples={"mb": daemons}),
        Row("idle memory (RSS), launcher", amount(median(launchers), "MB"), samples={"mb": launchers}),
    ]


def measure_history(bench: Bench) -> list[Row]:
    """Memory that 10,000 attempts leave behind: five runs of one workflow. What creating it takes is in it."""
    dag, runs = dags.wide(bench.pick(2000, 50)), bench.pick(5, 2)
    with bench.daemon() as daemon:
        launcher = launcher_pid(daemon)
        settle(daemon, launcher)
        begin = [memory_mb(daemon.pid), memory_mb(launcher)]
        daemon.post("/api/workflows", dags.as_workflow(dag, "history", bench.directory("work")))
        after = []
        for _ in range(runs):
            _run_again(daemon, dag)
            settle(daemon, launcher)
            after.append(memory_mb(daemon.pid))
        growth, of_launcher = after[-1] - begin[0], memory_mb(launcher) - begin[1]
    title = f"memory (RSS) that {len(dag) * runs:,} finished attempts add, daemon"
    each = ", ".join(f"{value:.1f}" for value in after)
    note = f"{begin[0]:.1f} MB before, after each run {each}"
    return [
        against_bar(title, growth, GROWTH_BAR_MB, "MB", note=note, samples={"mb": [begin[0], *after]}),
        Row(title.replace("daemon", "launcher"), amount(of_launcher, "MB")),
    ]


def memory_mb(pid: int) -> float:
    """Resident memory of a process in millions of bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise VoidError(f"process {pid} is gone")


def _run_again(daemon: Daemon, dag: dags.Dag) -> None:
    asked_at = time.time()
    run_id = daemon.start_run("history")
    daemon.wait_for_run("history", timeout_seconds=300.0)
    check_run(daemon, dag, run_id, (asked_at, time.time()))


def _ready_seconds(daemon: Daemon) -> float:
    """Asked on a plain socket every 2 ms, so that the asking costs next to nothing."""
    daemon.port = _free_port()
    begin = time.perf_counter()
    daemon.begin()
    while not _is_well(daemon.port):
        if time.perf_counter() - begin > READY_SECONDS or not daemon.is_running:
            raise VoidError(f"the daemon did not get ready:\n{daemon.log()}")
        time.sleep(POLL_SECONDS)
    seconds = time.perf_counter() - begin
    daemon.wait_until_ready()
    return seconds


def _is_well(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=READY_SECONDS) as connection:
            connection.sendall(HEALTH % port)
            return connection.recv(4096).startswith(b"HTTP/1.1 200")
    except ConnectionError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
