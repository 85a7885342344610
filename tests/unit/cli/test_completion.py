"""Shells complete verbs, options and the daemon's names, and never print an error into a prompt."""

import pytest

from scheduler.cli.main import main
from tests.unit.cli.conftest import Run
from tests.unit.cli.contract_server import WORKFLOW, ContractServer, ok


@pytest.fixture
def complete(
    server: ContractServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> "Completer":
    server.on("GET", "/api/workflows", ok([WORKFLOW, {**WORKFLOW, "name": "数据"}]))
    server.on("GET", "/api/workers/data-pipeline", ok([{"name": "fetch_data"}, {"name": "process_data"}]))
    server.on("GET", "/api/workers/数据", ok([{"name": "清洗"}]))
    monkeypatch.setenv("WATTLE_URL", server.url)
    return Completer(monkeypatch, capsys)


class Completer:
    """Asks as bash does: the words so far, the last one incomplete."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, line: str) -> list[str]:
        self._monkeypatch.setenv("_WATTLE_COMPLETE", "bash_complete")
        self._monkeypatch.setenv("COMP_WORDS", line)
        self._monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        with pytest.raises(SystemExit):
            main([])
        captured = self._capsys.readouterr()
        assert captured.err == ""
        return [entry.partition(",")[2] for entry in captured.out.splitlines() if entry]


def test_verbs(complete: Completer) -> None:
    assert complete("wattle st") == ["start", "stop", "status"]


def test_options(complete: Completer) -> None:
    assert "--follow" in complete("wattle start --f")


def test_workflows(complete: Completer) -> None:
    assert complete("wattle show ") == ["data-pipeline", "数据"]
    assert complete("wattle workers d") == ["data-pipeline"]


def test_workers_after_the_slash(complete: Completer) -> None:
    assert complete("wattle show data-pipeline/p") == ["data-pipeline/process_data"]
    assert complete("wattle show nowhere/") == []


def test_where_a_worker_is_needed_workers_come_at_once(complete: Completer) -> None:
    assert complete("wattle logs da") == ["data-pipeline/fetch_data", "data-pipeline/process_data"]
    assert complete("wattle logs 数") == ["数据/清洗"]


def test_without_a_daemon_there_is_silence(complete: Completer, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("http://127.0.0.1:1", "nonsense://x"):
        monkeypatch.setenv("WATTLE_URL", url)
        assert complete("wattle show ") == []


@pytest.mark.parametrize(("shell", "sign"), [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete ")])
def test_the_scripts(run: Run, shell: str, sign: str) -> None:
    shown = run("completion", shell)
    assert shown.code == 0
    assert sign in shown.out
    assert "_WATTLE_COMPLETE" in shown.out
    assert run("completion", "tcsh").code == 2
