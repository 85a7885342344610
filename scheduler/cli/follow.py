"""Follows a run to its end: who starts and ends, what a failing worker said, and the outcome as exit code."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from scheduler.cli.client import Answer, Client, api_path
from scheduler.cli.errors import CommandFailed, ExitCode, RequestFailed, TimedOut, Unreachable
from scheduler.cli.output import print_json, runtime_seconds, show_duration, show_exit
from scheduler.cli.progress import StatusLine, counts_text, progress_text
from scheduler.cli.session import Session
from scheduler.cli.terminal import Screen, clean_text, stderr_screen

T = TypeVar("T")
Row = Mapping[str, Any]

ENDED = ("completed", "failed", "cancelled")
_SOON_SECONDS = 0.05
_LATER_SECONDS = 0.5
# A look at all workers may cost the daemon at most a fifth of its time.
_REST_PER_LOOK = 5
# Above this many workers only their ends are told, not their starts.
_STARTS_TOLD = 100
_LAST_LINES = 10
_AWAY_SECONDS = 60.0
_UNAVAILABLE = 503


def get_run(client: Client, run_id: str) -> dict[str, Any]:
    """A run with its workers counted by status."""
    return dict(client.get(api_path("runs", run_id)).data)


def latest_run(client: Client, workflow: str) -> dict[str, Any] | None:
    """The newest run of `workflow`, None before the first."""
    runs = client.get(api_path("runs"), {"workflow": workflow, "page": 1, "page_size": 1}).data
    return get_run(client, runs[0]["id"]) if runs else None


def run_begun_by(client: Client, answer: Answer, workflow: str) -> dict[str, Any]:
    """The run that a start or restart has begun: the daemon names it, or it is the newest.

    A worker that is restarted within a run goes on in that one.
    """
    named = answer.envelope.get("run")
    run = get_run(client, named) if named else latest_run(client, workflow)
    if run is None:
        raise CommandFailed(f"'{workflow}' was started, but the daemon lists no run of it to follow")
    return run


def follow_run(session: Session, run: Row) -> int:
    """Draws `run` until it has ended; returns 0 for completed, 1 for the rest.

    Ctrl-C raises KeyboardInterrupt after saying that the run goes on; so does --timeout with TimedOut.
    """
    screen = stderr_screen() if session.as_json else session.screen
    try:
        with StatusLine(screen) as line:
            ended = Follower(session.client, screen, line, run).follow()
    except KeyboardInterrupt:
        _say_goes_on(run)
        raise
    except TimedOut as error:
        raise TimedOut(f"{error.message}; {_goes_on(run)}", hint=_what_next(run)) from error
    if session.as_json:
        print_json(ended)
    else:
        screen.lines(_outcome_lines(screen, ended))
    return ExitCode.OK if ended["status"] == "completed" else ExitCode.FAILED


def _goes_on(run: Row) -> str:
    return f"run #{run['number']} of '{run['workflow']}' goes on"


def _what_next(run: Row) -> str:
    name = run["workflow"]
    return f"'wattle status {name} --wait' waits for it, 'wattle stop {name}' ends it."


def _say_goes_on(run: Row) -> None:
    stderr_screen().lines(["", f"No longer watching; {_goes_on(run)}.", _what_next(run)])


class _Seen(NamedTuple):
    """What was last told of a worker."""

    status: str
    attempts: int
    is_retrying: bool


_NOTHING = _Seen("created", 0, is_retrying=False)


class Follower:
    """Looks at a run again and again and tells what has changed."""

    def __init__(self, client: Client, screen: Screen, line: StatusLine, run: Row) -> None:
        self._client = client
        self._screen = screen
        self._line = line
        self._run = run
        self._seen: dict[str, _Seen] = {}
        self._rest_seconds = _SOON_SECONDS
        self._told_waiting = False

    def follow(self) -> Row:
        """The run as it was when it had ended."""
        while True:
            began = time.monotonic()
            run = self._patiently(lambda: get_run(self._client, self._run["id"]))
            workers = self._patiently(self._workers)
            changed = self._tell_changes(workers)
            self._tell_waiting(workers)
            if run["status"] in ENDED:
                return run
            self._line.show(progress_text(self._screen, run["workers"], runtime_seconds(run) or 0.0))
            self._rest(time.monotonic() - began, changed)

    def _workers(self) -> list[Row]:
        return list(self._client.get(api_path("runs", self._run["id"], "workers")).data)

    def _rest(self, look_seconds: float, changed: bool) -> None:
        """Sleeps: briefly while things happen, longer while nothing does or where a look is dear."""
        self._client.check_deadline()
        self._rest_seconds = _SOON_SECONDS if changed else min(self._rest_seconds * 1.5, _LATER_SECONDS)
        time.sleep(max(self._rest_seconds, look_seconds * _REST_PER_LOOK))

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Asks again while the daemon is away: workers live through its restart, so does the watching."""
        away_since = None
        while True:
            try:
                return ask()
            except (Unreachable, RequestFailed) as error:
                if isinstance(error, RequestFailed) and error.status != _UNAVAILABLE:
                    raise
                if away_since is None:
                    away_since = time.monotonic()
                    self._line.print("the daemon does not answer; its workers go on, waiting for its return")
                if time.monotonic() - away_since > _AWAY_SECONDS:
                    raise Unreachable(f"{error.message}; {_goes_on(self._run)} without it") from error
                time.sleep(_LATER_SECONDS)

    def _tell_changes(self, workers: list[Row]) -> bool:
        told = False
        for worker in workers:
            now = _Seen(worker["status"], int(worker.get("attempts") or 0), worker.get("phase") == "retrying")
            before = self._seen.get(worker["name"], _NOTHING)
            if now != before:
                self._seen[worker["name"]] = now
                self._tell(worker, before, now, few=len(workers) <= _STARTS_TOLD)
                told = True
        return told

    def _tell_waiting(self, workers: list[Row]) -> None:
        """Once, when nothing of this run has done anything for a while: what the first that could start waits for."""
        queued = [worker for worker in workers if worker.get("phase") == "queued"]
        is_busy = self._rest_seconds < _LATER_SECONDS or any(worker["status"] == "running" for worker in workers)
        if self._told_waiting or not queued or is_busy:
            return
        self._told_waiting = True
        name, reason = self._screen.paint(queued[0]["name"], "bold"), clean_text(str(queued[0].get("reason")))
        self._line.print(f"{self._screen.mark('created')} {name} {reason}")

    def _tell(self, worker: Row, before: _Seen, now: _Seen, *, few: bool) -> None:
        starts = now.status == "running" and (before.status != "running" or now.attempts > before.attempts)
        if now.status in ENDED or now.is_retrying or (starts and (few or now.attempts > 1)):
            self._line.print(worker_line(self._screen, worker))
        if now.status == "failed":
            for text in self._last_words(worker["name"]):
                self._line.print(self._screen.paint("    | ", "dim") + self._screen.log_text(text))

    def _last_words(self, worker: str) -> list[str]:
        """The last lines a failed worker wrote to stderr, or to stdout where stderr is empty."""
        path = api_path("workers", self._run["workflow"], worker, "logs")
        try:
            for stream in ("stderr", "stdout"):
                answer = self._client.get(path, {"lines": _LAST_LINES, "stream": stream})
                if content := answer.envelope.get("content"):
                    return list(map(str, content))
        except CommandFailed:
            # the log of a worker that is gone meanwhile is not worth the watching
            return []
        return []


def worker_line(screen: Screen, worker: Row) -> str:
    """`✘ process_data failed in 0.31 s: exited with code 1` for a row of `/api/runs/{id}/workers`."""
    status, attempts = str(worker["status"]), int(worker.get("attempts") or 0)
    text = f"{screen.mark(status)} {screen.paint(worker['name'], 'bold')} "
    if status == "created":
        return text + f"tries again: {clean_text(str(worker.get('reason')))}"
    if status == "running":
        return text + ("started" if attempts <= 1 else f"started again, attempt {attempts}")
    runtime = runtime_seconds(worker)
    text += status + (f" in {show_duration(runtime)}" if runtime is not None else "")
    text += f", attempt {attempts}" if attempts > 1 else ""
    why = worker.get("error_message") or worker.get("reason")
    if why is None and status == "failed":
        why = f"exit {show_exit(worker)}"
    return f"{text}: {clean_text(str(why))}" if why and status != "completed" else text


def _outcome_lines(screen: Screen, run: Row) -> list[str]:
    status = str(run["status"])
    runtime = show_duration(runtime_seconds(run))
    shown = f"run #{run['number']} of '{run['workflow']}' {status} in {runtime}: {counts_text(run['workers'])}"
    lines = [f"{screen.mark(status)} {screen.paint(shown, 'bold')}"]
    if status == "failed":
        lines.append(f"  'wattle logs {run['workflow']}/WORKER --tail all' shows all that a worker wrote.")
    return lines
