"""A launcher for a test, started, with nobody connected."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.launcher import LauncherProcess, Line, launcher_in


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[LauncherProcess]:
    with launcher_in(tmp_path) as made:
        made.start()
        yield made


@pytest.fixture
def line(launcher: LauncherProcess) -> Line:
    """The connection of a daemon that never asks for anything by itself; four slots."""
    return launcher.connect()
