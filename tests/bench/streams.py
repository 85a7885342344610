"""How long a log line takes to whoever follows it: one follower, and two hundred of them on the same log."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench import line_writer
from tests.bench.place import Bench
from tests.bench.report import Row, VoidError, against_bar, amount
from tests.bench.runs import Cpu, cpu_of, launcher_pid
from tests.helpers.daemon import Daemon, path_of

READY_SECONDS = 60.0
REST_SECONDS = 120.0
LINE_P50_BAR_MS = 5.0
LINE_P99_BAR_MS = 25.0
CROWD_P99_BAR_MS = 20.0
ROOT = Path(__file__).resolve().parents[2]


def measure_line(bench: Bench) -> list[Row]:
    """One follower of a calm log."""
    rate, lines = 100, bench.pick(1000, 100)
    seen, note = _follow(bench, 1, rate, lines)
    title = f"log line to SSE client, {rate} lines/s"
    return [
        against_bar(f"{title}, p50 of {lines:,}", seen["p50_ms"], LINE_P50_BAR_MS, "ms", note=note),
        against_bar(f"{title}, p99", seen["p99_ms"], LINE_P99_BAR_MS, "ms"),
    ]


def measure_crowd(bench: Bench) -> list[Row]:
    """As many followers of one busy log as the default settings allow."""
    clients, rate, lines = bench.pick(200, 20), 500, bench.pick(5000, 500)
    seen, note = _follow(bench, clients, rate, lines)
    title = f"log line to {clients} SSE clients, {rate} lines/s, p99"
    note = f"{seen['deliveries']:,} deliveries, none missing; {note}"
    return [against_bar(title, seen["p99_ms"], CROWD_P99_BAR_MS, "ms", note=note)]


def _follow(bench: Bench, clients: int, rate: int, lines: int) -> tuple[dict[str, Any], str]:
    """What the clients saw of one writer, and a note; raises VoidError when one missed a line or the end."""
    place = bench.directory("work")
    os.mkfifo(place / "gate")
    with bench.daemon() as daemon:
        launcher = launcher_pid(daemon)
        name = _start_writer(bench, daemon, place, rate, lines)
        path = path_of("workers", name, "writer", "logs", "stream") + "?tail=all"
        followers = _start_clients(daemon.port, path, clients, lines)
        try:
            _await_ready(followers)
            before, begin = cpu_of(daemon, launcher), time.perf_counter()
            _open_gate(place / "gate")
            said, _ = followers.communicate(timeout=lines / rate + REST_SECONDS)
            used, seconds = cpu_of(daemon, launcher).since(before), time.perf_counter() - begin
        finally:
            followers.kill()
            followers.wait()
    seen = json.loads(said.splitlines()[-1]) if followers.returncode == 0 else {"problems": ["they ended early"]}
    if seen["problems"]:
        raise VoidError(f"{len(seen['problems'])} of {clients} clients: {seen['problems'][0]}")
    return seen, _note(seen, used, seconds)


def _start_writer(bench: Bench, daemon: Daemon, place: Path, rate: int, lines: int) -> str:
    name = bench.unique("writer")
    args = ["-I", "-S", line_writer.__file__, str(rate), str(lines), "gate"]
    writer = {"name": "writer", "command": sys.executable, "args": args}
    daemon.post("/api/workflows", {"name": name, "working_dir": str(place), "workers": [writer]})
    daemon.post(path_of("workflows", name, "start"))
    return name


def _start_clients(port: int, path: str, clients: int, lines: int) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-m", "tests.bench.stream_clients", str(port), path, str(clients), str(lines)]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _await_ready(followers: "subprocess.Popen[str]") -> None:
    """They say so once each of them has seen the writer's first line, or end."""
    assert followers.stdout is not None
    if followers.stdout.readline().strip() != "ready":
        raise VoidError("not every client came to see the first line")


def _open_gate(gate: Path) -> None:
    """Let the writer go, which waits for somebody to open this for writing."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            time.sleep(0.005)
        else:
            return
    raise VoidError("the writer did not come to its gate")


def _note(seen: dict[str, Any], used: Cpu, seconds: float) -> str:
    daemon, clients = used.daemon * 100 / seconds, seen["cpu_seconds"] * 100 / seconds
    return (
        f"p50 {amount(seen['p50_ms'], 'ms')}, p99 {amount(seen['p99_ms'], 'ms')}, most {amount(seen['max_ms'], 'ms')};"
        f" written at {seen['lines_per_second']:.0f} lines/s;"
        f" daemon {daemon:.0f} % of a core, all clients together {clients:.0f} %"
    )
