"""A daemon of its own for the demo: on a free port, in a directory that goes away with it, leaving no process."""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from scheduler.cli.client import Client, api_path
from scheduler.cli.errors import CommandFailed

# A disk that is nearly full for work is still good enough for a few bytes.
_SETTINGS = "min_free_bytes = 0\nmin_free_percent = 0\n"
_READY_SECONDS = 30.0
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
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notified:
            notified.bind(f"\0wattle-demo-{os.getpid()}-{os.path.basename(self.directory)}")
            with _interrupts_held_back():
                self._process = self._spawn(notified.getsockname())
            self.url = self._wait_until_ready(self._process, notified)
        self._remember_launcher()

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

    def _spawn(self, notify_address: bytes) -> "subprocess.Popen[bytes]":
        """A session of its own: Ctrl-C is for the demo, which then ends the daemon in order."""
        config = os.path.join(self.directory, "config.toml")
        command = [sys.executable, "-m", "scheduler.cli.main", "serve", "--port", "0", "--config", config]
        options = ["--state-dir", os.path.join(self.directory, "state"), "--stop-launcher-on-exit"]
        notify = {"NOTIFY_SOCKET": "@" + notify_address[1:].decode()}
        with open(config, "w", encoding="utf-8") as settings, open(self._log_path(), "wb") as log:
            settings.write(_SETTINGS)
            return subprocess.Popen(
                [*command, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={**_environment(), **notify},
                start_new_session=True,
            )

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]", notified: socket.socket) -> str:
        """The address, which the daemon tells systemd, and here us, in the moment when it is ready."""
        pidfd = os.pidfd_open(process.pid)
        try:
            readable, _, _ = select.select([notified, pidfd], [], [], _READY_SECONDS)
        finally:
            os.close(pidfd)
        if notified not in readable:
            ended = process.poll()
            what = f"was not ready within {_READY_SECONDS:g} s" if ended is None else f"ended with exit code {ended}"
            raise CommandFailed(f"the daemon {what}")
        found = re.search(r"http://\S+", notified.recv(4096).decode())
        if found is None:
            raise CommandFailed("the daemon is ready, but does not say where it listens")
        return found[0]

    def _remember_launcher(self) -> None:
        """Keeps a descriptor of the launcher's process: unlike its number it can never mean another one."""
        try:
            with Client(self.url, timeout_seconds=5.0) as client:
                pid = (client.get(api_path("health")).data.get("launcher") or {}).get("pid")
            self._launcher = None if pid is None else os.pidfd_open(pid)
        except (CommandFailed, ProcessLookupError):
            # the daemon or the launcher is gone already; what is left of them shows in their exit
            return

    def _stop_daemon(self) -> list[str]:
        if self._process is None:
            return []
        if self._launcher is None and self.url and self._process.poll() is None:
            self._remember_launcher()
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


def _environment() -> dict[str, str]:
    """This environment without settings that are meant for the person's own daemon."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WATTLE_")}
