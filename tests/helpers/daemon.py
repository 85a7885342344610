"""A real `wattle serve` of a test's own: started, asked, killed, started again; nothing of it outlives the test."""

import http.client
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.helpers.processes import end_processes_of

READY_SECONDS = 30.0
ANSWER_SECONDS = 60.0
KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "COVERAGE_PROCESS_START")
# Tests say how full a disk is; the one that they happen to run on does not.
SETTINGS = {"min_free_bytes": 0, "min_free_percent": 0}

_numbers = itertools.count()


@dataclass(frozen=True)
class Answer:
    """One answer of the API: the HTTP status and the whole envelope."""

    status: int
    envelope: Any

    @property
    def data(self) -> Any:
        """The `data` of a success."""
        assert self.status < 300, f"{self.status}: {self.envelope}"
        return self.envelope["data"]

    @property
    def code(self) -> str:
        """The error code of a failure."""
        assert self.status >= 400, f"{self.status}: {self.envelope}"
        return str(self.envelope["error"]["code"])


def path_of(*parts: str) -> str:
    """`/api/...` with every part quoted: path_of("workflows", "数据")."""
    return "/api/" + "/".join(quote(part, safe="") for part in parts)


class Daemon:
    """`start`, ask, `kill` or `terminate`, `start` again on the same state directory and port; `end` at last.

    `settings` become `WATTLE_*` variables: Daemon(path, max_concurrent_workers=4).
    """

    def __init__(self, directory: Path, **settings: object) -> None:
        self.directory = directory
        self.state_dir = directory / "state"
        self.log_path = directory / "daemon.log"
        self.port = 0  # given by the kernel at the first start, kept after it
        self._settings = {**SETTINGS, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    # -- life -------------------------------------------------------------------------------------

    def start(self, *options: str, **environment: str) -> None:
        """Returns when /api/health answers; raises AssertionError with the daemon's log otherwise."""
        self.begin(*options, **environment)
        self.wait_until_ready()

    def begin(self, *options: str, **environment: str) -> None:
        """Starts the process and returns at once; `environment` adds variables, such as WATTLE_FAILPOINT."""
        assert self._process is None or self._process.poll() is not None, "it runs already"
        self.directory.mkdir(parents=True, exist_ok=True)
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        name = f"wattle-test-{os.getpid()}-{next(_numbers)}"
        self._notified.bind(f"\0{name}")
        config = self.directory / "config.toml"
        config.touch()  # an empty one of our own, so that none of the machine's is read
        serve = ["serve", "--port", str(self.port), "--state-dir", str(self.state_dir), "--config", str(config)]
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        settings = {f"WATTLE_{key.upper()}": str(value) for key, value in self._settings.items()}
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "scheduler.cli.main", *serve, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**kept, "LANG": "C.UTF-8", **settings, "NOTIFY_SOCKET": f"@{name}", **environment},
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Returns when it answers."""
        assert self.becomes_ready(), f"the daemon ended before it was ready ({self.wait()}):\n{self.log()}"

    def becomes_ready(self) -> bool:
        """Waits until it answers, then True, or until it has ended, then False.

        It says itself when: it tells its address to systemd's socket, which is ours here.
        """
        with self._notified:
            message = self._read_notification()
        if not message:
            return False
        self.port = int(message.rpartition(":")[2])
        with suppress(ConnectionError):
            health = self.get("/api/health")
            assert health["pid"] == self.pid, f"another daemon answers on port {self.port}: {health}"
            return True
        return False

    def _read_notification(self) -> str:
        assert self._process is not None
        pidfd = os.pidfd_open(self._process.pid)
        try:
            readable, _, _ = select.select([self._notified.fileno(), pidfd], [], [], READY_SECONDS)
        finally:
            os.close(pidfd)
        assert readable, f"{READY_SECONDS:g} s passed: the daemon gets ready\n{self.log()}"
        return self._notified.recv(4096).decode() if self._notified.fileno() in readable else ""

    def kill(self) -> None:
        """kill -9 of the daemon alone: launcher and workers live on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._notified.close()

    def terminate(self) -> int:
        """SIGTERM to the daemon; returns its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Waits for the daemon's own end; returns its exit code, a negative signal number if it was killed."""
        assert self._process is not None
        self._notified.close()
        return self._process.wait(READY_SECONDS)

    def freeze(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        """Kills the daemon, the launcher and every worker."""
        self.kill()
        end_processes_of(self.directory)

    @property
    def pid(self) -> int:
        """The daemon's."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the daemon's process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def url(self) -> str:
        """What a client puts in front of /api."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """What the daemon and the launcher have written so far."""
        paths = (self.log_path, self.state_dir / "launcher.log")
        return "\n".join(path.read_text(errors="replace") for path in paths if path.exists())

    # -- the API ----------------------------------------------------------------------------------

    def ask(self, method: str, path: str, document: object = None) -> Answer:
        """One request on a connection of its own; raises OSError when the daemon is not there (any more)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            return Answer(response.status, json.loads(response.read()))
        except http.client.HTTPException as error:
            raise ConnectionError(f"the answer broke off: {error!r}") from error
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """The `data` of a GET that must succeed."""
        return self.ask("GET", path).data

    def post(self, path: str, document: object = None) -> Any:
        """The `data` of a POST that must succeed."""
        return self.ask("POST", path, document).data

    def create(self, name: str, workers: list[dict[str, Any]], **fields: Any) -> None:
        """Creates a workflow in a directory of the test's own."""
        place = self.directory / "work" / name
        place.mkdir(parents=True, exist_ok=True)
        self.post("/api/workflows", {"name": name, "working_dir": str(place), "workers": workers, **fields})

    def start_run(self, name: str) -> str:
        """Starts a workflow; returns the id of its run."""
        self.post(path_of("workflows", name, "start"))
        return str(self.latest_run(name)["id"])

    def latest_run(self, name: str) -> dict[str, Any]:
        """The newest run of a workflow."""
        return dict(self.get(f"/api/runs?workflow={quote(name)}&page_size=1")[0])

    def wait_for_run(self, name: str, *, timeout_seconds: float = 60.0) -> dict[str, Any]:
        """The newest run of a workflow once it has ended."""
        deadline = time.monotonic() + timeout_seconds
        while not (run := self.latest_run(name))["completed_at"]:
            assert time.monotonic() < deadline, f"{timeout_seconds:g} s passed: run of '{name}' ends; {run}"
            time.sleep(0.02)
        return run

    def workers_of(self, run_id: str) -> dict[str, dict[str, Any]]:
        """{worker name: its state in a run}."""
        return {worker["name"]: worker for worker in self.get(f"/api/runs/{run_id}/workers?page_size=1000")}


@contextmanager
def running_daemon(directory: Path, *options: str, **settings: object) -> Iterator[Daemon]:
    """A daemon that serves inside the block; behind it nothing of it is left. A failure shows its log."""
    daemon = Daemon(directory, **settings)
    try:
        daemon.start(*options)
        yield daemon
    except BaseException:
        sys.stderr.write(daemon.log())
        raise
    finally:
        daemon.end()
