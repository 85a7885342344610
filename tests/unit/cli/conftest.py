"""What the tests of the command share: a server with the contract's answers, and a way to run a command line."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from scheduler.cli.main import main
from tests.unit.cli.contract_server import ContractServer, serving


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """English, no colours asked for, no daemon of the person who runs the tests."""
    for name in ("WATTLE_URL", "NO_COLOR", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture
def server() -> Iterator[ContractServer]:
    with serving() as table:
        yield table


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(server: ContractServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line against the server: run("list", "--json")."""
    monkeypatch.setenv("WATTLE_URL", server.url)

    def run_line(*arguments: str) -> Outcome:
        code = main(arguments)
        captured = capsys.readouterr()
        return Outcome(int(code), captured.out, captured.err)

    return run_line
