"""A real launcher of a test's own, and a line to it by which every byte can be sent, good or bad."""

import itertools
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers.processes import end_processes_of
from workers import launcher

FOLDER = os.path.dirname(os.path.abspath(launcher.__file__))
ANSWER_SECONDS = 20.0
PATH = "/usr/local/bin:/usr/bin:/bin"
HELD = "while [ ! -e {} ]; do sleep 0.01; done"
"""A shell loop that ends when the test makes a file: HELD.format(path)."""

Message = dict[str, Any]

_numbers = itertools.count(1)


class LineClosed(Exception):  # noqa: N818 - a state of the world, said in words
    """The launcher has let go of this connection."""


class Line:
    """One connection as a daemon has it, without a daemon. `seen` holds every message that came, in order."""

    def __init__(self, state_dir: Path, slots: int = 4, environment: Mapping[str, str] | None = None) -> None:
        self.seen: list[Message] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self.socket.settimeout(ANSWER_SECONDS)
        folder = os.open(state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.socket.connect(f"/proc/self/fd/{folder}/launcher.sock")
        except OSError:
            self.socket.close()
            raise
        finally:
            os.close(folder)
        self.hello = self.until(lambda message: message["type"] == "hello", "the hello")
        self.send(["configure", slots, dict(environment or {"PATH": PATH})])

    def send(self, *operations: list[Any]) -> None:
        """Send operations in one packet."""
        self.socket.send(json.dumps(operations).encode())

    def send_as_file(self, *operations: list[Any]) -> None:
        """Send operations in an anonymous file, as a large message travels."""
        fd = os.memfd_create("test")
        try:
            os.write(fd, json.dumps(operations).encode())
            socket.send_fds(self.socket, [b"file"], [fd])
        finally:
            os.close(fd)

    def spawn(self, *specs: Message) -> None:
        """Hand attempts over."""
        self.send(*(["spawn", spec] for spec in specs))

    def until(self, is_wanted: Callable[[Message], object], awaited: str) -> Message:
        """Read until a message is wanted, and return it; raises LineClosed, or AssertionError after 20 s."""
        while True:
            for message in (news := self.read(awaited)):
                if is_wanted(message):
                    # what came in the same packet behind it is still to be waited for
                    self._left = news[news.index(message) + 1 :]
                    return message

    _left: Sequence[Message] = ()

    def read(self, awaited: str = "any message") -> list[Message]:
        """The messages of the next packet; raises LineClosed when there will be none."""
        if self._left:
            left, self._left = list(self._left), ()
            return left
        try:
            packet = self.socket.recv(1 << 20)
        except TimeoutError:
            raise AssertionError(f"{ANSWER_SECONDS:g} s passed: {awaited}; seen: {self.seen}") from None
        except ConnectionError:
            packet = b""
        if not packet:
            raise LineClosed(awaited)
        messages: list[Message] = json.loads(packet)
        self.seen += messages
        return messages

    def running(self, attempt_id: str) -> Message:
        """The message that says it runs, if need be one that came before."""
        for message in self.seen:
            if message.get("id") == attempt_id and message["state"] == "running":
                return message
        return self.until(lambda m: m.get("id") == attempt_id and m["state"] == "running", f"{attempt_id} runs")

    def end_of(self, attempt_id: str) -> Message:
        """The message that says how it ended; what arrived before it need not be asked for again."""
        for message in self.seen:
            if message.get("id") == attempt_id and message.get("state") == "exited":
                return message
        return self.until(lambda m: m.get("id") == attempt_id and m.get("state") == "exited", f"{attempt_id} ends")

    def run(self, spec: Message) -> Message:
        """Hand one attempt over and wait for its end."""
        self.spawn(spec)
        return self.end_of(spec["id"])

    def listing(self) -> dict[str, Message]:
        """{id: state} of everything that the launcher holds."""
        begin = len(self.seen)
        self.send(["list"])
        self.until(lambda message: message["type"] == "listed", "the end of the list")
        return {message["id"]: message for message in self.seen[begin:] if message["type"] == "attempt"}

    def sync(self) -> None:
        """Returns when everything that was sent before has been acted upon."""
        token = next(_numbers)
        self.send(["ping", token])
        self.until(lambda message: message.get("token") == token, "the pong")

    def is_dropped(self) -> bool:
        """Whether the launcher lets go of this line (waits for it)."""
        try:
            while True:
                self.read("the end of the connection")
        except LineClosed:
            return True

    def close(self) -> None:
        """Let go."""
        self.socket.close()


class LauncherProcess:
    """A launcher that a test starts, kills and starts again on the same directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state_dir, self.work = directory / "state", directory / "work"
        for folder in (self.state_dir, self.state_dir / "runs", self.work):
            folder.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: list[Line] = []

    def start(self, *, folder: str = FOLDER, **environment: str) -> None:
        """Starts it as the daemon does; returns when it listens. `environment` adds variables."""
        (self.state_dir / "launcher.sock").unlink(missing_ok=True)
        self._process = popen_launcher(self.state_dir, folder, environment)
        self.await_listening()

    def await_listening(self) -> None:
        """Returns when a connection is possible."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while not (self.state_dir / "launcher.sock").exists():
            assert self.process.poll() is None, f"the launcher ended ({self.process.returncode}): {self.log()}"
            assert time.monotonic() < deadline, f"the launcher does not listen: {self.log()}"
            time.sleep(0.002)

    def connect(self, slots: int = 4) -> Line:
        """A new line, which replaces the one before."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:  # between bind and listen it refuses
            try:
                line = Line(self.state_dir, slots)
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "the launcher refuses connections"
                time.sleep(0.002)
            else:
                self._lines.append(line)
                return line

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The latest one that was started."""
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        """Of the latest one that was started."""
        return self.process.pid

    def kill(self) -> None:
        """kill -9 of the launcher alone: its children live on."""
        self.process.kill()
        self.process.wait()

    def wait(self) -> int:
        """Waits for its own end; returns its exit code."""
        return self.process.wait(ANSWER_SECONDS)

    def ended(self, timeout_seconds: float) -> bool:
        """Whether it ends by itself within the time."""
        pidfd = os.pidfd_open(self.pid)
        try:
            return bool(select.select([pidfd], [], [], timeout_seconds)[0])
        finally:
            os.close(pidfd)

    def log(self) -> str:
        """What it has written to its stderr."""
        return (self.state_dir / "launcher.log").read_text()

    def end(self) -> None:
        """Kill it and every worker."""
        for line in self._lines:
            line.close()
        if self._process is not None:
            self.kill()
        end_processes_of(self.directory)

    # -- attempts ---------------------------------------------------------------------------------

    def spec(self, *argv: str, attempt_id: str | None = None, **fields: Any) -> Message:
        """An attempt in the test's own directory; `fields` replace what a daemon would send."""
        chosen = attempt_id or f"T{next(_numbers):06}"
        logs = str(self.state_dir / "runs" / chosen)
        whole = {"id": chosen, "argv": list(argv), "env": {}, "cwd": str(self.work), "logs": logs, "grace": 10.0}
        return {**whole, "timeout": None, **fields}

    def shell(self, text: str, **fields: Any) -> Message:
        """An attempt that runs a shell text."""
        return self.spec("sh", "-c", text, **fields)

    def stdout_of(self, attempt_id: str) -> str:
        """What it has written so far."""
        path = self.state_dir / "runs" / f"{attempt_id}.out"
        return path.read_text() if path.exists() else ""

    def records(self, kind: str = "") -> list[str]:
        """The records of the journal, of one kind or all."""
        data = (self.state_dir / "launcher.journal").read_bytes()
        texts = [line[9:].decode() for line in data.split(b"\n") if line[8:9] == b" "]
        return [text for text in texts if text.startswith(kind)]


def popen_launcher(state_dir: Path, folder: str, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Starts a launcher as the daemon does."""
    with (state_dir / "launcher.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", folder, str(state_dir)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={"PATH": PATH, **environment},
            start_new_session=True,
        )


@contextmanager
def start_launcher(state_dir: Path, **environment: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A launcher that a daemon will find; behind the block it has ended."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with popen_launcher(state_dir, FOLDER, environment) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def launcher_in(directory: Path) -> Iterator[LauncherProcess]:
    """A launcher that was not started yet; behind the block nothing of it is left. A failure shows its log."""
    made = LauncherProcess(directory)
    try:
        yield made
    except BaseException:
        with_log = made.state_dir / "launcher.log"
        sys.stderr.write(with_log.read_text() if with_log.exists() else "")
        raise
    finally:
        made.end()
