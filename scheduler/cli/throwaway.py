"""A daemon of its own for the demo: on a free port, in a directory that goes away with it, leaving no process."""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from scheduler.cli.client import Client, api_path
from scheduler.cli.errors import CommandFailed

_PORTS_TRIED = 5
_READY_SECONDS = 30.0
_ASK_AGAIN_SECONDS = 0.02
_STOP_SECONDS = 20.0
# Without a daemon and without attempts the launcher ends itself after 10 s, should it miss the order to end.
_LAUNCHER_SECONDS = 15.0


class ThrowAwayDaemon:
    """`start()`, use `url`, `stop()`; the directory is made at once and removed by `stop()`."""

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="wattle-demo-")
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._launcher: int | None = None

    def start(self) -> None:
        """Returns when the daemon answers; raises CommandFailed when it ended or does not get ready."""
        for _ in range(_PORTS_TRIED):
            port = _free_port()
            self.url = f"http://127.0.0.1:{port}"
            with _interrupts_held_back():
                self._process = self._spawn(port)
            if self._wait_until_ready(self._process):
                return
        raise CommandFailed(f"no free port was left in {_PORTS_TRIED} tries")

    def log(self) -> str:
        """What the daemon has written to its stdout and stderr."""
        try:
            with open(self._log_path(), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def stop(self) -> list[str]:
        """Ends the daemon and its launcher, removes the directory; returns what did not go as it should."""
        problems = self._stop_daemon() + self._await_launcher()
        shutil.rmtree(self.directory, ignore_errors=True)
        if os.path.exists(self.directory):
            problems.append(f"{self.directory} could not be removed")
        return problems

    def _log_path(self) -> str:
        return os.path.join(self.directory, "daemon.log")

    def _spawn(self, port: int) -> "subprocess.Popen[bytes]":
        """A session of its own: Ctrl-C is for the demo, which then ends the daemon in order."""
        config = os.path.join(self.directory, "config.toml")
        command = [sys.executable, "-m", "scheduler.cli.main", "serve", "--port", str(port)]
        options = ["--state-dir", os.path.join(self.directory, "state"), "--config", config]
        with open(config, "ab"), open(self._log_path(), "wb") as log:
            return subprocess.Popen(
                [*command, *options, "--stop-launcher-on-exit"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=_environment(),
                start_new_session=True,
            )

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> bool:
        """True once this very process answers, False when its port was taken meanwhile."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if (health := self._health()) is not None and health["pid"] == process.pid:
                self._remember_launcher(health)
                return True
            if process.poll() is not None:
                if "in use" in self.log():
                    return False
                raise CommandFailed(f"the daemon ended with exit code {process.returncode} before it was ready")
            time.sleep(_ASK_AGAIN_SECONDS)
        raise CommandFailed(f"the daemon was not ready within {_READY_SECONDS:g} s")

    def _health(self) -> dict[str, Any] | None:
        try:
            with Client(self.url, timeout_seconds=5.0) as client:
                return dict(client.get(api_path("health")).data)
        except CommandFailed:
            return None

    def _remember_launcher(self, health: dict[str, Any]) -> None:
        """Keeps a descriptor of the launcher's process: unlike its number it can never mean another one."""
        pid = (health.get("launcher") or {}).get("pid")
        if pid is not None and self._launcher is None:
            with suppress(ProcessLookupError):
                self._launcher = os.pidfd_open(pid)

    def _stop_daemon(self) -> list[str]:
        if self._process is None:
            return []
        if self._launcher is None and self._process.poll() is None:
            self._remember_launcher(self._health() or {})
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return [f"the daemon did not end within {_STOP_SECONDS:g} s of SIGTERM and was killed"]
        return []

    def _await_launcher(self) -> list[str]:
        if self._launcher is None:
            return []
        gone = _ended(self._launcher, _LAUNCHER_SECONDS)
        if not gone:
            signal.pidfd_send_signal(self._launcher, signal.SIGKILL)
        os.close(self._launcher)
        self._launcher = None
        return [] if gone else [f"the launcher did not end within {_LAUNCHER_SECONDS:g} s and was killed"]


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Between the fork and the moment when we know its process an interrupt would leave it behind: it comes after.

    Not by a signal mask, which the daemon would inherit.
    """
    held: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda received, _: held.append(received)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    for caught in held:
        signal.raise_signal(caught)


def _ended(pidfd: int, timeout_seconds: float) -> bool:
    """Whether the process behind `pidfd` ends within the time."""
    waiting = select.poll()
    waiting.register(pidfd, select.POLLIN)
    return bool(waiting.poll(timeout_seconds * 1000))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment() -> dict[str, str]:
    """This environment without settings that are meant for the person's own daemon."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WATTLE_")}
