"""What the tests of the API share: one daemon for each module, and a guard that nothing in it was changed."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.asking import quiet_daemon
from tests.helpers.daemon import Daemon, path_of


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with four slots, whatever the machine has."""
    with quiet_daemon(tmp_path_factory.mktemp("daemon")) as running:
        yield running


@pytest.fixture
def untouched(daemon: Daemon) -> Iterator[None]:
    """The test must leave every workflow and every run as it found them."""
    before = everything(daemon)
    yield
    assert everything(daemon) == before


def everything(daemon: Daemon) -> Any:
    """What is stored and what has run."""
    workflows = daemon.get("/api/workflows")
    definitions = [daemon.get(path_of("workflows", each["name"], "definition")) for each in workflows]
    return workflows, definitions, daemon.get("/api/runs?page_size=1000")
