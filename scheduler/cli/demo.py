"""The verb `demo`: the reference's data-pipeline on a daemon that exists for these few seconds only."""

import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click
import orjson

from scheduler.cli.client import Client, api_path
from scheduler.cli.errors import CommandFailed, ExitCode
from scheduler.cli.example import read_example
from scheduler.cli.follow import Follower, run_begun_by
from scheduler.cli.output import (
    Cell,
    number_cell,
    print_table,
    runtime_seconds,
    show_duration,
    show_exit,
    show_output,
    status_cell,
)
from scheduler.cli.picture import draw_graph, edge_lines
from scheduler.cli.progress import StatusLine
from scheduler.cli.terminal import Screen, stderr_screen, stdout_screen
from scheduler.cli.throwaway import ThrowAwayDaemon

_NAME = "data-pipeline"
_EXPECTED = "Sum: 15"
_LOG_SECONDS = 30.0


@click.command()
def demo() -> int:
    """Start a throw-away daemon, run a DAG of two workers on it, show all of it, and leave nothing behind.

    It takes a free port and a temporary directory; a daemon that runs here already is not touched.
    """
    screen = stdout_screen()
    with _stopped_by_signals():
        daemon = ThrowAwayDaemon()
        try:
            _show(screen, daemon)
            code = ExitCode.OK
        except KeyboardInterrupt:
            screen.lines(["", "Interrupted, cleaning up."])
            _stop_workflow(daemon)
            code = ExitCode.INTERRUPTED
        except CommandFailed as failure:
            stderr_screen().lines([*failure.lines(), "What the daemon wrote:", daemon.log()])
            code = ExitCode.FAILED
        finally:
            problems = _clean_up(daemon)
    if problems:
        stderr_screen().lines(f"wattle: {problem}" for problem in problems)
        return ExitCode.FAILED
    if code == ExitCode.OK:
        screen.line("The daemon has ended, its directory is gone. Next: 'wattle serve', and the README.")
    return code


def _show(screen: Screen, daemon: ThrowAwayDaemon) -> None:
    """The whole show; raises CommandFailed for anything that is not as promised."""
    _say(screen, "wattle serve", "a daemon of its own")
    daemon.start()
    screen.line(f"  {daemon.url}, everything in {daemon.directory}")
    with Client(daemon.url) as client:
        _say(screen, f"wattle create {_NAME}.json", "two commands, joined by a file")
        screen.line("  " + client.post(api_path("workflows"), _definition(daemon)).data)
        graph = client.get(api_path("workflows", _NAME, "graph")).data
        screen.lines("  " + line for line in [*draw_graph(screen, graph), *edge_lines(screen, graph)])
        _say(screen, f"wattle start {_NAME} --follow", "with the logs of both, live")
        begun = run_begun_by(client, client.post(api_path("workflows", _NAME, "start")), _NAME)
        run = _watch(screen, client, begun, [node["name"] for node in graph["nodes"]])
        _say(screen, f"wattle workers {_NAME}", "how it ended")
        workers = client.get(api_path("runs", run["id"], "workers")).data
    _print_workers(screen, workers)
    _print_result(screen, run, workers)


def _say(screen: Screen, command: str, why: str) -> None:
    """The command that would do the same by hand."""
    screen.lines(["", f"{screen.paint('$ ' + command, 'bold')}  {screen.paint('# ' + why, 'dim')}"])


def _definition(daemon: ThrowAwayDaemon) -> bytes:
    """The documented DAG with its files in the throw-away directory."""
    place = os.path.join(daemon.directory, _NAME)
    return read_example(_NAME).replace(f"/tmp/{_NAME}", json.dumps(place)[1:-1]).encode()  # noqa: S108


def _watch(screen: Screen, client: Client, run: Mapping[str, Any], workers: list[str]) -> Mapping[str, Any]:
    """Follows the run and both logs to the end; returns the run as it ended."""
    with StatusLine(screen) as line:
        tails = [_LogTail(client.another(), screen, line, worker) for worker in workers]
        for tail in tails:
            tail.start()
        ended = Follower(client, screen, line, run).follow()
        for tail in tails:
            tail.finish()
    return ended


class _LogTail(threading.Thread):
    """Prints one worker's log as it is written, until the daemon says that the worker has ended."""

    def __init__(self, client: Client, screen: Screen, line: StatusLine, worker: str) -> None:
        super().__init__(name=f"log of {worker}", daemon=True)
        self._client = client
        self._screen = screen
        self._line = line
        self._worker = worker
        self._failure: CommandFailed | None = None

    def run(self) -> None:
        """The thread: one stream, every line printed with the worker's name."""
        path = api_path("workers", _NAME, self._worker, "logs", "stream")
        try:
            for event in self._client.events(path, {"tail": "all"}):
                if event.kind == "end":
                    return
                if event.kind == "message":
                    self._print(orjson.loads(event.data))
            self._failure = CommandFailed(f"the log stream of '{self._worker}' stopped before the worker's end")
        except CommandFailed as failure:
            self._failure = failure

    def _print(self, frame: Mapping[str, str]) -> None:
        name = self._screen.paint(f"  {self._worker} |", "cyan" if frame["type"] == "stdout" else "yellow")
        self._line.print(f"{name} {self._screen.log_text(frame['content'])}")

    def finish(self) -> None:
        """Waits for the end of the stream; raises CommandFailed when there was none."""
        self.join(_LOG_SECONDS)
        if self._failure is not None:
            raise self._failure
        if self.is_alive():
            raise CommandFailed(f"the log stream of '{self._worker}' did not end with the worker")


def _print_workers(screen: Screen, workers: list[Mapping[str, Any]]) -> None:
    rows: list[list[Cell | str]] = [
        [
            worker["name"],
            status_cell(worker["status"]),
            number_cell(show_duration(runtime_seconds(worker))),
            number_cell(show_exit(worker)),
            ", ".join(show_output(output) for output in worker["outputs"]),
        ]
        for worker in workers
    ]
    print_table(screen, ("WORKER", "STATUS", "RUNTIME", "EXIT", "OUTPUTS"), rows)


def _print_result(screen: Screen, run: Mapping[str, Any], workers: list[Mapping[str, Any]]) -> None:
    """The content of the last file; raises CommandFailed when the run or the content is not as documented."""
    if run["status"] != "completed":
        raise CommandFailed(f"the run ended {run['status']}: {run.get('reason')}")
    path = workers[-1]["outputs"][0]["path"]
    _say(screen, f"cat {os.path.basename(path)}", "what the second made of the first one's file")
    with open(path, encoding="utf-8") as file:
        content = file.read().strip()
    screen.lines([content, ""])
    if content != _EXPECTED:
        raise CommandFailed(f"the result should be '{_EXPECTED}'")


def _stop_workflow(daemon: ThrowAwayDaemon) -> None:
    """Ends workers that an interrupt left running; a daemon that ends leaves them alone on purpose."""
    try:
        with Client(daemon.url, timeout_seconds=15.0) as client:
            client.post(api_path("workflows", _NAME, "stop"))
    except (CommandFailed, ValueError):
        # nothing ran, or there is no daemon yet
        return


def _clean_up(daemon: ThrowAwayDaemon) -> list[str]:
    """Not to be cut short: a second Ctrl-C here would leave processes. It takes bounded time."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    return daemon.stop()


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does, with everything cleaned up."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, _interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  the signature of a handler
    raise KeyboardInterrupt
