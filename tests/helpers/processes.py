"""Processes seen from outside: whose they are, whether they live, and the end of all that belong to a directory."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

GONE_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 0.01


def state_of(pid: int) -> str:
    """The state letter of /proc/PID/stat, Z for one that waits to be reaped, '' when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be reaped does not."""
    return state_of(pid) not in ("", "Z", "X")


def processes_of(place: Path | str) -> dict[int, str]:
    """{pid: what it is} of all that have anything to do with a directory: words, environment, cwd, open logs.

    Whoever runs us is left out: `pytest --basetemp=...` names the directory as well.
    """
    wanted, ours = os.fsencode(place), _self_and_ancestors()
    found = {}
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        said = b"" if pid in ours else _said_by(pid)
        if wanted in said and is_alive(pid):
            found[pid] = said.decode(errors="replace")
    return found


def parent_of(pid: int) -> int:
    """The parent's pid, 0 when there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    except OSError:
        return 0


def _self_and_ancestors() -> set[int]:
    pid, found = os.getpid(), set[int]()
    while pid:
        found.add(pid)
        pid = parent_of(pid)
    return found


def _said_by(pid: int) -> bytes:
    said = b""
    for part in ("cmdline", "environ"):
        with suppress(OSError):
            said += Path(f"/proc/{pid}/{part}").read_bytes().replace(b"\0", b" ")
    for link in ("cwd", "fd/0", "fd/1", "fd/2"):
        with suppress(OSError):
            said += b" " + os.fsencode(os.readlink(f"/proc/{pid}/{link}"))
    return said


def end_processes_of(place: Path | str) -> None:
    """Kill all of them, each by a descriptor that cannot mean a stranger; raises AssertionError for what stays."""
    deadline = time.monotonic() + GONE_SECONDS
    while left := processes_of(place):
        assert time.monotonic() < deadline, f"still there after SIGKILL: {left}"
        for pid in left:
            with suppress(ProcessLookupError):
                _kill_if_still_of(place, pid)
        time.sleep(LOOK_AGAIN_SECONDS)


def _kill_if_still_of(place: Path | str, pid: int) -> None:
    pidfd = os.pidfd_open(pid)
    try:
        if os.fsencode(place) in _said_by(pid):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)
