"""The database: one writer with group commit, short readers, migrations at the door. The only place that opens it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from typing import TYPE_CHECKING, Any, TypeVar

import aiosqlite

from scheduler.store.migrate import migrate
from schemas.errors import ServiceUnavailable
from workers.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

BATCH_OPERATIONS = 64
BALLAST_BYTES = 4 * 1024 * 1024
BUSY_TIMEOUT_SECONDS = 5.0
# The second: the index of the log, a file in memory that is also on disk, could not grow.
NO_ROOM = frozenset((sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE))
# After a failed fsync the kernel may have dropped what it could not write: nothing in memory can be trusted any more.
FATAL_CODES = frozenset((sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC, sqlite3.SQLITE_CORRUPT))
# What SQLite takes back with the statement; after its other errors the whole transaction may be gone.
OWN_FAULTS = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError)

log = logging.getLogger("wattle.store")


class StaleDaemonError(Exception):
    """Another daemon took the database over; this one may not write to it any more."""


class Database:
    """An open database. `write` runs a function in the next transaction, `read` in a snapshot of its own.

    Functions get a plain `sqlite3.Connection` and return a value. Those for `write` run in the writer's thread, many
    to a transaction; one that raises is rolled back alone, and on a full disk one may run twice. `read` runs on the
    loop, for a few rows; `read_many` in a thread.
    """

    def __init__(self, path: str, on_fatal: Callable[[BaseException], None]) -> None:
        self._path, self._on_fatal = path, on_fatal
        self._ballast_path = os.path.join(os.path.dirname(path), "ballast")
        self._queue: asyncio.Queue[tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]]] = asyncio.Queue()
        self._writer: aiosqlite.Connection
        self._long_reader: aiosqlite.Connection
        self._reader: sqlite3.Connection
        self._task: asyncio.Task[None] | None = None
        self.epoch = 0

    # -- life -------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Create or migrate the database and take it over; raises DatabaseTooNewError or sqlite3.DatabaseError."""
        self._writer = await aiosqlite.connect(self._path, isolation_level=None, timeout=BUSY_TIMEOUT_SECONDS)
        try:
            self.epoch = await self._or_in_the_ballast(self._prepare)
        except BaseException:
            await self._writer.close()
            raise
        read_only = f"file:{_quoted(self._path)}?mode=ro"
        self._reader = sqlite3.connect(read_only, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_SECONDS)
        self._long_reader = await aiosqlite.connect(
            read_only, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_SECONDS
        )
        self.restore_ballast()
        self._task = asyncio.get_running_loop().create_task(self._write_loop(), name="store-writer")

    def _prepare(self, db: sqlite3.Connection) -> int:
        os.chmod(self._path, 0o600)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_size_limit = 67108864")
        migrate(db)
        db.execute("UPDATE meta SET value = value + 1 WHERE key = 'epoch'")
        return int(db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0])

    async def close(self) -> None:
        """Finish what is queued and close; an open connection would keep the process from ending."""
        if self._task is not None:
            await self._queue.join()
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._reader.close()
        await self._long_reader.close()
        await self._writer.close()

    # -- reading ----------------------------------------------------------------------------------

    def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Read a few rows, on the loop: 34 us against 58 us through a thread (measured)."""
        return _in_snapshot(self._reader, function)

    async def read_many(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Read many rows in a thread."""
        return await _run_in_thread_of(self._long_reader, _in_snapshot, function)

    # -- writing ----------------------------------------------------------------------------------

    async def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` in the next transaction; returns after the commit is on disk.

        Raises what the function raised, ServiceUnavailable without disk space, StaleDaemonError after a take-over.
        A caller that is cancelled does not take the write back.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((function, future))
        return await future  # cancelled with its caller: the function runs all the same, and nobody hears of it

    async def _write_loop(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH_OPERATIONS and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                outcomes = await self._commit([function for function, _ in batch])
            except Exception as error:  # noqa: BLE001 - loop edge: whatever it was, the waiting callers must hear it
                outcomes = [error] * len(batch)
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                self._queue.task_done()
                if future.cancelled():
                    continue
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)

    async def _commit(self, functions: list[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
        try:
            return await self._or_in_the_ballast(self._transaction, functions)
        except sqlite3.DatabaseError as error:
            if _code(error) in FATAL_CODES:
                self._on_fatal(error)
            if is_full(error):
                raise ServiceUnavailable(
                    reason="the disk of the state directory is full", retry_after_seconds=5
                ) from error
            raise
        except StaleDaemonError as error:
            self._on_fatal(error)
            raise

    async def _or_in_the_ballast(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run in the writer's thread; without disk space once more, in the room that the ballast gives."""
        try:
            return await self._on_writer(function, *arguments)
        except sqlite3.DatabaseError as error:
            if not is_full(error) or not self.release_ballast():
                raise
            log.warning("the disk is full: the ballast was released, and what failed is tried again")
            return await self._on_writer(function, *arguments)

    def _transaction(self, db: sqlite3.Connection, functions: list[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
        db.execute("BEGIN IMMEDIATE")
        try:
            if db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0] != str(self.epoch):
                raise StaleDaemonError("another daemon has taken the database over")
            outcomes = [_in_savepoint(db, function) for function in functions]
            failpoint("store.before_commit")
            db.execute("COMMIT")
            failpoint("store.committed")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return outcomes

    async def _on_writer(self, function: Callable[..., T], *arguments: Any) -> T:
        return await _run_in_thread_of(self._writer, function, *arguments)

    # -- room for the last commits on a full disk -------------------------------------------------

    def release_ballast(self) -> bool:
        """Give the ballast's room to the database; False when it is gone already."""
        try:
            os.unlink(self._ballast_path)
        except OSError:
            return False
        return True

    def restore_ballast(self) -> bool:
        """Take the ballast's room again, if it was given up; False without space for it."""
        if os.path.exists(self._ballast_path):
            return True
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(self._ballast_path, flags, 0o600)
        except OSError:
            return False
        try:
            os.posix_fallocate(fd, 0, BALLAST_BYTES)
        except OSError:
            self.release_ballast()
            return False
        finally:
            os.close(fd)
        return True


def is_full(error: sqlite3.DatabaseError) -> bool:
    """Whether an error says that there is no room on the disk."""
    return _code(error) in NO_ROOM


def _code(error: sqlite3.DatabaseError) -> int | None:
    """SQLite's extended code; errors of Python's driver itself have none."""
    return getattr(error, "sqlite_errorcode", None)


def _in_snapshot(db: sqlite3.Connection, function: Callable[[sqlite3.Connection], T]) -> T:
    """Run a reader in a transaction: all that it reads is of one moment, whatever is committed meanwhile."""
    db.execute("BEGIN")
    try:
        return function(db)
    finally:
        db.execute("COMMIT")


def _in_savepoint(db: sqlite3.Connection, function: Callable[[sqlite3.Connection], Any]) -> Any:
    db.execute("SAVEPOINT operation")
    try:
        value = function(db)
    except Exception as error:
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, OWN_FAULTS):
            raise  # not this operation's fault alone: the whole transaction is in question
        db.execute("ROLLBACK TO operation")
        db.execute("RELEASE operation")
        return error
    db.execute("RELEASE operation")
    return value


async def _run_in_thread_of(connection: aiosqlite.Connection, function: Callable[..., T], *arguments: Any) -> T:
    """Run `function(sqlite3 connection, ...)` in the connection's thread, in one hop.

    aiosqlite's public calls cost a hop (70 us) for each statement; a transaction has dozens. `_execute` is what those
    calls are made of, and pyproject.toml keeps aiosqlite to the versions in which that was checked.
    """
    result: T = await connection._execute(function, connection._conn, *arguments)  # type: ignore[no-untyped-call]  # noqa: SLF001
    return result


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
