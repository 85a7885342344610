"""An open database for what lives between the engine and the store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scheduler.store.database import Database
from tests.unit.scheduler.store.facts import opened


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path) as database:
        yield database
