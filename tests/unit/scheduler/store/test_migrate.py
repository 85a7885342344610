"""Migrations: in order, each whole or not at all, and never over what a newer version wrote."""

import sqlite3
from pathlib import Path

import pytest

from scheduler.store import migrate as migrate_room
from scheduler.store.migrate import DatabaseTooNewError, migrate, migrations

NEWEST = migrations()[-1][0]


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def tables(db: sqlite3.Connection) -> set[str]:
    return {row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def use(monkeypatch: pytest.MonkeyPatch, *found: tuple[int, str]) -> None:
    monkeypatch.setattr(migrate_room, "migrations", lambda: list(found))


def test_migrations_are_numbered_from_one_without_gaps() -> None:
    assert [number for number, _ in migrations()] == list(range(1, NEWEST + 1))
    assert all(sql.strip() for _, sql in migrations())


def test_a_new_database_gets_everything(db: sqlite3.Connection) -> None:
    assert version(db) == NEWEST
    assert {"workflows", "workers", "runs", "run_workers", "attempts", "events"} <= tables(db)
    assert not db.in_transaction


def test_what_is_in_is_not_applied_again(db: sqlite3.Connection) -> None:
    db.execute("UPDATE meta SET value = '41' WHERE key = 'epoch'")
    migrate(db)
    assert db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone() == ("41",)


def test_only_what_is_missing_is_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = connect(tmp_path / "a.db")
    first, second = (1, "CREATE TABLE a (x);"), (2, "CREATE TABLE b (x); INSERT INTO b VALUES (1);")
    use(monkeypatch, first)
    migrate(db)
    use(monkeypatch, first, second, (3, "CREATE TABLE c (x);"))
    migrate(db)
    assert (version(db), tables(db)) == (3, {"a", "b", "c"})
    db.close()


@pytest.mark.parametrize(
    "broken",
    [
        "CREATE TABLE b (x); CREATE TABLE a (x);",
        "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1);",
        "CREATE TABLE b (x); NOT SQL;",
    ],
)
def test_a_migration_that_fails_leaves_nothing_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "a.db"
    db = connect(path)
    use(monkeypatch, (1, "CREATE TABLE a (x);"), (2, broken), (3, "CREATE TABLE c (x);"))
    with pytest.raises(sqlite3.OperationalError):
        migrate(db)
    assert not db.in_transaction
    assert (version(db), tables(db)) == (1, {"a"})
    db.close()
    other = connect(path)
    assert (version(other), tables(other)) == (1, {"a"})
    other.close()


def test_what_a_newer_version_wrote_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "newer.db"
    db = connect(path)
    db.execute("CREATE TABLE unheard_of (x)")
    db.execute(f"PRAGMA user_version = {NEWEST + 1}")
    db.close()
    before = path.read_bytes()
    db = connect(path)
    with pytest.raises(DatabaseTooNewError) as caught:
        migrate(db)
    db.close()
    assert str(caught.value) == (
        f"the database has schema {NEWEST + 1}, this Wattle knows up to {NEWEST}: start the newer version again, or"
        " give this one another state directory"
    )
    assert path.read_bytes() == before
