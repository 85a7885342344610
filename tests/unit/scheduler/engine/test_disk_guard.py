"""The disk guard: below the floor nothing starts, and the reason is said."""

import os
from pathlib import Path

import pytest

from scheduler.engine.disk_guard import DiskGuard
from schemas.errors import ServiceUnavailable

MIB = 2**20


def test_room_enough(tmp_path: Path) -> None:
    guard = DiskGuard(str(tmp_path), min_free_bytes=0, min_free_percent=0)
    assert guard.look() is False
    guard.check()
    found = os.statvfs(tmp_path)
    assert guard.room.total_bytes == found.f_blocks * found.f_frsize
    assert 0 < guard.room.free_bytes <= guard.room.total_bytes


def test_nothing_is_refused_before_the_first_look(tmp_path: Path) -> None:
    DiskGuard(str(tmp_path), min_free_bytes=2**62, min_free_percent=100).check()


@pytest.mark.parametrize(("min_bytes", "min_percent"), [(2**62, 0.0), (0, 100.0)])
def test_either_floor_counts(tmp_path: Path, min_bytes: int, min_percent: float) -> None:
    guard = DiskGuard(str(tmp_path), min_bytes, min_percent)
    assert guard.look() is True
    with pytest.raises(ServiceUnavailable) as caught:
        guard.check()
    free = guard.room.free_bytes // MIB
    assert caught.value.reason == (
        f"the disk of the state directory has only {free} MiB free (floor: {min_bytes // MIB} MiB and"
        f" {min_percent:g} %); free some space, running workers go on"
    )
    assert caught.value.retry_after_seconds == 5


def test_it_opens_again_at_the_next_look(tmp_path: Path) -> None:
    guard = DiskGuard(str(tmp_path), 2**62, 0)
    guard.look()
    guard._min_free_bytes = 0
    with pytest.raises(ServiceUnavailable):
        guard.check()
    assert guard.look() is False
    guard.check()
