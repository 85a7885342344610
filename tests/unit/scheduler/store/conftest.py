"""A database as a daemon opens it, and a plain connection to one for what needs no daemon."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from scheduler.store.database import Database
from scheduler.store.migrate import migrate


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A plain connection to a database of this version."""
    connection = sqlite3.connect(tmp_path / "plain.db", isolation_level=None)
    migrate(connection)
    yield connection
    connection.close()


@pytest.fixture
def fatal() -> list[BaseException]:
    """What the open database called fatal."""
    return []


@pytest.fixture
async def store(tmp_path: Path, fatal: list[BaseException]) -> AsyncIterator[Database]:
    """An open database."""
    opened = Database(str(tmp_path / "wattle.db"), fatal.append)
    await opened.open()
    yield opened
    await opened.close()
