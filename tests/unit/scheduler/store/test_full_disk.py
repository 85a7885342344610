"""A disk that is full: the ballast makes room for the last commits, then writes are refused, and nothing is lost."""

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.store.database import BALLAST_BYTES, Database
from schemas.errors import ServiceUnavailable
from tests.unit.scheduler.store.facts import opened

DISK_BYTES = 6 * BALLAST_BYTES
BLOB = b"x" * 64 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "none", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"no small file system can be mounted here: {error}")
    if done.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> None:
    """Take all the room that is left."""
    with open(disk / "filler", "ab", buffering=0) as filler:
        for size in (1 << 16, 1 << 12, 1):
            while True:
                try:
                    filler.write(b"x" * size)
                except OSError:
                    break


def free(disk: Path) -> None:
    os.unlink(disk / "filler")


async def put(store: Database, number: int) -> int:
    """Write something large; returns its number when it is on disk."""

    def insert(db: sqlite3.Connection) -> int:
        db.execute("CREATE TABLE IF NOT EXISTS blobs (number INTEGER PRIMARY KEY, blob)")
        db.execute("INSERT INTO blobs VALUES (?, ?)", (number, BLOB))
        return number

    return await store.write(insert)


def found(db: sqlite3.Connection) -> list[int]:
    rows = db.execute("SELECT number, blob FROM blobs ORDER BY number").fetchall()
    assert all(blob == BLOB for _, blob in rows)
    return [number for number, _ in rows]


async def put_until_refused(store: Database, first: int) -> list[int]:
    """Write until the disk takes no more; what was acknowledged."""
    kept = []
    for number in range(first, first + 1000):
        try:
            kept.append(await put(store, number))
        except ServiceUnavailable:
            return kept
    raise AssertionError("the disk is never full")


async def test_the_ballast_makes_room_then_writes_are_refused_and_nothing_is_lost(disk: Path) -> None:
    async with opened(disk) as store:
        kept = [await put(store, 0)]
        fill(disk)
        kept.append(await put(store, 1))  # in the ballast's room
        assert not (disk / "ballast").exists()
        kept += await put_until_refused(store, 2)
        assert len(kept) >= BALLAST_BYTES // len(BLOB) // 2
        assert store.read(found) == kept
        with pytest.raises(ServiceUnavailable, match="the disk of the state directory is full") as caught:
            await put(store, 500)
        assert caught.value.retry_after_seconds == 5
        assert not store.restore_ballast()
        assert not (disk / "ballast").exists()

        free(disk)
        kept.append(await put(store, 600))
        assert await store.read_many(found) == kept
    async with opened(disk) as store:
        assert store.read(found) == kept


async def test_many_at_once_are_each_told_the_truth(disk: Path) -> None:
    async with opened(disk) as store:
        kept = [await put(store, 0)]
        fill(disk)
        outcomes = await asyncio.gather(*(put(store, number) for number in range(1, 200)), return_exceptions=True)
        refused = {type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)}
        kept += [outcome for outcome in outcomes if isinstance(outcome, int)]
        assert refused == {ServiceUnavailable}
        assert store.read(found) == kept


async def test_a_restart_when_there_is_room_again_finds_everything(disk: Path) -> None:
    async with opened(disk) as store:
        kept = [await put(store, 0)]
        fill(disk)
        kept += await put_until_refused(store, 1)
    free(disk)
    async with opened(disk) as store:
        assert store.read(found) == kept
        assert (disk / "ballast").exists()


async def test_a_daemon_can_start_on_a_full_disk_in_the_room_of_the_ballast(disk: Path) -> None:
    async with opened(disk) as store:
        await put(store, 0)
    fill(disk)
    async with opened(disk) as store:
        assert await put(store, 1) == 1
        assert store.read(found) == [0, 1]


async def test_the_ballast_comes_back_when_there_is_room(disk: Path) -> None:
    async with opened(disk) as store:
        store.release_ballast()
        fill(disk)
        assert not store.restore_ballast()
        free(disk)
        assert store.restore_ballast()
        assert (disk / "ballast").stat().st_size == BALLAST_BYTES
