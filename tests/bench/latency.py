"""How long one waits for an answer: a start until its first process, a creation, a read while workers churn, a list."""

import os
import select
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import dags
from tests.bench.asking import Connection
from tests.bench.place import Bench
from tests.bench.report import Row, VoidError, against_bar, amount, percentile, spread
from tests.bench.runs import CLOCK_TOLERANCE_SECONDS, launcher_pid, settle, time_run
from tests.helpers.daemon import Daemon, path_of

FIRST_PROCESS_SECONDS = 60.0
START_BAR_MS = 10.0
START_LARGE_BAR_MS = 150.0
CREATE_BAR_SECONDS = 1.5
READ_BAR_MS = 10.0
LIST_BAR_MS = 6.0
CHURN_POLL_SECONDS = 0.003


def measure_start(bench: Bench) -> list[Row]:
    """A small new workflow each time, on an idle daemon."""
    taken = []
    with bench.daemon() as daemon:
        for _ in range(bench.pick(30, 3)):
            place = bench.directory("work")
            name = _create(bench, daemon, place, [{"name": f"after{n}", "command": "true"} for n in range(3)])
            taken.append(start_to_process_ms(daemon, name, place))
            if daemon.wait_for_run(name)["status"] != "completed":
                raise VoidError(f"'{name}' did not complete")
    title = f"start request to first process, p50 of {len(taken)}"
    return [_start_row(title, taken, START_BAR_MS)]


def measure_large(bench: Bench) -> list[Row]:
    """10,000 workers: how long it takes to create them, and to start when all of them are ready at once."""
    count = bench.pick(10_000, 200)
    layers = count // 100 if count >= 10_000 else 10
    dag = dags.layered(layers, count // layers, "one")
    created, taken = [], []
    with bench.daemon() as daemon:
        for _ in range(bench.pick(5, 2)):
            created.append(_create_seconds(bench, daemon, dag))
            settle(daemon, launcher_pid(daemon))
            taken.append(_start_and_stop(bench, daemon, count))
            bench.say(f"created in {created[-1]:.3f} s, first process after {taken[-1][0]:.1f} ms")
    title = f"creating {count:,} workers joined by files"
    note = f"{len(created)} rounds, {spread(created, 's')}"
    samples = {"seconds": created}
    return [
        against_bar(title, median(created), CREATE_BAR_SECONDS, "s", note=note, samples=samples),
        _start_row(
            f"start to first process among {count:,} ready workers, p50 of {len(taken)}", taken, START_LARGE_BAR_MS
        ),
    ]


def measure_read(bench: Bench) -> list[Row]:
    """GET of the workflow whose workers churn, all rounds together."""
    dag = dags.wide(bench.pick(2000, 60))
    with bench.daemon() as daemon:
        runs = [time_run(bench, daemon, dag, poll_seconds=CHURN_POLL_SECONDS) for _ in range(bench.pick(3, 1))]
    taken = [seconds * 1000 for run in runs for seconds in run.poll_seconds]
    title = f"GET a workflow while {len(dag):,} workers churn, p99 of {len(taken)}"
    note = f"p50 {amount(median(taken), 'ms')}, {spread(taken, 'ms')}"
    return [against_bar(title, percentile(taken, 99), READ_BAR_MS, "ms", note=note, samples={"ms": taken})]


def measure_list(bench: Bench) -> list[Row]:
    """GET of all workflows at once."""
    count = bench.pick(1000, 30)
    workers = [{"name": "one", "command": "true"}, {"name": "two", "command": "true", "after": ["one"]}]
    with bench.daemon() as daemon, Connection(daemon.port) as connection:
        for number in range(count):
            connection.ask("POST", "/api/workflows", {"name": f"workflow{number}", "workers": workers})
        answers = [connection.ask("GET", "/api/workflows") for _ in range(bench.pick(100, 5))]
    if any(len(answer.data) != count for answer in answers):
        raise VoidError(f"a list does not hold the {count} workflows")
    taken = [answer.seconds * 1000 for answer in answers]
    note = f"p99 {amount(percentile(taken, 99), 'ms')}, {answers[-1].size_bytes:,} bytes"
    title = f"{count:,} workflows listed, p50 of {len(taken)}"
    return [against_bar(title, median(taken), LIST_BAR_MS, "ms", note=note, samples={"ms": taken})]


# -- a start until its first process --------------------------------------------------------------


def _create(bench: Bench, daemon: Daemon, place: Path, others: list[dict[str, Any]], *, wait: bool = True) -> str:
    """A workflow whose first worker opens the FIFO `first` and ends; the others wait for it, or are ready too."""
    os.mkfifo(place / "first")
    name = bench.unique("start")
    after = {"after": ["first"]} if wait else {}
    workers = [{"name": "first", "command": "touch first"}, *({**worker, **after} for worker in others)]
    daemon.post("/api/workflows", {"name": name, "working_dir": str(place), "workers": workers})
    settle(daemon, launcher_pid(daemon))
    return name


def start_to_process_ms(daemon: Daemon, name: str, place: Path) -> tuple[float, float]:
    """(until the first worker was seen at work, until its recorded start), both from before the request was sent.

    Seen means that it let go of a FIFO that it had opened: its exec and its libraries are in the number, a poll's
    pause is not. Raises VoidError when the record contradicts what was seen.
    """
    first = os.open(place / "first", os.O_RDONLY | os.O_NONBLOCK)
    try:
        waiting = select.poll()
        waiting.register(first, select.POLLIN)
        with Connection(daemon.port) as connection:
            asked_at, begin = time.time(), time.perf_counter()
            connection.send("POST", path_of("workflows", name, "start"))
            seen = bool(waiting.poll(FIRST_PROCESS_SECONDS * 1000))
            seconds = time.perf_counter() - begin
            connection.answer()
    finally:
        os.close(first)
    if not seen:
        raise VoidError(f"no process within {FIRST_PROCESS_SECONDS:g} s of the start of '{name}'")
    recorded = _recorded_start(daemon, name) - asked_at
    if not -CLOCK_TOLERANCE_SECONDS <= recorded <= seconds + CLOCK_TOLERANCE_SECONDS:
        raise VoidError(f"the first process was seen after {seconds} s, its recorded start is {recorded} s")
    return seconds * 1000, recorded * 1000


def _recorded_start(daemon: Daemon, name: str) -> float:
    """Seconds since 1970, cut to milliseconds; the start is on record a moment after it has happened."""
    deadline = time.monotonic() + FIRST_PROCESS_SECONDS
    while time.monotonic() < deadline:
        attempts = daemon.get(path_of("workers", name, "first", "attempts"))
        if attempts and attempts[0]["started_at"]:
            return datetime.fromisoformat(attempts[0]["started_at"]).timestamp()
        time.sleep(0.005)
    raise VoidError(f"the start of '{name}' was never recorded")


def _start_row(title: str, taken: list[tuple[float, float]], bar_ms: float) -> Row:
    seen, recorded = [each[0] for each in taken], [each[1] for each in taken]
    note = f"by the recorded start {amount(median(recorded), 'ms')}; {spread(seen, 'ms')}"
    samples = {"seen_ms": seen, "recorded_ms": recorded}
    return against_bar(title, median(seen), bar_ms, "ms", note=note, samples=samples)


# -- 10,000 workers -------------------------------------------------------------------------------


def _create_seconds(bench: Bench, daemon: Daemon, dag: dags.Dag) -> float:
    name = bench.unique("large")
    document = dags.as_workflow(dag, name, bench.directory("work"))
    settle(daemon, launcher_pid(daemon))
    with Connection(daemon.port) as connection:
        seconds = connection.ask("POST", "/api/workflows", document).seconds
        stored = connection.ask("GET", path_of("workers", name)).data
    if [worker["name"] for worker in stored] != [node.name for node in dag.nodes]:
        raise VoidError(f"{len(stored)} of {len(dag)} workers are stored, or in another order")
    return seconds


def _start_and_stop(bench: Bench, daemon: Daemon, count: int) -> tuple[float, float]:
    """Start a workflow in which all workers are ready at once, and stop it as soon as its first one ran."""
    place = bench.directory("work")
    others = [{"name": f"w{number}", "command": "sleep 60"} for number in range(count - 1)]
    name = _create(bench, daemon, place, others, wait=False)
    taken = start_to_process_ms(daemon, name, place)
    daemon.post(path_of("workflows", name, "stop"))
    run = daemon.get(f"/api/runs/{daemon.latest_run(name)['id']}")
    ended = {status: number for status, number in run["workers"].items() if number}
    if run["status"] != "cancelled" or set(ended) - {"completed", "cancelled"} or sum(ended.values()) != count:
        raise VoidError(f"stopped in the middle it ended {run['status']}: {ended}")
    return taken
