"""Failures become exit codes and one sentence; a verb imports only what it needs."""

import signal
import subprocess
import sys

import pytest

from scheduler.cli.main import VERBS, main
from tests.unit.cli.conftest import Run
from tests.unit.cli.contract_server import WORKFLOW, ContractServer, Reply, Request, ok, refused


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(run: Run, verb: str) -> None:
    shown = run(verb, "--help")
    assert shown.code == 0
    assert shown.out.startswith(f"Usage: wattle {verb}")
    assert len(shown.out.splitlines()) > 4


def test_the_help_names_every_verb(run: Run) -> None:
    shown = run("--help")
    assert shown.code == 0
    assert all(f"  {verb} " in shown.out for verb in VERBS)
    assert "Exit codes" in shown.out


def test_without_a_verb_the_help_is_shown(run: Run) -> None:
    shown = run()
    assert shown.code == 2
    assert "Usage: wattle" in shown.out + shown.err


def test_an_unknown_verb_is_answered_with_the_nearest(run: Run) -> None:
    shown = run("lsit")
    assert shown.code == 2
    assert "there is no verb 'lsit', did you mean 'list'?" in shown.err
    assert "did you mean" not in run("xyzzy").err


def test_wrong_usage(run: Run) -> None:
    assert run("start").code == 2
    assert run("start", "x", "--nonsense").code == 2
    assert run("start", "a b").code == 2
    assert "WORKFLOW/WORKER" in run("logs", "x").err
    assert run("list", "--url", "ftp://x").code == 2
    assert run("list", "--timeout", "0").code == 2


def test_the_nearest_name(server: ContractServer, run: Run) -> None:
    server.on("GET", "/api/workflows/data-pipelin", refused(404, "WORKFLOW_NOT_FOUND", "Workflow 'x' does not exist"))
    server.on("GET", "/api/workflows", ok([WORKFLOW]))
    shown = run("show", "data-pipelin")
    assert shown.code == 1
    assert shown.err.splitlines() == ["wattle: Workflow 'x' does not exist", "  Did you mean 'data-pipeline'?"]
    server.on("POST", "/api/workers/x/fetch/stop", refused(404, "WORKER_NOT_FOUND", "Worker 'x/fetch' does not exist"))
    server.on("GET", "/api/workers/x", ok([{"name": "fetch_data"}]))
    assert run("stop", "x/fetch").err.splitlines()[1] == "  Did you mean 'x/fetch_data'?"


def test_no_name_is_near(server: ContractServer, run: Run) -> None:
    server.on("GET", "/api/workflows/zzz", refused(404, "WORKFLOW_NOT_FOUND", "Workflow 'zzz' does not exist"))
    server.on_each("GET", "/api/workflows", ok([WORKFLOW]), ok([]), refused(503, "SERVICE_UNAVAILABLE", "later"))
    assert run("show", "zzz").err.splitlines()[1:] == ["  'wattle list' shows what there is."]
    assert "wattle example" in run("show", "zzz").err
    assert len(run("show", "zzz").err.splitlines()) == 1


def test_what_the_daemon_says_cannot_steer_the_terminal(server: ContractServer, run: Run) -> None:
    server.on("GET", "/api/workflows", refused(500, "INTERNAL_ERROR", "bad\x1b]0;title\x07\x1b[2J\rnews"))
    assert run("list").err == "wattle: badnews\n"


def test_ctrl_c(server: ContractServer, run: Run) -> None:
    def interrupt(_: Request) -> Reply:
        signal.raise_signal(signal.SIGINT)
        return ok([WORKFLOW])

    server.on("GET", "/api/workflows", interrupt)
    shown = run("list")
    assert (shown.code, shown.out) == (130, "")


def _python(code: str, url: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"WATTLE_URL": url, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_verb_imports_nothing_heavy(server: ContractServer) -> None:
    server.on("GET", "/api/workflows", ok([WORKFLOW]))
    heavy = "{'pydantic', 'aiohttp', 'asyncio', 'yaml', 'ray', 'psutil', 'aiosqlite', 'difflib', 'importlib.metadata'}"
    code = f"import sys; from scheduler.cli.main import main; main(['list']); print({heavy} & set(sys.modules))"
    done = _python(code, server.url)
    assert done.stdout.splitlines()[-1] == "set()", done.stdout + done.stderr


def test_a_reader_that_leaves_is_no_error(server: ContractServer) -> None:
    server.on("GET", "/api/workflows", ok([{**WORKFLOW, "name": f"w{at}"} for at in range(5000)]))
    line = f"{sys.executable} -m scheduler.cli.main list --url {server.url} | head -1; echo ${{PIPESTATUS[0]}}"
    # PYTHONUNBUFFERED, which some set, hides a write that was cut short from the writer
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", line], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.splitlines()[0].startswith("NAME")
    assert done.stdout.splitlines()[1] == str(128 + signal.SIGPIPE)
    assert done.stderr == ""


def test_a_name_that_the_terminal_cannot_show(server: ContractServer) -> None:
    server.on("GET", "/api/workflows", ok([{**WORKFLOW, "name": "数据"}]))
    command = [sys.executable, "-m", "scheduler.cli.main", "list", "--url", server.url]
    environment = {"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0
    assert "\\u6570\\u636e" in done.stdout


def test_version_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("wattle ")
