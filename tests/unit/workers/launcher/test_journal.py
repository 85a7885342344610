"""The journal: what stands behind a torn write is never read, and what was promised room has it."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.launcher.journal import (
    COMPACT_BYTES,
    RESERVE_BYTES,
    RESERVE_EACH_BYTES,
    STEP_BYTES,
    Journal,
    decode,
    encode,
)

TEXTS = ["G 1700000000000-42 boot journal", "I 01ABC", 'X 01ABC {"code":0,"error":"näher dran"}']
LINES = [encode(text) for text in TEXTS]
WHOLE = b"".join(LINES)


@pytest.fixture
def directory_fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """A full disk as far as this process can tell: no file may grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def path_of(tmp_path: Path) -> Path:
    return tmp_path / "launcher.journal"


def reopened(directory_fd: int) -> list[str]:
    return Journal(directory_fd).take_records()


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1)))
def test_what_was_written_is_read(texts: list[str]) -> None:
    data = b"".join(map(encode, texts))
    assert decode(data) == (texts, len(data))


@pytest.mark.parametrize("tail", [b"", b"\0", b"\0" * 4096, b"\n", b"garbage", b"0badc0de I 01ABC\n", b"\xff" * 20])
def test_reading_stops_where_the_write_was_torn(tail: bytes) -> None:
    ends = [0]
    for line in LINES:
        ends.append(ends[-1] + len(line))
    for cut in range(len(WHOLE) + 1):
        whole_lines = max(index for index, end in enumerate(ends) if end <= cut)
        if tail.startswith(b"\n") and cut + 1 in ends:
            continue  # this tail is what was missing
        assert decode(WHOLE[:cut] + tail) == (TEXTS[:whole_lines], ends[whole_lines]), cut


def test_a_changed_byte_is_never_believed() -> None:
    for at in range(len(WHOLE)):
        damaged = bytearray(WHOLE)
        damaged[at] ^= 0x01
        records, _ = decode(bytes(damaged))
        assert records == TEXTS[: len(records)], at
        assert len(records) < len(TEXTS), at


def test_a_later_launcher_goes_on_behind_the_torn_write(tmp_path: Path, directory_fd: int) -> None:
    for cut in range(len(LINES[0]), len(WHOLE)):
        path_of(tmp_path).write_bytes(WHOLE[:cut] + b"\0" * 100)
        journal = Journal(directory_fd)
        kept = journal.take_records()
        journal.append("I 02DEF")
        assert reopened(directory_fd) == [*kept, "I 02DEF"]
        assert kept == TEXTS[: len(kept)]


def test_what_stood_behind_the_torn_write_never_comes_back(tmp_path: Path, directory_fd: int) -> None:
    """Pages reach a disk in any order: a whole record may stand behind a torn one, just where our next line ends."""
    line = encode("I 02DEF")
    path_of(tmp_path).write_bytes(LINES[0] + b"\0" * len(line) + encode("I ghost"))
    Journal(directory_fd).append("I 02DEF")
    assert reopened(directory_fd) == [TEXTS[0], "I 02DEF"]


def test_it_is_for_its_owner_only(tmp_path: Path, directory_fd: int) -> None:
    Journal(directory_fd).compact(["G a b c"])
    assert path_of(tmp_path).stat().st_mode & 0o777 == 0o600


def test_it_is_never_opened_through_a_link(tmp_path: Path, directory_fd: int) -> None:
    path_of(tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        Journal(directory_fd)


def test_compaction_leaves_what_it_was_given(tmp_path: Path, directory_fd: int) -> None:
    journal = Journal(directory_fd)
    for number in range(1000):
        journal.append(f"I {number}")
    journal.compact(["G a b c", "I 999"])
    journal.append("I 1000")
    assert reopened(directory_fd) == ["G a b c", "I 999", "I 1000"]
    assert path_of(tmp_path).stat().st_size < 2 * STEP_BYTES
    assert os.listdir(tmp_path) == ["launcher.journal"]


def test_what_a_crash_left_of_a_compaction_is_not_read(tmp_path: Path, directory_fd: int) -> None:
    Journal(directory_fd).append("I 1")
    (tmp_path / "launcher.journal.new").write_bytes(encode("I 2") * 1000)
    journal = Journal(directory_fd)
    assert journal.take_records() == ["I 1"]
    journal.compact(["I 3"])
    assert reopened(directory_fd) == ["I 3"]


def test_without_room_for_a_second_copy_the_long_one_goes_on(tmp_path: Path, directory_fd: int) -> None:
    journal = Journal(directory_fd)
    journal.append("I 1")
    with files_no_longer_than(STEP_BYTES // 2):
        journal.compact(["I 2"])
    journal.append("I 3")
    assert reopened(directory_fd) == ["I 1", "I 3"]


def test_without_even_a_directory_entry_for_it_too(tmp_path: Path, directory_fd: int) -> None:
    journal = Journal(directory_fd)
    (tmp_path / "launcher.journal.new").mkdir()
    journal.compact(["I 2"])
    journal.append("I 3")
    assert reopened(directory_fd) == ["I 3"]


def test_it_asks_to_be_compacted_when_it_is_long(directory_fd: int) -> None:
    journal = Journal(directory_fd)
    text = "X " + "x" * 65536
    while not journal.is_long():
        journal.append(text)
    journal.compact(["I 1"])
    assert not journal.is_long()
    assert COMPACT_BYTES > STEP_BYTES


@pytest.mark.parametrize("running", [0, 1, 500])
def test_a_full_disk_ends_the_beginnings_before_it_loses_an_end(directory_fd: int, running: int) -> None:
    journal = Journal(directory_fd)
    assert journal.has_room(running)
    size = os.stat("launcher.journal", dir_fd=directory_fd).st_size
    with files_no_longer_than(size):
        begun = 0
        while journal.has_room(running + begun):
            journal.append(f"I {begun:026}")
            begun += 1
        end = "X " + "x" * (RESERVE_EACH_BYTES - 20)
        for _ in range(running + begun):
            journal.append(end)
        assert begun > RESERVE_BYTES // 1024
        with pytest.raises(OSError, match=r"large|short"):
            append_for_ever(journal, end)
    assert len(reopened(directory_fd)) >= begun + running + begun


def append_for_ever(journal: Journal, text: str) -> None:
    while True:
        journal.append(text)


def test_room_comes_back(directory_fd: int) -> None:
    journal = Journal(directory_fd)
    with files_no_longer_than(os.stat("launcher.journal", dir_fd=directory_fd).st_size):
        while journal.has_room(0):
            journal.append("I " + "x" * 1000)
    assert journal.has_room(0)
