"""The size cap on real files, with a real flood."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.workers.following import Frame, parse_frames, running_hub
from workers import log_cap
from workers.log_cap import (
    LATEST_LOOK_SECONDS,
    SOONEST_LOOK_SECONDS,
    CapAction,
    LogCap,
    enforce_cap,
    look_again_seconds,
)
from workers.log_files import read_tail
from workers.logs import AttemptLogs

MEBIBYTE = 1024 * 1024
LINE = b"0123456789" * 10 + b"\n"


@pytest.fixture
def log(tmp_path: Path) -> str:
    return str(tmp_path / "a.out")


@pytest.fixture
def flood(log: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that writes as fast as it can until it is killed."""
    with open(log, "ab") as file, subprocess.Popen(["yes", LINE.decode().strip()], stdout=file) as process:
        yield process
        process.kill()


def allocated(path: str) -> int:
    return os.stat(path).st_blocks * 512


def refuse_to_punch(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def punch(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(log_cap, "_punch", punch)


def test_a_file_under_the_cap_and_one_that_is_missing_are_left_alone(log: str, tmp_path: Path) -> None:
    Path(log).write_bytes(b"x" * MEBIBYTE)
    assert enforce_cap([log, str(tmp_path / "missing")], MEBIBYTE) == []
    assert Path(log).read_bytes() == b"x" * MEBIBYTE


def test_space_reserved_behind_the_end_is_no_log(log: str) -> None:
    """XFS reserves as much as the file holds; here it is asked for."""
    keep_size = 1
    with open(log, "wb", 0) as file:
        file.write(b"x" * MEBIBYTE)
        assert log_cap._fallocate(file.fileno(), keep_size, MEBIBYTE, 4 * MEBIBYTE) == 0
    assert allocated(log) > 4 * MEBIBYTE
    assert enforce_cap([log], MEBIBYTE) == []
    assert Path(log).read_bytes() == b"x" * MEBIBYTE


def test_over_the_cap_the_middle_goes_and_offsets_stay(log: str) -> None:
    data = b"".join(b"%063d\n" % number for number in range(3 * MEBIBYTE // 64))
    Path(log).write_bytes(data)
    (action,) = enforce_cap([log], MEBIBYTE)
    kept = Path(log).read_bytes()
    assert len(kept) == len(data)
    assert kept[: 64 * 1024] == data[: 64 * 1024]
    assert kept[-MEBIBYTE // 2 :] == data[-MEBIBYTE // 2 :]
    assert allocated(log) <= MEBIBYTE // 2 + 64 * 1024 + 2 * 4096
    assert (action.method, action.path, action.reason) == ("punched", log, None)
    assert action.freed_bytes >= 2 * MEBIBYTE
    assert action.sentence == f"log size cap: dropped {action.freed_bytes} bytes from the middle of {log}"
    assert enforce_cap([log], MEBIBYTE) == []


def test_a_growing_file_never_takes_more_than_the_cap_and_what_came_since(log: str) -> None:
    chunk = b"x" * 200_000
    with open(log, "ab", 0) as file:
        for round_number in range(60):
            file.write(chunk)
            assert allocated(log) <= MEBIBYTE + len(chunk) + 4096
            enforce_cap([log], MEBIBYTE)
            assert os.stat(log).st_size == (round_number + 1) * len(chunk)
    assert allocated(log) <= MEBIBYTE


async def test_a_flooding_worker_is_capped_while_followed_and_never_waits(
    log: str, flood: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    logs = AttemptLogs("a1", log, str(tmp_path / "a.err"))
    frames: list[Frame] = []
    async with running_hub() as hub, hub.follow(logs, tail="all") as subscription:
        async for data in subscription:
            frames += parse_frames(data)
            size = os.stat(log).st_size
            enforce_cap([log], MEBIBYTE)
            # what it wrote while the hole was punched cannot be in the hole
            assert allocated(log) <= MEBIBYTE + os.stat(log).st_size - size
            if sum(frame.line.startswith("[wattle:") for frame in frames) >= 3:
                break
        flood.kill()
        flood.wait()
        hub.finish("a1")
        async for data in subscription:
            frames += parse_frames(data)
    enforce_cap([log], MEBIBYTE)
    assert allocated(log) <= MEBIBYTE
    assert os.stat(log).st_size > 3 * MEBIBYTE
    check_continuous(frames, os.stat(log).st_size)


def check_continuous(frames: list[Frame], size: int) -> None:
    """Every byte was either shown or said to be dropped."""
    position = 0
    for frame in frames:
        if frame.line.startswith("[wattle:"):
            assert frame.line == f"[wattle: {frame.out - position} bytes dropped here by the log size cap]"
        else:
            assert frame.line.encode() in LINE
            assert 0 <= frame.out - position - len(frame.line) <= 2
        position = frame.out
    assert size - position <= 1


def test_where_holes_cannot_be_punched_the_file_is_emptied_and_the_writer_goes_on(
    log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_punch(monkeypatch, errno.EOPNOTSUPP)
    with open(log, "ab", 0) as file:
        file.write(b"x" * 2 * MEBIBYTE)
        (action,) = enforce_cap([log], MEBIBYTE)
        file.write(b"after\n")
    assert action.method == "emptied"
    assert "was emptied (2097152 bytes), its file system cannot punch holes" in action.sentence
    assert read_tail(log, None).lines == ["after"]


def test_what_cannot_be_done_is_said_and_does_not_stop_the_rest(log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(log).write_bytes(b"x" * 2 * MEBIBYTE)
    link = log + ".link"
    os.symlink(log, link)
    refuse_to_punch(monkeypatch, errno.EPERM)
    actions = enforce_cap([link, log], MEBIBYTE)
    assert actions == [CapAction(log, "failed", 0, "[Errno 1] Operation not permitted")]
    assert actions[0].sentence == f"log size cap: {log} stays over the cap: [Errno 1] Operation not permitted"


def test_a_fallocate_that_fails_is_an_error(log: str) -> None:
    Path(log).write_bytes(b"x" * 8192)
    fd = os.open(log, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            log_cap._punch(fd, 0, 4096)
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("bytes_per_second", "seconds"),
    [(0, LATEST_LOOK_SECONDS), (1000, LATEST_LOOK_SECONDS), (160 * MEBIBYTE, 0.2), (1e12, SOONEST_LOOK_SECONDS)],
)
def test_the_faster_a_file_grows_the_sooner_the_next_look(bytes_per_second: float, seconds: float) -> None:
    assert look_again_seconds(bytes_per_second, 64 * MEBIBYTE) == seconds


def test_the_cap_remembers_how_fast_files_grow(log: str) -> None:
    cap = LogCap(MEBIBYTE)
    assert cap.enforce([log]).look_again_seconds == LATEST_LOOK_SECONDS
    Path(log).write_bytes(b"x" * 64 * MEBIBYTE)
    report = cap.enforce([log])
    assert [action.method for action in report.actions] == ["punched"]
    assert report.look_again_seconds < LATEST_LOOK_SECONDS
    assert cap.enforce([log]).look_again_seconds == LATEST_LOOK_SECONDS
