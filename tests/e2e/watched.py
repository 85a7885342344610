"""A workflow of a test: created in a directory of its own, watched through the API, its workers held by files."""

from typing import Any

from tests.helpers.daemon import Daemon, path_of
from tests.helpers.waiting import wait_until

HELD = "while [ ! -e go ]; do sleep 0.02; done"
"""A command that runs until the test calls `let_go()`."""


def held_by(name: str) -> str:
    """A command that runs until the test calls `let_go(name)`."""
    return HELD.replace("-e go", f"-e {name}")


class Watched:
    """Watched(daemon, "name", {"name": "a", "command": ...}, ..., fail_fast=True) creates it."""

    def __init__(self, daemon: Daemon, name: str, *workers: dict[str, Any], **fields: Any) -> None:
        self.daemon, self.name = daemon, name
        self.place = daemon.directory / "work" / name
        daemon.create(name, list(workers), **fields)

    def path(self, *parts: str) -> str:
        """The address of the workflow, or of what is below it."""
        return path_of("workflows", self.name, *parts)

    def of(self, worker: str, *parts: str) -> str:
        """The address of a worker, or of what is below it."""
        return path_of("workers", self.name, worker, *parts)

    def start(self) -> str:
        """Starts it; returns the id of the run."""
        return self.daemon.start_run(self.name)

    def ask(self, worker: str, verb: str) -> None:
        """start, stop or restart one worker."""
        self.daemon.post(self.of(worker, verb))

    def let_go(self, name: str = "go") -> None:
        """Whatever waits for that file goes on."""
        (self.place / name).touch()

    def hold(self, name: str = "go") -> None:
        """Whatever begins to wait for that file will wait."""
        (self.place / name).unlink(missing_ok=True)

    def end(self) -> dict[str, Any]:
        """The newest run once it has ended."""
        return self.daemon.wait_for_run(self.name)

    def run(self) -> dict[str, Any]:
        """Starts it and waits for the end; returns the run."""
        self.start()
        return self.end()

    @property
    def status(self) -> str:
        """The workflow's."""
        return str(self.daemon.get(self.path())["status"])

    @property
    def statuses(self) -> dict[str, str]:
        """{worker: status}."""
        return {worker["name"]: worker["status"] for worker in self.daemon.get(path_of("workers", self.name))}

    def states(self) -> dict[str, dict[str, Any]]:
        """{worker: its state in the newest run}."""
        return self.daemon.workers_of(self.daemon.latest_run(self.name)["id"])

    def attempts(self, worker: str) -> list[dict[str, Any]]:
        """All attempts of a worker, oldest first."""
        return list(reversed(self.daemon.get(self.of(worker, "attempts"))))

    def output(self, worker: str, stream: str = "stdout") -> list[str]:
        """The last lines of a worker's log."""
        return list(self.daemon.ask("GET", self.of(worker, "logs") + f"?stream={stream}").envelope["content"])

    async def is_now(self, worker: str, status: str) -> None:
        """Waits until a worker has this status."""
        await wait_until(lambda: self.statuses[worker] == status, on_timeout=f"{self.name}/{worker} is {status}")

    async def has_written(self, *names: str) -> list[str]:
        """Waits until these files are there and complete (end in a newline); returns what is in them."""

        def read() -> list[str]:
            paths = [self.place / name for name in names]
            texts = [path.read_text() if path.exists() else "" for path in paths]
            return texts if all(text.endswith("\n") for text in texts) else []

        return await wait_until(read, on_timeout=f"{', '.join(names)} are written")
