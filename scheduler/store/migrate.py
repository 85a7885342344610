"""Bring a database to the schema of this version: numbered SQL files, `PRAGMA user_version` says which are in."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


class DatabaseTooNewError(Exception):
    """The database was written by a newer Wattle."""


def migrations() -> list[tuple[int, str]]:
    """(number, SQL) of every migration, in order; the number is the file name's start."""
    folder = files("scheduler.store") / "migrations"
    found = [(int(file.name.split("_")[0]), file) for file in folder.iterdir() if file.name.endswith(".sql")]
    return [(number, file.read_text(encoding="utf-8")) for number, file in sorted(found, key=lambda pair: pair[0])]


def migrate(db: sqlite3.Connection) -> None:
    """Apply what is missing, each in a transaction of its own; raises DatabaseTooNewError and then changes nothing."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    known = migrations()
    newest = known[-1][0]
    if version > newest:
        raise DatabaseTooNewError(
            f"the database has schema {version}, this Wattle knows up to {newest}: start the newer version again, or"
            " give this one another state directory"
        )
    for number, sql in known:
        if number > version:
            _apply(db, f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")


def _apply(db: sqlite3.Connection, script: str) -> None:
    try:
        db.executescript(script)
    except BaseException:
        if db.in_transaction:  # SQLite itself rolls back when the disk is full
            db.execute("ROLLBACK")
        raise
