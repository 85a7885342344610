"""The launcher's line: the newest daemon wins, bad bytes start nothing, and nobody needs it for ever."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.launcher import FOLDER, HELD, LauncherProcess, Line
from tests.helpers.waiting import wait_until


def test_the_hello_says_who_it_is(launcher: LauncherProcess, line: Line) -> None:
    assert line.hello["pid"] == launcher.pid
    assert line.hello["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert line.hello["protocols"] == [1]
    first = line.hello
    launcher.kill()
    launcher.start()
    later = launcher.connect().hello
    assert later["journal_id"] == first["journal_id"]
    assert later["generation"] != first["generation"]


def test_a_journal_that_was_deleted_is_another_journal(launcher: LauncherProcess, line: Line) -> None:
    launcher.kill()
    (launcher.state_dir / "launcher.journal").unlink()
    launcher.start()
    assert launcher.connect().hello["journal_id"] != line.hello["journal_id"]


def test_a_newer_connection_replaces_the_older(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell(HELD.format("go"))
    line.spawn(spec)
    line.running(spec["id"])
    newer = launcher.connect()
    assert line.is_dropped()
    assert newer.listing()[spec["id"]]["state"] == "running"
    (launcher.work / "go").touch()
    assert newer.end_of(spec["id"])["code"] == 0


def test_what_a_replaced_daemon_still_sends_is_not_heard(launcher: LauncherProcess, line: Line) -> None:
    newer = launcher.connect()
    line.is_dropped()
    with pytest.raises(OSError, match=r"[Bb]roken|reset"):
        line.spawn(launcher.shell("echo ran > effects"))
    newer.sync()
    assert newer.listing() == {}
    assert not (launcher.work / "effects").exists()


def test_only_one_launcher_holds_a_directory(launcher: LauncherProcess, line: Line) -> None:
    second = subprocess.run([sys.executable, "-I", "-S", FOLDER, str(launcher.state_dir)], check=False, timeout=20)
    assert second.returncode == 75
    line.sync()


# -- bad bytes --------------------------------------------------------------------------------------


BAD_PACKETS: list[bytes] = [
    b"",
    b"\0",
    b"file",
    b"nonsense",
    b"\xff" * 1000,
    b"[" * 60_000,
    b"{}",
    b"[[]]",
    b'["spawn"]',
    b"[[1]]",
    b"[[null]]",
    b'[[["spawn"]]]',
    b"x" * 100_000,
]
BAD_OPERATIONS: list[list[Any]] = [
    ["unknown"],
    ["__init__"],
    ["spawn"],
    ["spawn", None],
    ["spawn", {}],
    ["spawn", [], "more"],
    ["stop"],
    ["stop", "x"],
    ["stop", ["x"], 1, "stop"],
    ["ack", None],
    ["ack", [["x"]]],
    ["take_back", 7],
    ["configure"],
    ["configure", "many", {}],
    ["configure", float("inf"), {}],
    ["configure", 1, 7],
    ["ping"],
    ["list", "of"],
]
BAD_FIELDS: list[dict[str, Any]] = [
    {"id": 7},
    {"id": None},
    {"id": ""},
    {"id": "a b"},
    {"id": "a\nI b"},
    {"id": "ä"},
    {"id": "\ud800"},
    {"id": "x" * 1000},
    {"argv": []},
    {"argv": None},
    {"argv": "true"},
    {"argv": ["true", 7]},
    {"env": None},
    {"env": []},
    {"env": {"A": 7}},
    {"cwd": None},
    {"logs": None},
    {"logs": 7},
    {"grace": "soon"},
    {"grace": None},
    {"timeout": "never"},
    {"timeout": []},
]


def test_bytes_that_make_no_sense(launcher: LauncherProcess) -> None:
    for packet in BAD_PACKETS:
        line = launcher.connect()
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        line.socket.send(packet)
        assert line.is_dropped(), packet[:20]
    assert_unharmed(launcher)


def test_operations_that_make_no_sense(launcher: LauncherProcess) -> None:
    """What stands behind them in the same packet is not carried out either."""
    for operation in BAD_OPERATIONS:
        line = launcher.connect()
        line.send(operation, ["spawn", launcher.spec("touch", "started")])
        assert line.is_dropped(), operation
    assert_unharmed(launcher)


def test_attempts_that_make_no_sense(launcher: LauncherProcess) -> None:
    good = launcher.spec("touch", "started")
    needed = ("id", "argv", "env", "cwd", "logs")
    lacking = [{name: value for name, value in good.items() if name != missing} for missing in needed]
    for spec in (*({**good, **wrong} for wrong in BAD_FIELDS), *lacking):
        line = launcher.connect()
        line.spawn(spec)
        assert line.is_dropped(), spec
    assert_unharmed(launcher)


def test_a_descriptor_that_is_no_file(launcher: LauncherProcess, line: Line) -> None:
    reader, writer = os.pipe()
    directory = os.open("/", os.O_RDONLY)
    socket.send_fds(line.socket, [b"file"], [reader])
    assert line.is_dropped()
    line = launcher.connect()
    socket.send_fds(line.socket, [b"file"], [directory])
    assert line.is_dropped()
    for fd in (reader, writer, directory):
        os.close(fd)
    assert_unharmed(launcher)


def assert_unharmed(launcher: LauncherProcess) -> None:
    """Nothing was begun, nothing is held, and the next daemon is served."""
    line = launcher.connect()
    assert line.listing() == {}
    assert not launcher.records("I ")
    assert line.run(launcher.shell("exit 7"))["code"] == 7
    assert os.listdir(launcher.work) == []
    launcher.kill()
    launcher.start()
    assert len(launcher.connect().listing()) == 1


# -- nobody needs it any more -----------------------------------------------------------------------


def test_alone_and_idle_it_ends_itself(launcher: LauncherProcess, line: Line) -> None:
    line.close()
    assert launcher.ended(20)
    assert launcher.wait() == 0
    assert not (launcher.state_dir / "launcher.sock").exists()


async def test_it_leaves_at_once_when_its_directory_is_gone(launcher: LauncherProcess, line: Line) -> None:
    """Even with ends that nobody has acknowledged: nobody can ask for them any more."""
    line.run(launcher.spec("true"))
    line.close()
    shutil.rmtree(launcher.state_dir)
    assert launcher.ended(5)


async def test_without_its_directory_it_still_holds_what_runs(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell(HELD.format("go"))
    line.spawn(spec)
    line.running(spec["id"])
    line.close()
    shutil.rmtree(launcher.state_dir)
    assert not launcher.ended(1.5)
    (launcher.work / "go").touch()
    await wait_until(lambda: launcher.ended(0.1), on_timeout="it leaves")
    launcher.state_dir.mkdir()
