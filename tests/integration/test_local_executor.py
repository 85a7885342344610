"""The local executor with a real launcher: news in order, one connection that comes back, and no attempt twice."""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.launcher import FOLDER, HELD, LauncherProcess, launcher_in
from tests.helpers.processes import is_alive
from tests.helpers.waiting import wait_until
from workers import local
from workers.executor import Connected, Delayed, LaunchSpec, News, Report, Reported
from workers.launcher_client import LauncherUnavailable
from workers.local import LocalExecutor

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


class Heard:
    """The news of one executor, in order."""

    def __init__(self) -> None:
        self.news: list[News] = []

    def connections(self) -> list[Connected]:
        return [news for news in self.news if isinstance(news, Connected)]

    def reports(self, attempt_id: str, state: str | None = None) -> list[Report]:
        """What was said of one attempt, in lists after a connection or by itself."""
        several = [news.reports for news in self.news if not isinstance(news, Delayed)]
        every = [report for reports in several for report in reports]
        return [report for report in every if report.id == attempt_id and state in (None, report.state)]

    def ends(self) -> dict[str, Report]:
        """What was said by itself of those that have ended."""
        every = [report for news in self.news if isinstance(news, Reported) for report in news.reports]
        return {report.id: report for report in every if report.state == "exited"}

    async def end_of(self, attempt_id: str) -> Report:
        found = await wait_until(
            lambda: self.reports(attempt_id, "exited"), on_timeout=f"{attempt_id} ends; heard: {self.news}"
        )
        return found[-1]

    async def start_of(self, attempt_id: str) -> Report:
        return (await wait_until(lambda: self.reports(attempt_id, "running"), on_timeout=f"{attempt_id} runs"))[-1]

    async def connection(self, number: int) -> Connected:
        await wait_until(lambda: len(self.connections()) >= number, on_timeout=f"connection {number}")
        return self.connections()[number - 1]


Opened = tuple[LocalExecutor, Heard]


class Place:
    """A state directory with executors on it, one after the other, as daemons come and go."""

    def __init__(self, launcher: LauncherProcess) -> None:
        self.launcher = launcher
        self._opened: list[LocalExecutor] = []

    async def open(self, slots: int = 4, environment: dict[str, str] | None = None) -> Opened:
        heard = Heard()
        executor = LocalExecutor(str(self.launcher.state_dir), slots, environment or ENVIRONMENT)
        self._opened.append(executor)
        await executor.start(heard.news.append)
        return executor, heard

    async def close(self) -> None:
        for executor in self._opened:
            await executor.close()

    def reap(self) -> None:
        """Launchers that executors of this process started are our children."""
        for executor in self._opened:
            if (process := executor._client._process) is not None:
                process.wait()

    def spec(self, text: str, attempt_id: str, **fields: object) -> LaunchSpec:
        logs = str(self.launcher.state_dir / "runs" / attempt_id)
        values = {"grace_seconds": 10.0, "timeout_seconds": None, "env": {}, **fields}
        return LaunchSpec(attempt_id, ["sh", "-c", text], cwd=str(self.launcher.work), logs=logs, **values)  # type: ignore[arg-type]

    def release(self) -> None:
        (self.launcher.work / "go").touch()

    def effects(self) -> list[str]:
        path = self.launcher.work / "effects"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    with launcher_in(tmp_path) as launcher:
        made = Place(launcher)
        try:
            yield made
        finally:
            await made.close()
            launcher.end()
            made.reap()


async def test_it_starts_a_launcher_and_hears_of_every_state(place: Place) -> None:
    executor, heard = await place.open()
    assert (await heard.connection(1)).reports == []
    executor.launch([place.spec("exit 7", "A1")])
    end = await heard.end_of("A1")
    start = await heard.start_of("A1")
    assert (end.exit_code, end.signal, end.lost, end.cause) == (7, None, None, None)
    assert (start.pid, start.started_at) == (end.pid, end.started_at)
    assert executor.identity is not None
    assert is_alive(executor.identity.pid)
    assert executor.identity.protocol == 1
    executor.acknowledge(["A1"])
    assert await executor.ping(10)
    await executor.close()
    _, later = await place.open()
    assert (await later.connection(1)).reports == []


async def test_a_launcher_that_lives_is_used_again(place: Place) -> None:
    first, heard = await place.open()
    first.launch([place.spec(HELD.format("go"), "A1"), place.spec("exit 3", "A2")])
    running = await heard.start_of("A1")
    await heard.end_of("A2")
    await first.close()
    second, later = await place.open()
    assert first.identity == second.identity
    listed = {report.id: report for report in (await later.connection(1)).reports}
    assert listed["A1"] == running
    assert listed["A2"].exit_code == 3
    second.launch([place.spec("echo twice >> effects", "A2")])
    place.release()
    assert (await later.end_of("A1")).exit_code == 0
    assert await second.ping(10)
    assert place.effects() == []


@pytest.mark.parametrize("size", [1, 40_000, 60_000, 100_000])
async def test_messages_of_every_size(place: Place, size: int) -> None:
    executor, heard = await place.open()
    specs = [
        place.spec("echo ${#A} ${#B} ${#C}", f"A{number}", env={"A": "a" * size, "B": "b" * size, "C": "c" * size})
        for number in range(10)
    ]
    executor.launch(specs)
    for spec in specs:
        await heard.end_of(spec.id)
        assert place.launcher.stdout_of(spec.id).split() == [str(size)] * 3


async def test_thousands_at_once_keep_their_order(place: Place) -> None:
    """More than fits the socket's buffer: what has to wait is sent when there is room."""
    executor, heard = await place.open(slots=1)
    await heard.connection(1)
    launcher = executor.identity
    assert launcher is not None
    os.kill(launcher.pid, signal.SIGSTOP)
    executor.launch([place.spec(f"echo {number}", f"A{number}", env={"A": "x" * 6000}) for number in range(3000)])
    executor.launch([place.spec("true", "LAST")])
    for number in range(1, 3000):
        executor.stop(f"A{number}", 0.0, "stop")
    await asyncio.sleep(0)  # everything that goes without waiting is on its way
    os.kill(launcher.pid, signal.SIGCONT)
    await wait_until(lambda: len(heard.ends()) == 3001, on_timeout="all have ended", interval_seconds=0.05)
    ends = heard.ends()
    assert all(end.exit_code == 0 or end.never_started for end in ends.values())
    assert sum(end.never_started for end in ends.values()) > 2900
    in_order = [end.id for end in ends.values() if end.never_started]
    assert in_order == sorted(in_order, key=lambda name: int(name[1:]))


async def test_bytes_of_the_environment_that_are_no_utf_8(place: Place) -> None:
    """A home directory may be called so; a daemon that trips over it would start nothing at all."""
    strange = os.fsdecode(b"/home/\xff")
    executor, heard = await place.open(environment={**ENVIRONMENT, "HOME": strange})
    executor.launch([place.spec('printf %s "$HOME"', "A1")])
    assert (await heard.end_of("A1")).exit_code == 0
    assert (place.launcher.state_dir / "runs" / "A1.out").read_bytes() == b"/home/\xff"


async def test_a_stop_reaches_what_runs_and_what_waits(place: Place) -> None:
    executor, heard = await place.open(slots=1)
    executor.launch([place.spec(HELD.format("go"), "A1"), place.spec("echo ran >> effects", "A2")])
    await heard.start_of("A1")
    executor.stop("A2", 10.0, "stop")
    executor.stop("A1", 10.0, "stop")
    assert (await heard.end_of("A2")).never_started
    end = await heard.end_of("A1")
    assert (end.signal, end.cause) == (signal.SIGTERM, "stop")
    assert place.effects() == []


async def test_what_cannot_run_says_so(place: Place) -> None:
    executor, heard = await place.open()
    spec = place.spec("true", "A1")
    executor.launch([LaunchSpec("A1", spec.argv, spec.env, "/none/such", spec.logs)])
    end = await heard.end_of("A1")
    assert (end.where, end.error_number, end.error) == ("directory", 2, "No such file or directory")


# -- the line breaks --------------------------------------------------------------------------------


async def test_a_launcher_that_is_killed_is_replaced_and_its_work_found_again(place: Place) -> None:
    executor, heard = await place.open()
    first = (await heard.connection(1)).identity
    executor.launch([place.spec("echo ran >> effects; " + HELD.format("go"), "A1")])
    started = await heard.start_of("A1")
    os.kill(first.pid, signal.SIGKILL)
    second = await heard.connection(2)
    assert (second.identity.journal_id, second.identity.boot_id) == (first.journal_id, first.boot_id)
    assert second.identity.generation != first.generation
    assert [(report.id, report.state, report.pid) for report in second.reports] == [("A1", "running", started.pid)]
    executor.launch([place.spec("echo ran >> effects", "A1")])
    place.release()
    end = await heard.end_of("A1")
    assert (end.exit_code, bool(end.lost)) == (None, True)
    assert place.effects() == ["ran"]


async def test_it_comes_back_again_and_again(place: Place) -> None:
    executor, heard = await place.open()
    for number in range(1, 6):
        connected = await heard.connection(number)
        executor.launch([place.spec(f"echo {number} >> effects", f"A{number}")])
        await heard.end_of(f"A{number}")
        os.kill(connected.identity.pid, signal.SIGKILL)
    ends = {report.id: report.exit_code for report in (await heard.connection(6)).reports}
    assert ends == {f"A{number}": 0 for number in range(1, 6)}
    assert place.effects() == ["1", "2", "3", "4", "5"]


async def test_a_connection_that_is_taken_over_is_taken_back(place: Place) -> None:
    place.launcher.start()
    executor, heard = await place.open()
    for number in range(2, 12):
        await heard.connection(number - 1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
            other.connect(str(place.launcher.state_dir / "launcher.sock"))
    await heard.connection(11)
    assert await executor.ping(10)


async def test_a_launcher_that_greets_and_hangs_up_at_once_is_asked_again(place: Place) -> None:
    """Whoever hears both in one turn must still come back."""
    place.launcher.start()
    _, heard = await place.open()
    await heard.connection(1)
    hello = place.launcher.connect().hello
    place.launcher.kill()
    with rude_launcher(place.launcher, hello) as visits:
        await wait_until(lambda: len(visits) > 3, on_timeout="it is asked a fourth time")


@contextmanager
def rude_launcher(launcher: LauncherProcess, hello: dict[str, object]) -> Iterator[list[int]]:
    """Holds the lock and the socket of a launcher; the list grows with each visit."""
    visits: list[int] = []
    path = launcher.state_dir / "launcher.sock"
    path.unlink(missing_ok=True)
    with (launcher.state_dir / "launcher.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as listener:
            listener.bind(str(path))
            listener.listen(8)

            def greet() -> None:
                with listener.accept()[0] as connection:
                    connection.send(json.dumps([hello]).encode())
                visits.append(len(visits))

            asyncio.get_running_loop().add_reader(listener.fileno(), greet)
            try:
                yield visits
            finally:
                asyncio.get_running_loop().remove_reader(listener.fileno())


async def test_a_launcher_that_does_not_answer_is_an_error_in_words(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.launcher.start()
    os.kill(place.launcher.pid, signal.SIGSTOP)
    monkeypatch.setattr(local, "HELLO_SECONDS", 0.2)
    with pytest.raises(LauncherUnavailable, match="does not answer"):
        await place.open()
    monkeypatch.undo()
    os.kill(place.launcher.pid, signal.SIGCONT)
    executor, _ = await place.open()
    assert await executor.ping(10)


async def test_a_ping_without_an_answer_is_false(place: Place) -> None:
    executor, heard = await place.open()
    launcher = (await heard.connection(1)).identity
    os.kill(launcher.pid, signal.SIGSTOP)
    assert not await executor.ping(0.05)
    os.kill(launcher.pid, signal.SIGCONT)
    assert await executor.ping(10)


# -- an upgrade -------------------------------------------------------------------------------------


@pytest.fixture
def older(tmp_path: Path) -> str:
    """A launcher of another text that speaks the same protocol."""
    folder = tmp_path / "older" / "launcher"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "protocol.py").open("a") as file:
        file.write("\n# an older text\n")
    return str(folder)


async def test_an_idle_older_launcher_is_replaced(place: Place, older: str) -> None:
    place.launcher.start(folder=older)
    # as in life, it is not the new daemon's child: somebody else reaps it
    reaper = asyncio.get_running_loop().run_in_executor(None, place.launcher.wait)
    executor, heard = await place.open()
    assert await reaper == 0
    first = (await heard.connection(1)).identity
    assert first.pid != place.launcher.pid
    executor.launch([place.spec("exit 3", "A1")])
    assert (await heard.end_of("A1")).exit_code == 3
    os.kill(first.pid, signal.SIGKILL)
    assert (await heard.connection(2)).identity.pid != first.pid


async def test_a_busy_older_launcher_is_kept(place: Place, older: str) -> None:
    place.launcher.start(folder=older)
    line = place.launcher.connect()
    spec = place.launcher.shell(HELD.format("go"))
    line.spawn(spec)
    line.running(spec["id"])
    executor, heard = await place.open()
    connected = await heard.connection(1)
    assert connected.identity.pid == place.launcher.pid
    assert [report.id for report in connected.reports] == [spec["id"]]
    executor.launch([place.spec("exit 3", "A1")])
    assert (await heard.end_of("A1")).exit_code == 3
    place.release()
    assert (await heard.end_of(spec["id"])).exit_code == 0


async def test_it_ends_the_launcher_with_itself_if_told_so(place: Place) -> None:
    executor, heard = await place.open()
    launcher = (await heard.connection(1)).identity
    executor.launch([place.spec(HELD.format("go"), "A1")])
    pid = (await heard.start_of("A1")).pid
    await executor.close(end_launcher=True)
    assert not is_alive(launcher.pid)
    assert not is_alive(pid)
