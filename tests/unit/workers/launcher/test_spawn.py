"""Forking one attempt: what it starts with, and which of its parts was to blame when nothing ran."""

import errno
import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from workers.launcher.spawn import TRANSIENT_ERRNOS, SpawnError, find_command, spawn

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


@pytest.fixture(autouse=True)
def stays_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The launcher enters a worker's directory itself; the tests go back."""
    monkeypatch.chdir("/")


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def spawned(tmp_path: Path, *argv: str, environment: dict[str, str] | None = None, **fields: Any) -> int:
    """Spawns in `tmp_path` and waits; returns the status as waitpid gives it."""
    spec = {"argv": list(argv), "cwd": str(tmp_path), "logs": str(tmp_path / "log"), **fields}
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.waitpid(spawn(spec, ENVIRONMENT if environment is None else environment, null), 0)[1]
    finally:
        os.close(null)


def refusal_of(tmp_path: Path, *argv: str, **fields: Any) -> tuple[str, int]:
    with pytest.raises(SpawnError) as refused:
        spawned(tmp_path, *argv, **fields)
    assert refused.value.text
    return refused.value.where, refused.value.number


# -- find_command -----------------------------------------------------------------------------------


def test_the_first_on_the_path(tmp_path: Path) -> None:
    first, second = executable(tmp_path / "a" / "tool"), executable(tmp_path / "b" / "tool")
    assert find_command("tool", f"{tmp_path}/none:{first.parent}:{second.parent}") == str(first)


def test_a_directory_or_a_plain_file_does_not_hide_it(tmp_path: Path) -> None:
    (tmp_path / "a" / "tool").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "tool").write_text("not executable")
    wanted = executable(tmp_path / "c" / "tool")
    assert find_command("tool", f"{tmp_path}/a:{tmp_path}/b:{tmp_path}/c") == str(wanted)


def test_an_empty_entry_means_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "tool")
    monkeypatch.chdir(tmp_path)
    assert find_command("tool", "/none::/neither") == "./tool"


@pytest.mark.parametrize("name", ["/bin/sh", "./tool", "sub/tool", "/none/such"])
def test_a_path_is_taken_as_it_is(name: str) -> None:
    assert find_command(name, "") == name


def test_what_is_not_there_and_what_may_not_be_executed(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("")
    for name, number in (("tool", errno.EACCES), ("none", errno.ENOENT)):
        with pytest.raises(OSError, match=name) as refused:
            find_command(name, str(tmp_path))
        assert refused.value.errno == number


# -- spawn ------------------------------------------------------------------------------------------


def test_what_it_writes_is_appended_to_its_logs(tmp_path: Path) -> None:
    (tmp_path / "log.out").write_text("before\n")
    assert spawned(tmp_path, "sh", "-c", "echo out; echo err >&2") == 0
    assert (tmp_path / "log.out").read_text() == "before\nout\n"
    assert (tmp_path / "log.err").read_text() == "err\n"
    assert stat.S_IMODE((tmp_path / "log.err").stat().st_mode) == 0o600


def test_it_starts_clean(tmp_path: Path) -> None:
    """Its directory, its environment, a session of its own, and no signal that we ignore or block."""
    ignored = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        text = "pwd; env; readlink /proc/self/fd/0; cut -d' ' -f5,6 /proc/self/stat; echo $$"
        text += "; grep -E 'SigIgn|SigBlk' /proc/self/status"
        assert spawned(tmp_path, "sh", "-c", text, environment={**ENVIRONMENT, "ONLY": "this"}) == 0
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before.items():
            signal.signal(number, handler)
    directory, *variables, stdin, group_and_session, pid, is_blocked, is_ignored = stdout_of(tmp_path)
    assert (directory, stdin) == (str(tmp_path), "/dev/null")
    assert sorted(variables) == ["ONLY=this", "PATH=/usr/bin:/bin", f"PWD={tmp_path}"]
    assert group_and_session.split() == [pid, pid]
    glibcs_own = 1 << 31 | 1 << 32  # 32 and 33, which no program may use; its posix_spawn ignores them
    assert (int(is_blocked.split()[1], 16), int(is_ignored.split()[1], 16) & ~glibcs_own) == (0, 0)


def stdout_of(tmp_path: Path) -> list[str]:
    return (tmp_path / "log.out").read_text().splitlines()


def test_the_command_is_looked_up_where_the_worker_looks(tmp_path: Path) -> None:
    executable(tmp_path / "here" / "tool", "#!/bin/sh\nexit 7\n")
    for path in (str(tmp_path / "here"), "here", "none:here"):
        assert os.waitstatus_to_exitcode(spawned(tmp_path, "tool", environment={"PATH": path})) == 7
    assert os.waitstatus_to_exitcode(spawned(tmp_path, "here/tool")) == 7


def test_bytes_that_are_no_utf_8_arrive(tmp_path: Path) -> None:
    strange = os.fsdecode(b"\xff\xfe")
    assert (
        spawned(tmp_path, "sh", "-c", 'printf %s "$1$A"', "sh", strange, environment={**ENVIRONMENT, "A": strange}) == 0
    )
    assert (tmp_path / "log.out").read_bytes() == b"\xff\xfe\xff\xfe"


@pytest.mark.parametrize(
    ("argv", "number"),
    [
        (["none-such"], errno.ENOENT),
        (["./none-such"], errno.ENOENT),
        (["./plain"], errno.EACCES),
        (["."], errno.ENOENT),
        (["/"], errno.EACCES),
        (["./no-interpreter"], errno.ENOENT),
        (["./neither"], errno.ENOEXEC),
        (["true", "x" * (1 << 18)], errno.E2BIG),
        (["tr\0ue"], errno.ENOENT),
        ([""], errno.ENOENT),
        (["true", "\ud800"], errno.EINVAL),
    ],
)
def test_the_command_is_to_blame(tmp_path: Path, argv: list[str], number: int) -> None:
    (tmp_path / "plain").write_text("")
    executable(tmp_path / "no-interpreter", "#!/none/such\n")
    executable(tmp_path / "neither", "\x00\x01\x02")
    assert refusal_of(tmp_path, *argv) == ("command", number)
    assert number not in TRANSIENT_ERRNOS


def test_the_directory_is_to_blame(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal_of(tmp_path, "true", cwd=str(tmp_path / "none")) == ("directory", errno.ENOENT)
    assert refusal_of(tmp_path, "true", cwd=str(tmp_path / "file")) == ("directory", errno.ENOTDIR)


def test_the_log_is_to_blame(tmp_path: Path) -> None:
    (tmp_path / "link.out").symlink_to(tmp_path / "elsewhere")
    assert refusal_of(tmp_path, "true", logs=str(tmp_path / "none" / "log")) == ("log", errno.ENOENT)
    assert refusal_of(tmp_path, "true", logs=str(tmp_path / "link")) == ("log", errno.ELOOP)
    assert not (tmp_path / "elsewhere").exists()


def test_a_bad_variable_is_refused(tmp_path: Path) -> None:
    assert refusal_of(tmp_path, "true", environment={**ENVIRONMENT, "A=B": "1"}) == ("command", errno.EINVAL)


def test_a_refusal_leaves_no_descriptor(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(10):
        refusal_of(tmp_path, "none-such")
        refusal_of(tmp_path, "true", cwd="/none")
        spawned(tmp_path, "true")
    assert len(os.listdir("/proc/self/fd")) == len(before)
