import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.sdnotify import SystemdNotifier


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket that receives what systemd would."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


def environ_for(systemd: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": systemd.getsockname(), "PATH": "/bin", **more}


def test_each_message_is_what_systemd_expects(systemd: socket.socket) -> None:
    notifier = SystemdNotifier.from_environment(environ_for(systemd))

    notifier.ready("2 runs")
    notifier.status("3 runs\nREADY=0")
    notifier.alive()
    notifier.stopping()

    assert [systemd.recv(200) for _ in range(4)] == [
        b"READY=1\nSTATUS=2 runs",
        b"STATUS=3 runs READY=0",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


def test_an_abstract_socket_is_reached_too() -> None:
    name = f"wattle-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        sock.setblocking(False)
        SystemdNotifier.from_environment({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert sock.recv(200) == b"READY=1"


def test_no_child_sees_the_variables(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environ_for(systemd, WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid())).items():
        monkeypatch.setenv(name, value)

    notifier = SystemdNotifier.from_environment()

    assert notifier.watchdog_timeout_seconds == 30
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & os.environ.keys()


@pytest.mark.parametrize(
    ("environ", "timeout_seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "500000"}, 0.5),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_watchdog_is_ours_only_when_systemd_says_so(environ: dict[str, str], timeout_seconds: float | None) -> None:
    assert SystemdNotifier.from_environment(environ).watchdog_timeout_seconds == timeout_seconds


def test_without_systemd_nothing_happens() -> None:
    SystemdNotifier.from_environment({}).ready("fine")


def test_an_address_that_is_none_is_warned_about_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    SystemdNotifier.from_environment({"NOTIFY_SOCKET": "vsock:2:1234"}).ready()

    assert "systemd is not told" in caplog.text


def test_a_systemd_that_does_not_read_does_not_stop_us(systemd: socket.socket) -> None:
    notifier = SystemdNotifier.from_environment(environ_for(systemd))

    for _ in range(2000):
        notifier.alive()

    assert systemd.recv(200) == b"WATCHDOG=1"


def test_a_socket_that_is_gone_does_not_stop_us(tmp_path: Path) -> None:
    SystemdNotifier(str(tmp_path / "gone")).ready()
