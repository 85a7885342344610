"""Reading a log by offset: tails, holes, files that shrink."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.workers.following import append
from tests.unit.workers.test_log_lines import BYTES, plain_lines
from workers import log_files
from workers.log_cap import enforce_cap
from workers.log_files import (
    AttemptLogs,
    Emptied,
    Gap,
    data_segments,
    read_segment,
    read_tail,
    splitter_at,
    tail_offset,
)
from workers.log_lines import MAX_LINE_BYTES, gap_text

BLOCK = 4096
reuse_tmp_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.out"


def write_capped(log: Path) -> int:
    """A log of 2 MiB of 64-byte lines, cut down by the cap to 1 MiB; returns where the hole ends."""
    log.write_bytes(b"".join(b"%063d\n" % number for number in range(32 * 1024)))
    (action,) = enforce_cap([str(log)], 1024 * 1024)
    assert action.method == "punched"
    with log_files.opened(str(log)) as fd:
        assert fd is not None
        (_, (start, _)) = data_segments(fd, log.stat().st_size)
    return start


def test_logs_lie_flat_in_the_directory_of_the_run() -> None:
    logs = AttemptLogs.within("/state/runs/r1", "a1")
    assert (logs.path("stdout"), logs.path("stderr")) == ("/state/runs/r1/a1.out", "/state/runs/r1/a1.err")


@reuse_tmp_path
@given(data=BYTES, count=st.integers(0, 30), block=st.integers(1, 20))
def test_the_tail_is_the_end_of_what_reading_everything_gives(log: Path, data: bytes, count: int, block: int) -> None:
    log.write_bytes(data)
    everything = plain_lines(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_files, "BLOCK_BYTES", block)
        assert read_tail(str(log), None).lines == everything
        assert read_tail(str(log), count).lines == (everything[-count:] if count else [])
        start = tail_offset(str(log), count)
    splitter = splitter_at(str(log), start)
    rest = [text for text, _ in splitter.feed(data[start:]) + splitter.finish()]
    assert rest == (everything[-count:] if count else [])


def test_a_log_that_does_not_exist_is_empty(log: Path) -> None:
    assert read_tail(str(log), 10).lines == []
    assert tail_offset(str(log), 10) == 0
    assert splitter_at(str(log), 500).position == 0


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much each read asked for."""
    asked: list[int] = []
    pread = os.pread

    def counting(fd: int, length: int, offset: int) -> bytes:
        asked.append(length)
        return pread(fd, length, offset)

    monkeypatch.setattr(os, "pread", counting)
    return asked


@pytest.mark.parametrize("length", [100, 30_000])
def test_the_tail_of_a_large_file_reads_only_its_end(log: Path, bytes_read: list[int], length: int) -> None:
    line = b"x" * (length - 1) + b"\n"
    log.write_bytes(line * (32_000_000 // length))
    tail = read_tail(str(log), 3)
    assert tail.lines == [line[:-1].decode()] * 3
    assert tail.end_offset == log.stat().st_size
    assert sum(bytes_read) < 1_000_000


def test_the_tail_does_not_read_through_a_hole(log: Path, bytes_read: list[int]) -> None:
    log.touch()
    os.truncate(log, 1 << 30)
    with log.open("ab") as file:
        file.write(b"after\n")
    assert read_tail(str(log), 100, max_bytes=None).lines == [gap_text(1 << 30), "after"]
    assert sum(bytes_read) < 1_000_000


def test_the_tail_of_a_giant_line_is_its_last_parts(log: Path) -> None:
    log.write_bytes(b"first\n" + "漢".encode() * 1_000_001)
    lines = read_tail(str(log), 2).lines
    assert len(lines) == 2
    assert set("".join(lines)) == {"漢"}
    assert all(len(line.encode()) <= MAX_LINE_BYTES for line in lines)


def test_what_is_cut_off_at_the_old_end_splits_no_character(log: Path) -> None:
    log.write_bytes("漢".encode() * 200_000)
    for extra in (b"", b"a", b"b"):
        append(str(log), extra)
        assert set("".join(read_tail(str(log), None, max_bytes=100_000).lines)) <= set("漢ab")


def test_max_bytes_bounds_what_is_read(log: Path) -> None:
    log.write_bytes(b"".join(b"%09d\n" % number for number in range(100_000)))
    lines = read_tail(str(log), None, max_bytes=100_000).lines
    assert 10_000 <= len(lines) <= 10_000 + log_files.BLOCK_BYTES // 10 + 1
    assert lines[-1] == "000099999"


def test_a_hole_is_one_line_that_says_how_much_is_missing(log: Path) -> None:
    hole_end = write_capped(log)
    lines = read_tail(str(log), None, max_bytes=None).lines
    (at,) = [index for index, line in enumerate(lines) if line.startswith("[wattle:")]
    head_bytes = 64 * 1024
    assert lines[at] == gap_text(hole_end - head_bytes)
    assert lines[:at] == [f"{number:063}" for number in range(head_bytes // 64)]
    assert lines[at + 1 :] == [f"{number:063}" for number in range(hole_end // 64, 32 * 1024)]


def test_reading_up_to_an_end_stops_there_even_in_a_hole(log: Path) -> None:
    write_capped(log)
    with log_files.opened(str(log)) as fd:
        assert fd is not None
        splitter = splitter_at(str(log), 64 * 1024)
        assert log_files.advance(fd, splitter, 1000, end=100_000) == [(gap_text(100_000 - 64 * 1024), 100_000)]
        assert log_files.advance(fd, splitter, 1000, end=100_000) is None


@pytest.mark.parametrize("beyond", [-1, 0, 1, 2, 50])
def test_the_tail_goes_on_over_a_hole(log: Path, beyond: int) -> None:
    hole_end = write_capped(log)
    everything = read_tail(str(log), None, max_bytes=None).lines
    count = (log.stat().st_size - hole_end) // 64 + beyond
    assert read_tail(str(log), count).lines == everything[-count:]


def test_reading_in_a_hole_gives_its_end_and_behind_a_shortened_file_that_it_was_emptied(log: Path) -> None:
    hole_end = write_capped(log)
    with log_files.opened(str(log)) as fd:
        assert fd is not None
        assert read_segment(fd, 64 * 1024 - 10, 100) == (b"%063d\n" % 1023)[-10:]
        assert read_segment(fd, 64 * 1024, 100) == Gap(hole_end)
        assert read_segment(fd, log.stat().st_size, 100) is None
        os.truncate(log, 10)
        assert read_segment(fd, 11, 100) == Emptied()


def test_a_link_in_place_of_a_log_is_refused(tmp_path: Path, log: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    log.symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic"):
        read_tail(str(log), 10)
