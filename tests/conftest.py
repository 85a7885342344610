"""What holds for every test: none leaves a process behind."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.helpers.processes import end_processes_of, processes_of

# On CI the same examples each time, so that a red run says something about the change; everywhere else new ones.
# No example has a deadline: how long one takes says something about the machine.
settings.register_profile("ours", derandomize="CI" in os.environ, deadline=None)
settings.load_profile("ours")


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Daemons, launchers and workers of the tests have their state under pytest's directory, so they can be found."""
    place = tmp_path_factory.getbasetemp()
    yield
    left = processes_of(place)
    end_processes_of(place)
    assert not left, f"left behind by the tests: {left}"
