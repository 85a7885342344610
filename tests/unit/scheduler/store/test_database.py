"""The database: one writer with group commit, readers with a view that stands still, and a lock against the past."""

import asyncio
import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from scheduler.store.database import Database, StaleDaemonError
from scheduler.store.migrate import DatabaseTooNewError
from scheduler.store.runs import launcher_row
from tests.helpers.waiting import wait_until
from tests.unit.scheduler.store.facts import opened


def insert(name: str) -> Any:
    """An operation that leaves a row with this name."""
    return lambda db: db.execute("INSERT INTO launchers (boot_id, journal_id) VALUES (?, 'j')", (name,)).rowcount


def names(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT boot_id FROM launchers ORDER BY id")]


def begins(counter: list[str]) -> Any:
    """Make the writer's connection tell every statement that begins or ends a transaction."""

    def trace(statement: str) -> None:
        if statement.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            counter.append(statement)

    return lambda db: db.set_trace_callback(trace)


class Held:
    """A write that occupies the writer's thread until it is let go, so that others queue up behind it."""

    def __init__(self, store: Database) -> None:
        self._may_go = threading.Event()
        self.is_running = threading.Event()
        self._task = asyncio.ensure_future(store.write(self._wait))

    def _wait(self, _: sqlite3.Connection) -> None:
        self.is_running.set()
        self._may_go.wait(10)

    async def __aenter__(self) -> Self:
        await wait_until(self.is_running.is_set, on_timeout="the writer is busy")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._may_go.set()
        await self._task


# -- life ------------------------------------------------------------------------------------------


async def test_a_new_database_is_ours_alone_and_durable(store: Database, tmp_path: Path) -> None:
    pragmas = await store.write(
        lambda db: [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    )
    assert pragmas == ["wal", 2]  # FULL
    assert stat.S_IMODE((tmp_path / "wattle.db").stat().st_mode) == 0o600
    assert store.epoch == 1


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    for epoch in (1, 2):
        async with opened(tmp_path) as store:
            await store.write(insert(f"epoch {store.epoch}"))
            assert store.epoch == epoch
    connection = sqlite3.connect(tmp_path / "wattle.db")
    assert names(connection) == ["epoch 1", "epoch 2"]
    connection.close()


async def test_closing_finishes_what_is_queued(tmp_path: Path) -> None:
    async with opened(tmp_path) as store, Held(store):
        writes = [asyncio.ensure_future(store.write(insert(f"{index}"))) for index in range(200)]
        await asyncio.sleep(0)
    assert [write.result() for write in writes] == [1] * 200


async def test_a_database_of_a_newer_version_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "wattle.db"
    async with opened(tmp_path) as store:
        await store.write(lambda db: db.execute("PRAGMA user_version = 999"))
    before = path.read_bytes()
    with pytest.raises(DatabaseTooNewError):
        await Database(str(path), lambda _: None).open()
    assert path.read_bytes() == before


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wattle.db"
    path.write_bytes(b"this is a diary, not a database\n" * 100)
    with pytest.raises(sqlite3.DatabaseError, match="file is not a database"):
        await Database(str(path), lambda _: None).open()
    assert path.read_bytes().startswith(b"this is a diary")


@pytest.mark.parametrize("folder", ["100% sure?", "a#b", "a%20b", "mode=rw&x"])
async def test_a_path_may_have_any_name(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    async with opened(tmp_path / folder) as store:
        await store.write(insert("here"))
        assert store.read(names) == await store.read_many(names) == ["here"]


# -- group commit ----------------------------------------------------------------------------------


async def test_writes_that_wait_share_a_transaction(store: Database) -> None:
    seen: list[str] = []
    await store.write(begins(seen))
    async with Held(store):
        seen.clear()
        writes = [asyncio.ensure_future(store.write(insert(f"{index}"))) for index in range(65)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*writes) == [1] * 65
    assert seen == ["COMMIT", *["BEGIN IMMEDIATE", "COMMIT"] * 2]  # the held one, 64 at once, and the last
    assert store.read(names) == [f"{index}" for index in range(65)]


async def test_a_write_is_on_disk_when_it_returns(store: Database, tmp_path: Path) -> None:
    await store.write(insert("acknowledged"))
    other = sqlite3.connect(tmp_path / "wattle.db")
    assert names(other) == ["acknowledged"]
    other.close()


async def test_a_write_returns_what_its_function_returned(store: Database) -> None:
    def row(boot_id: str) -> Callable[[sqlite3.Connection], int]:
        return lambda db: launcher_row(db, boot_id, "j")

    assert await asyncio.gather(*(store.write(row(boot_id)) for boot_id in "abc")) == [1, 2, 3]


def break_a_rule(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO launchers (boot_id, journal_id) VALUES ('half done', 'j')")
    db.execute("INSERT INTO launchers (boot_id, journal_id) VALUES ('half done', 'j')")


def change_its_mind(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO launchers (boot_id, journal_id) VALUES ('half done', 'j')")
    raise LookupError("no such thing")


def misuse_the_database(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO launchers (boot_id, journal_id) VALUES ('half done', 'j')")
    db.execute("SELECT ?", ())


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        (break_a_rule, sqlite3.IntegrityError),
        (change_its_mind, LookupError),
        (misuse_the_database, sqlite3.ProgrammingError),
    ],
)
async def test_one_that_fails_is_taken_back_alone(store: Database, failing: Any, error: type[Exception]) -> None:
    async with Held(store):
        before, failed, after = [
            asyncio.ensure_future(store.write(each)) for each in (insert("before"), failing, insert("after"))
        ]
        await asyncio.sleep(0)
    with pytest.raises(error):
        await failed
    assert await before == await after == 1
    assert store.read(names) == ["before", "after"]


async def test_a_caller_that_is_cancelled_does_not_take_its_write_back(store: Database) -> None:
    async with Held(store):
        write = asyncio.ensure_future(store.write(insert("kept")))
        await asyncio.sleep(0)
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
    await store.write(lambda _: None)
    assert store.read(names) == ["kept"]


async def test_the_failure_of_a_cancelled_caller_is_nobodys_surprise(store: Database) -> None:
    surprises: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: surprises.append(context))
    async with Held(store):
        write = asyncio.ensure_future(store.write(change_its_mind))
        await asyncio.sleep(0)
        write.cancel()
    await asyncio.gather(write, return_exceptions=True)
    del write
    await store.write(insert("and it goes on"))
    assert surprises == []


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_reader_sees_one_moment(store: Database, tmp_path: Path, in_thread: bool) -> None:
    """What is read in one go fits together, even if the writer commits in the middle of it."""
    writer = sqlite3.connect(tmp_path / "wattle.db", isolation_level=None, check_same_thread=False)

    def read_twice(db: sqlite3.Connection) -> tuple[list[str], list[str]]:
        first = names(db)
        writer.execute("INSERT INTO launchers (boot_id, journal_id) VALUES ('in between', 'j')")
        return first, names(db)

    assert (await store.read_many(read_twice) if in_thread else store.read(read_twice)) == ([], [])
    assert (await store.read_many(names) if in_thread else store.read(names)) == ["in between"]
    writer.close()


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_reader_that_fails_leaves_the_next_one_alone(store: Database, in_thread: bool) -> None:
    def fail(db: sqlite3.Connection) -> None:
        names(db)
        raise LookupError("not found")

    with pytest.raises(LookupError):
        _ = await store.read_many(fail) if in_thread else store.read(fail)
    await store.write(insert("new"))
    assert (await store.read_many(names) if in_thread else store.read(names)) == ["new"]


async def test_readers_cannot_write(store: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store.read(insert("x"))
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await store.read_many(insert("x"))


async def test_a_long_reader_keeps_nobody_from_writing(store: Database) -> None:
    may_go, is_reading = threading.Event(), threading.Event()

    def read(db: sqlite3.Connection) -> list[str]:
        found = names(db)
        is_reading.set()
        may_go.wait(10)
        return found + names(db)

    reading = asyncio.ensure_future(store.read_many(read))
    await wait_until(is_reading.is_set, on_timeout="the long reader reads")
    await store.write(insert("meanwhile"))
    assert store.read(names) == ["meanwhile"]
    may_go.set()
    assert await reading == []


# -- two daemons, and what is fatal ----------------------------------------------------------------


async def test_a_daemon_that_was_overtaken_writes_nothing_any_more(
    store: Database, fatal: list[BaseException], tmp_path: Path
) -> None:
    async with opened(tmp_path) as second:
        with pytest.raises(StaleDaemonError):
            await store.write(insert("from the past"))
        assert [type(error) for error in fatal] == [StaleDaemonError]
        await second.write(insert("from the present"))
        assert second.read(names) == ["from the present"]
        assert second.epoch == store.epoch + 1


async def test_everyone_in_a_stale_batch_is_told(store: Database, tmp_path: Path) -> None:
    await store.write(insert("in time"))
    async with opened(tmp_path) as second:
        outcomes = await asyncio.gather(*(store.write(insert(f"late {n}")) for n in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StaleDaemonError] * 3
        assert second.read(names) == ["in time"]


@pytest.mark.parametrize(
    ("code", "is_fatal"),
    [
        (sqlite3.SQLITE_IOERR_FSYNC, True),
        (sqlite3.SQLITE_IOERR_DIR_FSYNC, True),
        (sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.SQLITE_IOERR_READ, False),
        (sqlite3.SQLITE_BUSY, False),
    ],
)
async def test_what_cannot_be_trusted_any_more_is_fatal(
    store: Database, fatal: list[BaseException], code: int, is_fatal: bool
) -> None:
    def fail(_: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = code
        raise error

    with pytest.raises(sqlite3.OperationalError):
        await store.write(fail)
    assert bool(fatal) == is_fatal
    await store.write(insert("next"))
    assert store.read(names) == ["next"]


async def test_an_error_of_the_driver_itself_is_heard_as_it_is(store: Database, fatal: list[BaseException]) -> None:
    """Such errors carry no SQLite code."""

    def fail(_: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("Cannot operate on a closed database.")

    with pytest.raises(sqlite3.OperationalError, match="closed database"):
        await store.write(fail)
    assert fatal == []


async def test_a_database_that_is_busy_for_a_moment_is_waited_for(store: Database, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "wattle.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    write = asyncio.ensure_future(store.write(insert("patient")))
    await asyncio.sleep(0.02)
    assert not write.done()
    other.execute("ROLLBACK")
    assert await write == 1
    other.close()


async def test_the_ballast_is_room_that_is_really_taken(store: Database, tmp_path: Path) -> None:
    ballast = tmp_path / "ballast"
    assert ballast.stat().st_blocks * 512 >= 4 * 1024 * 1024
    assert store.release_ballast() is True
    assert not ballast.exists()
    assert store.release_ballast() is False
    assert store.restore_ballast() is True
    assert store.restore_ballast() is True
    assert stat.S_IMODE(ballast.stat().st_mode) == 0o600


async def test_the_ballast_is_never_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    os.symlink(victim, tmp_path / "ballast")
    async with opened(tmp_path):
        assert not victim.exists()
