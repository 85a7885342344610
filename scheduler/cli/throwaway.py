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
from contextlib import contextmanager, suppress

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
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._notify_name = f"wattle-demo-{os.getpid()}-{os.path.basename(self.directory)}"
        self._notified.bind(f"\0{self._notify_name}")

    def start(self) -> None:
        """Returns when the daemon answers; raises CommandFailed when it ended or does not get ready."""
        with _interrupts_held_back():
            self._process = self._spawn()
        self.url = self._wait_until_ready(self._process)

    def log(self) -> str:
        """What the daemon has written to its stdout and stderr."""
        try:
            with open(self._log_path(), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def stop(self) -> list[str]:
        """Ends the daemon and its launcher, removes the directory; returns what did not go as it should."""
        problems = self._stop_daemon() + _await_the_rest(self.directory)
        self._notified.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        if os.path.exists(self.directory):
            problems.append(f"{self.directory} could not be removed")
        return problems

    def _log_path(self) -> str:
        return os.path.join(self.directory, "daemon.log")

    def _spawn(self) -> "subprocess.Popen[bytes]":
        """A session of its own: Ctrl-C is for the demo, which then ends the daemon in order."""
        config = os.path.join(self.directory, "config.toml")
        command = [sys.executable, "-m", "scheduler.cli.main", "serve", "--port", "0", "--config", config]
        options = ["--state-dir", os.path.join(self.directory, "state"), "--stop-launcher-on-exit"]
        with open(config, "w", encoding="utf-8") as settings, open(self._log_path(), "wb") as log:
            settings.write(_SETTINGS)
            return subprocess.Popen(
                [*command, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={**_environment(), "NOTIFY_SOCKET": f"@{self._notify_name}"},
                start_new_session=True,
            )

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> str:
        """The address, which the daemon tells systemd, and here us, in the moment when it is ready."""
        notified, pidfd = self._notified.fileno(), os.pidfd_open(process.pid)
        try:
            readable, _, _ = select.select([notified, pidfd], [], [], _READY_SECONDS)
        finally:
            os.close(pidfd)
        if notified not in readable:
            ended = process.poll()
            what = f"was not ready within {_READY_SECONDS:g} s" if ended is None else f"ended with exit code {ended}"
            raise CommandFailed(f"the daemon {what}")
        found = re.search(r"http://\S+", self._notified.recv(4096).decode())
        if found is None:
            raise CommandFailed("the daemon is ready, but does not say where it listens")
        return found[0]

    def _stop_daemon(self) -> list[str]:
        process = self._process
        if process is None:
            return []
        if not self.url:
            # killed in the middle of its start it could not end the launcher, which it may have started already
            with suppress(CommandFailed):
                self._wait_until_ready(process)
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return [f"the daemon did not end within {_STOP_SECONDS:g} s of SIGTERM and was killed"]
        return []


def _await_the_rest(directory: str) -> list[str]:
    """Waits for the launcher, and whatever else names our directory; what does not end is killed and reported."""
    problems = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        if not _names(pid, directory):
            continue
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(int(pid))
            # asked again: the number may have gone to another process, the descriptor from now on cannot
            if _names(pid, directory) and not _ended(pidfd, _LAUNCHER_SECONDS):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                problems.append(f"process {pid} did not end within {_LAUNCHER_SECONDS:g} s and was killed")
            os.close(pidfd)
    return problems


def _names(pid: str, directory: str) -> bool:
    """Whether the command line of a process names `directory`, which nobody else has."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return os.fsencode(directory) in file.read()
    except OSError:
        return False


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
