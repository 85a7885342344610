"""A daemon that must not or cannot start says why in a sentence, with an exit code for systemd, and changes nothing."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.daemon import Daemon, running_daemon
from tests.helpers.processes import processes_of

TRY_LATER, CONFIGURATION = 75, 78


Done = subprocess.CompletedProcess[str]


def serve(state_dir: Path, *options: str, port: int = 0, **environment: str) -> Done:
    """A start that is expected to end by itself; no config file of the machine is read."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    command = [sys.executable, "-m", "scheduler.cli.main", "serve", "--port", str(port), "--state-dir", str(state_dir)]
    return subprocess.run(
        [*command, "--config", os.devnull, *options],
        env={**kept, "LANG": "C.UTF-8", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def assert_refused(done: Done, code: int, *fragments: str) -> None:
    """It ended with this code and one sentence on stderr that says all of this."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    sentence, end, rest = done.stderr.partition("\n")
    assert (sentence[:8], end, rest) == ("wattle: ", "\n", "")
    for fragment in fragments:
        assert fragment in sentence


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The state directory of a daemon that has run a workflow and was stopped."""
    with running_daemon(tmp_path / "past") as daemon:
        daemon.create("past", [{"name": "a", "command": "true"}])
        daemon.start_run("past")
        daemon.wait_for_run("past")
        assert daemon.terminate() == 0
    return daemon.state_dir


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = serve(tmp_path / "state", port=port)
    assert_refused(done, TRY_LATER, f"127.0.0.1:{port}", "the port is in use", "--port")
    assert processes_of(tmp_path) == {}


def test_a_state_directory_that_another_daemon_holds(daemon: Daemon) -> None:
    done = serve(daemon.state_dir)
    assert_refused(done, TRY_LATER, f"another daemon (pid {daemon.pid})", str(daemon.state_dir), "--state-dir")
    assert daemon.get("/api/health")["status"] == "ok"


def test_a_database_of_a_newer_version(stopped: Path) -> None:
    database = stopped / "wattle.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = database.read_bytes()
    done = serve(stopped)
    assert_refused(done, CONFIGURATION, "the database has schema 999", "start the newer version again")
    assert database.read_bytes() == before
    assert processes_of(stopped) == {}


@pytest.mark.parametrize("damage", ["no database at all", "cut off in the middle"])
def test_a_database_that_is_broken(stopped: Path, damage: str) -> None:
    database = stopped / "wattle.db"
    content = b"this is no database" * 1000 if damage.startswith("no") else database.read_bytes()[:5000]
    database.write_bytes(content)
    done = serve(stopped)
    assert_refused(done, CONFIGURATION, f"the database {database} cannot be used")
    assert database.read_bytes() == content
    assert processes_of(stopped) == {}


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_a_public_address(tmp_path: Path, address: str) -> None:
    done = serve(tmp_path / "state", "--host", address)
    assert_refused(done, CONFIGURATION, f"'{address}' can be reached from other machines")
    assert not (tmp_path / "state").exists()


def test_keys_that_do_not_exist_yet(tmp_path: Path) -> None:
    assert_refused(serve(tmp_path / "state", WATTLE_AUTH="required"), CONFIGURATION, "'required' is not available")
    assert not (tmp_path / "state").exists()


def test_a_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = serve(tmp_path / "file" / "state")
    assert_refused(done, CONFIGURATION, f"the state directory {tmp_path}/file/state cannot be used")


def test_settings_that_are_wrong_are_told_all_at_once(tmp_path: Path) -> None:
    done = serve(tmp_path / "state", WATTLE_MAX_STREAMS="many", WATTLE_LOG_LEVEL="loud")
    assert done.returncode == CONFIGURATION
    assert "Traceback" not in done.stderr
    assert [line.split(" must")[0] for line in sorted(done.stderr.splitlines())] == [
        "wattle: WATTLE_LOG_LEVEL",
        "wattle: WATTLE_MAX_STREAMS",
    ]


def test_a_copy_of_a_state_directory_is_a_state_directory(stopped: Path) -> None:
    """What a person restores from a backup starts and still knows its past."""
    copy = stopped.parent.parent / "copy"
    shutil.copytree(stopped, copy / "state", ignore=shutil.ignore_patterns("*.sock"))
    with running_daemon(copy) as daemon:
        assert [run["status"] for run in daemon.get("/api/runs?workflow=past")] == ["completed"]
