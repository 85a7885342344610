"""The command against a real daemon: every verb, every example, and what a person sees when things go wrong."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.helpers.daemon import running_daemon
from tests.helpers.waiting import wait_until

WATTLE = [sys.executable, "-m", "scheduler.cli.main"]
Done = subprocess.CompletedProcess[str]


class Daemon:
    """A daemon of these tests, and the command line that talks to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._begun: list[subprocess.Popen[str]] = []

    def end(self) -> None:
        """Ends what a test that failed has left running."""
        for process in self._begun:
            with process:
                process.kill()

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return {**kept, "WATTLE_URL": self.url, "LANG": "C.UTF-8", "TERM": "xterm"}

    def wattle(self, *arguments: str, given: str | None = None) -> Done:
        """Runs a verb to its end."""
        return subprocess.run(
            [*WATTLE, *arguments],
            input=given,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def begin(self, *arguments: str, out: int = subprocess.PIPE, **environment: str) -> "subprocess.Popen[str]":
        """Starts a verb that goes on."""
        process = subprocess.Popen(
            [*WATTLE, *arguments],
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE if out == subprocess.PIPE else out,
            text=True,
        )
        self._begun.append(process)
        return process

    def api(self, path: str) -> Any:
        """The `data` of a GET, past the command."""
        with urllib.request.urlopen(self.url + path) as answer:
            return json.load(answer)["data"]


@contextmanager
def closing_all(daemon: Daemon) -> Iterator[Daemon]:
    try:
        yield daemon
    finally:
        daemon.end()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("daemon")) as started, closing_all(Daemon(started.url)) as made:
        yield made


def create(daemon: Daemon, tmp_path: Path, name: str, **workers: Any) -> None:
    """Creates a workflow in `tmp_path`: create(daemon, tmp_path, "x", a="echo hi", b={"command": ...})."""
    full = {key: value if isinstance(value, dict) else {"command": value} for key, value in workers.items()}
    listed = [{"name": key, **value} for key, value in full.items()]
    document = {"name": name, "working_dir": str(tmp_path), "workers": listed}
    done = daemon.wattle("create", "-", given=json.dumps(document))
    assert (done.returncode, done.stdout) == (0, f"Workflow '{name}' created successfully\n"), done.stderr


HELD = "while [ ! -e released ]; do sleep 0.02; done; echo released"
"""Runs until the test makes the file `released` in the working directory."""


async def is_running(daemon: Daemon, workflow: str, worker: str) -> None:
    path = f"/api/workers/{quote(workflow)}/{quote(worker)}"
    await wait_until(
        lambda: daemon.api(path)["status"] == "running", on_timeout=f"{workflow}/{worker} runs", timeout_seconds=20
    )


@pytest.mark.parametrize("name", ["hello-world", "data-pipeline", "data-pipeline.yaml", "retry-and-timeout"])
def test_every_example_completes(daemon: Daemon, tmp_path: Path, name: str) -> None:
    text = daemon.wattle("example", name).stdout
    workflow = name.removesuffix(".yaml")
    text = text.replace(f"/tmp/{workflow}", str(tmp_path / "place"))
    assert daemon.wattle("create", "-", "--replace", given=text).returncode == 0
    followed = daemon.wattle("start", workflow, "--follow")
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert f"of '{workflow}' completed in" in followed.stdout.splitlines()[-1]
    status = daemon.wattle("status", workflow)
    assert (status.returncode, status.stdout) == (0, "completed\n")


def test_what_the_examples_make(daemon: Daemon, tmp_path: Path) -> None:
    text = daemon.wattle("example").stdout.replace("/tmp/data-pipeline", str(tmp_path))
    assert daemon.wattle("create", "-", "--replace", given=text).returncode == 0
    assert daemon.wattle("start", "data-pipeline", "--follow").returncode == 0
    assert (tmp_path / "result.txt").read_text() == "Sum: 15\n"


def test_retries_are_seen(daemon: Daemon, tmp_path: Path) -> None:
    text = daemon.wattle("example", "retry-and-timeout").stdout.replace("/tmp/retry-and-timeout", str(tmp_path))
    assert daemon.wattle("create", "-", "--replace", given=text).returncode == 0
    followed = daemon.wattle("start", "retry-and-timeout", "--follow")
    assert followed.returncode == 0
    assert (tmp_path / "answer.txt").read_text() == "attempt 3: done\n"
    attempts = json.loads(daemon.wattle("show", "retry-and-timeout/flaky", "--json").stdout)
    assert attempts["status"] == "completed"
    shown = daemon.wattle("show", "retry-and-timeout/flaky").stdout.splitlines()
    assert [line.split()[0] for line in shown[-3:]] == ["3", "2", "1"]


def test_the_fan_out_with_its_scripts(daemon: Daemon, tmp_path: Path) -> None:
    assert daemon.wattle("example", "fan-out", "--to", str(tmp_path)).returncode == 0
    assert daemon.wattle("create", str(tmp_path / "fan-out.yaml")).returncode == 0
    followed = daemon.wattle("start", "fan-out", "-f")
    assert followed.returncode == 0, followed.stdout
    words = json.loads((tmp_path / "out" / "words.json").read_text())
    assert (words["a"], sum(words.values())) == (10, 49)
    graph = daemon.wattle("graph", "fan-out").stdout
    assert "│ ✔ merge" in graph
    assert "count_1/counts" in graph


def test_json_is_the_apis_data(daemon: Daemon, tmp_path: Path) -> None:
    create(daemon, tmp_path, "verbatim", one="echo 1")
    assert daemon.wattle("start", "verbatim", "--follow").returncode == 0
    for arguments, path in (
        (["list"], "/api/workflows"),
        (["show", "verbatim"], "/api/workflows/verbatim"),
        (["show", "verbatim/one"], "/api/workers/verbatim/one"),
        (["workers", "verbatim"], "/api/workflows/verbatim/workers"),
        (["metrics", "verbatim/one"], "/api/workers/verbatim/one/metrics"),
        (["logs", "verbatim/one"], "/api/workers/verbatim/one/logs"),
        (["graph", "verbatim"], "/api/workflows/verbatim/graph"),
        (["runs", "verbatim"], "/api/runs?workflow=verbatim"),
    ):
        assert json.loads(daemon.wattle(*arguments, "--json").stdout) == daemon.api(path), arguments


def test_the_tables_for_people(daemon: Daemon, tmp_path: Path) -> None:
    create(daemon, tmp_path, "数据管道", 抓取="echo 数据", 清洗={"command": "cat", "after": ["抓取"]})
    assert daemon.wattle("start", "数据管道", "--follow").returncode == 0
    assert re.search("^数据管道 +completed ", daemon.wattle("list").stdout, re.MULTILINE)
    assert daemon.wattle("logs", "数据管道/抓取").stdout == "数据\n"
    workers = daemon.wattle("workers", "数据管道").stdout.splitlines()
    assert [line.split()[:2] for line in workers[1:]] == [["抓取", "completed"], ["清洗", "completed"]]
    assert "workers    2 completed" in daemon.wattle("show", "数据管道").stdout
    assert "#1" in daemon.wattle("runs", "数据管道").stdout
    assert re.search("^exit +0$", daemon.wattle("metrics", "数据管道/抓取").stdout, re.MULTILINE)
    assert "digraph" in daemon.wattle("graph", "数据管道", "--format", "dot").stdout
    assert daemon.wattle("show", "数据管道", "--definition").stdout.startswith("name: 数据管道")


def test_a_failure_is_explained_where_it_is_watched(daemon: Daemon, tmp_path: Path) -> None:
    create(
        daemon,
        tmp_path,
        "failing",
        bad="sh -c 'echo what went wrong >&2; exit 7'",
        after={"command": "true", "after": ["bad"]},
    )
    followed = daemon.wattle("start", "failing", "--follow")
    assert followed.returncode == 1
    assert re.search(r"✘ bad failed in .*7", followed.stdout)
    assert "    | what went wrong" in followed.stdout.splitlines()
    assert re.search(r"⊘ after cancelled: .*'bad'", followed.stdout)
    assert daemon.wattle("status", "failing").returncode == 3
    logs = daemon.wattle("logs", "failing/bad")
    assert (logs.stdout, logs.stderr) == ("", "what went wrong\n")


async def test_a_run_is_watched_stopped_and_not_started_twice(daemon: Daemon, tmp_path: Path) -> None:
    create(daemon, tmp_path, "held", wait=HELD)
    assert daemon.wattle("status", "held").returncode == 4
    assert daemon.wattle("start", "held").stdout == "Workflow 'held' started successfully\n"
    await is_running(daemon, "held", "wait")
    assert daemon.wattle("status", "held").returncode == 4
    again = daemon.wattle("start", "held")
    assert (again.returncode, again.stdout) == (1, "")
    assert "already running" in again.stderr
    assert daemon.wattle("status", "held", "--wait", "--timeout", "0.2").returncode == 124
    assert daemon.wattle("stop", "held").stdout == "Workflow 'held' stopped successfully\n"
    assert daemon.wattle("status", "held").returncode == 3


async def test_logs_follow_a_worker_to_its_end(daemon: Daemon, tmp_path: Path) -> None:
    create(daemon, tmp_path, "followed", wait=f"echo begun; {HELD}; echo oops >&2")
    assert daemon.wattle("start", "followed").returncode == 0
    following = daemon.begin("logs", "followed/wait", "--follow")
    assert following.stdout is not None
    assert following.stdout.readline() == "begun\n"
    (tmp_path / "released").touch()
    out, err = following.communicate(timeout=30)
    assert (following.returncode, out, err) == (0, "released\n", "oops\n")


async def test_ctrl_c_leaves_the_run_alone(daemon: Daemon, tmp_path: Path) -> None:
    create(daemon, tmp_path, "detached", wait=HELD)
    following = daemon.begin("start", "detached", "--follow")
    assert following.stdout is not None
    assert following.stdout.readline() == "● wait started\n"
    following.send_signal(signal.SIGINT)
    _, err = following.communicate(timeout=30)
    assert following.returncode == 130
    assert "run #1 of 'detached' goes on" in err
    assert daemon.wattle("status", "detached").returncode == 4
    (tmp_path / "released").touch()
    assert daemon.wattle("status", "detached", "--wait").returncode == 0


async def test_watching_survives_the_daemon(tmp_path: Path) -> None:
    """The daemon is killed and started again while a run and a log are followed: nothing is missed or told twice."""
    with running_daemon(tmp_path / "daemon") as killed, closing_all(Daemon(killed.url)) as daemon:
        create(daemon, tmp_path, "outlived", wait=f"echo before; {HELD}; echo after")
        watching = daemon.begin("start", "outlived", "--follow")
        assert watching.stdout is not None
        assert watching.stdout.readline() == "● wait started\n"
        following = daemon.begin("logs", "outlived/wait", "--follow")
        assert following.stdout is not None
        assert following.stdout.readline() == "before\n"
        killed.kill()
        assert "waiting for its return" in watching.stdout.readline()
        killed.start()
        (tmp_path / "released").touch()
        seen, _ = watching.communicate(timeout=60)
        assert (watching.returncode, seen.splitlines()[0].startswith("✔ wait completed")) == (0, True)
        assert (following.communicate(timeout=60)[0], following.returncode) == ("released\nafter\n", 0)


def test_one_worker_runs_alone(daemon: Daemon, tmp_path: Path) -> None:
    create(daemon, tmp_path, "single", a="echo a", b="echo b")
    followed = daemon.wattle("start", "single/b", "--follow")
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert daemon.wattle("status", "single/b").stdout == "completed\n"
    assert daemon.wattle("status", "single/a").stdout == "created\n"


def test_replace_validate_and_delete(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("name: changing\nworking_dir: .\nworkers:\n  - {name: a, command: echo 1}\n")
    assert daemon.wattle("create", str(path)).returncode == 0
    assert daemon.api("/api/workflows/changing")["working_dir"] == str(tmp_path)
    refused = daemon.wattle("create", str(path))
    assert (refused.returncode, "--replace" in refused.stderr) == (1, True)
    path.write_text(
        "name: changing\nworkers:\n  - {name: a, command: echo 2}\n  - {name: b, command: cat, after: [a]}\n"
    )
    assert daemon.wattle("validate", str(path)).stdout.splitlines()[1:] == ["  1. a", "  2. b"]
    assert daemon.wattle("create", str(path), "--replace").returncode == 0
    assert daemon.wattle("delete", "changing/b").returncode == 0
    assert [worker["name"] for worker in daemon.api("/api/workers/changing")] == ["a"]
    assert daemon.wattle("delete", "changing").returncode == 0
    assert daemon.wattle("show", "changing").returncode == 1


def test_problems_are_shown_all_at_once(daemon: Daemon) -> None:
    document = {"name": "wrong", "workers": [{"name": "a", "comand": "x"}, {"name": "a b", "command": "'"}]}
    for verb in ("validate", "create"):
        done = daemon.wattle(verb, "-", given=json.dumps(document))
        assert (done.returncode, done.stdout) == (1, "")
        shown = done.stderr.splitlines()
        assert shown[0].startswith("wattle: ")
        assert any(line.startswith("  workers[0]") and "'command'" in line for line in shown)
        assert any(line.startswith("  workers[1].name: ") for line in shown)


def test_a_mistyped_name_is_answered_with_the_nearest(daemon: Daemon, tmp_path: Path) -> None:
    create(daemon, tmp_path, "correctly-spelled", fetch_data="true")
    assert "Did you mean 'correctly-spelled'?" in daemon.wattle("start", "corectly-spelled").stderr
    assert "Did you mean 'correctly-spelled/fetch_data'?" in daemon.wattle("logs", "correctly-spelled/fetchdata").stderr


def test_no_daemon(daemon: Daemon) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        done = daemon.wattle("list", "--url", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"wattle: nothing listens at {url}; start the daemon with 'wattle serve'\n"


def test_a_port_in_use_is_one_sentence(daemon: Daemon, tmp_path: Path) -> None:
    port = daemon.url.rpartition(":")[2]
    done = daemon.wattle("serve", "--port", port, "--state-dir", str(tmp_path), "--stop-launcher-on-exit")
    assert done.returncode == 75
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_on_a_terminal_progress_is_redrawn_and_logs_cannot_steer_it(daemon: Daemon, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    wait = f"until rm {seen} 2>/dev/null; do sleep 0.02; done"
    evil = rf"""sh -c '{wait}; printf "\033[2J\033]0;title\007\033[31mred\n" >&2; exit 1'"""
    create(daemon, tmp_path, "drawn", evil=evil)
    for extra, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        shown = on_terminal(daemon, "start", "drawn", "--follow", when_redrawn=seen.touch, **extra)
        assert "\r\x1b[K" in shown
        assert ("\x1b[31mred" in shown) is coloured
        assert "\x1b[2J" not in shown
        assert "title" not in shown


def on_terminal(
    daemon: Daemon, *arguments: str, when_redrawn: Callable[[], object] = lambda: None, **environment: str
) -> str:
    """Everything that a verb writes to a terminal; tells when it has drawn a line anew."""
    ours, theirs = pty.openpty()
    process = daemon.begin(*arguments, out=theirs, **environment)
    os.close(theirs)
    chunks, told = [], False
    try:
        while chunk := os.read(ours, 65536):
            chunks.append(chunk)
            if b"\r\x1b[K" in chunk and not told:
                told = True
                when_redrawn()
    except OSError:
        # what a terminal gives instead of an end of file
        pass
    os.close(ours)
    process.wait(30)
    return b"".join(chunks).decode()
