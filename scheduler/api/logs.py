"""A worker's logs over HTTP: where they are, their last lines, and the live stream."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, Literal

from scheduler.api.app_keys import BUS, ENGINE, LOGS, SETTINGS, STOPPING, STORE
from scheduler.api.envelope import answer
from scheduler.api.query import read_choice, read_number, read_query
from scheduler.api.shapes import status_of
from scheduler.api.sse import PING, PING_SECONDS, ClientGoneError, EventStream, frame
from scheduler.api.workers import latest_attempt, stored_worker
from scheduler.state_dir import run_dir
from scheduler.store import runs
from schemas.paths import log_dir
from workers.log_files import STREAMS
from workers.log_links import documented_paths, link_logs
from workers.logs import AttemptLogs, Stream, read_tail

if TYPE_CHECKING:
    from aiohttp import web

    from scheduler.store.runs import StoredAttempt, WorkerState
    from scheduler.store.workflows import StoredWorker, StoredWorkflow
    from schemas.events import Event

MAX_LINES = 100_000
DEFAULT_TAIL = 100
_EVENT_ID = re.compile(r"([0-9A-Z]{26}):(\d{1,18}):(\d{1,18})")


def frame_line(attempt_id: str, stream: Stream, line: str, out_offset: int, err_offset: int) -> bytes:
    """The documented frame of one line, spaces included; its id says from where to resume.

    By hand, because a log of a million lines passes here; `sse.frame` makes everything that is rare.
    """
    data = f'{{"type": "{stream}", "content": {json.dumps(line, ensure_ascii=False)}}}'
    return f"id: {attempt_id}:{out_offset}:{err_offset}\ndata: {data}\n\n".encode()


def _logs_of(request: web.Request, attempt: StoredAttempt) -> AttemptLogs:
    return AttemptLogs.within(run_dir(request.app[SETTINGS].state_dir, attempt.run_id), attempt.id)


async def get_logs(request: web.Request) -> web.Response:
    """The two documented lines with the paths; with `?lines=N&stream=stdout` the last lines beside them."""
    query = read_query(request, "lines", "stream")
    lines = read_number(query, "lines", 1, MAX_LINES)
    stream = read_choice(query, "stream", STREAMS)
    _, worker, state = stored_worker(request)
    attempt = latest_attempt(request, state)
    folder = log_dir(worker.name, worker.working_dir)
    paths = documented_paths(folder)
    beside: dict[str, Any] = {}
    if attempt is not None:
        prefix = _logs_of(request, attempt).stdout_path.removesuffix(".out")
        paths = await asyncio.to_thread(link_logs, folder, prefix)
    if lines is not None or stream is not None:
        wanted = [stream] if stream else list(STREAMS)
        logs = None if attempt is None else _logs_of(request, attempt)
        beside["content"] = await asyncio.to_thread(_tails, logs, wanted, lines)
    return answer(request, [f"{name}: {path}" for name, path in paths.items()], **beside)


def _tails(logs: AttemptLogs | None, streams: list[Any], lines: int | None) -> list[str]:
    if logs is None:
        return []
    return [line for stream in streams for line in read_tail(logs.path(stream), lines or DEFAULT_TAIL).lines]


async def stream_logs(request: web.Request) -> web.StreamResponse:
    """The backlog, then every line as it is written, until the worker has ended; then `event: end`."""
    query = read_query(request, "tail", "stream")
    tail: int | Literal["all"] = (
        "all" if query.get("tail") == "all" else _default(read_number(query, "tail", 0, MAX_LINES, or_word="all"))
    )
    stream = read_choice(query, "stream", STREAMS)
    stored, worker, _ = stored_worker(request)
    follow = _Follow(request, stored, worker, tail, (stream,) if stream else STREAMS)  # type: ignore[arg-type]
    return await follow.run()


def _default(tail: int | None) -> int:
    return DEFAULT_TAIL if tail is None else tail


class _Follow:
    """One client that follows one worker through its attempts."""

    def __init__(
        self,
        request: web.Request,
        stored: StoredWorkflow,
        worker: StoredWorker,
        tail: int | Literal["all"],
        streams: tuple[Stream, ...],
    ) -> None:
        self._request, self._stored, self._worker = request, stored, worker
        self._tail, self._streams = tail, streams
        self._changed, self._stopping = asyncio.Event(), request.app[STOPPING]
        self._stream = EventStream(request)

    async def run(self) -> web.StreamResponse:
        stop_listening = self._request.app[BUS].listen(self._on_event)
        try:
            await self._stream.open()
            await self._follow_attempts()
        except ClientGoneError:
            pass  # nobody reads any more
        finally:
            stop_listening()
        return self._stream.response

    def _on_event(self, event: Event) -> None:
        if event.worker_id == self._worker.id or (event.workflow_id == self._stored.id and event.worker_id is None):
            self._changed.set()

    async def _follow_attempts(self) -> None:
        resume = self._resume_from()
        followed: StoredAttempt | None = None
        while not self._stopping.is_set():
            self._changed.clear()
            state = self._state()
            latest = latest_attempt(self._request, state)
            attempt = self._after(followed) if followed is not None else self._first(latest, resume)
            if attempt is not None:
                followed = attempt
                if not await self._follow(attempt, resume):
                    return
                self._tail, resume = "all", None
            elif self._request.app[ENGINE].is_open(self._stored.id, self._worker.name):
                await self._wait_for_change()
            else:
                await self._stream.send(frame(self._end(state, latest), event="end"))
                return

    def _first(self, latest: StoredAttempt | None, resume: tuple[str, int, int] | None) -> StoredAttempt | None:
        """The latest attempt; in the same run, the earlier one in which the client broke off: it lacks the rest."""
        if latest is None or resume is None:
            return latest
        begun = self._request.app[STORE].read(lambda db: runs.get_attempt(db, resume[0]))
        is_of_run = begun is not None and (begun.worker_id, begun.run) == (latest.worker_id, latest.run)
        return begun if is_of_run else latest

    def _after(self, followed: StoredAttempt) -> StoredAttempt | None:
        """The next attempt, which need not be the latest: those that fail at once follow each other quickly."""
        return self._request.app[STORE].read(lambda db: runs.next_attempt(db, followed))

    def _state(self) -> WorkerState | None:
        store = self._request.app[STORE]
        base_run = store.read(lambda db: runs.base_run(db, self._stored.id))
        return store.read(lambda db: runs.current_state(db, self._worker.id, base_run))

    def _resume_from(self) -> tuple[str, int, int] | None:
        found = _EVENT_ID.fullmatch(self._request.headers.get("Last-Event-ID", ""))
        return (found[1], int(found[2]), int(found[3])) if found else None

    async def _follow(self, attempt: StoredAttempt, resume: tuple[str, int, int] | None) -> bool:
        """Send an attempt's lines to its end; False when the client was too slow and must come again."""
        hub = self._request.app[LOGS]
        here = (resume[1], resume[2]) if resume is not None and resume[0] == attempt.id else None
        tail = "all" if resume is not None and here is None else self._tail
        subscription = hub.follow(
            _logs_of(self._request, attempt),
            tail=tail,
            resume=here,
            streams=self._streams,
            idle_seconds=PING_SECONDS,
        )
        async with subscription:
            self._request.app[ENGINE].when_over(attempt.id, lambda: hub.finish(attempt.id))
            async for frames in subscription:
                await self._stream.send(frames or PING)
        if subscription.overflowed:
            await self._stream.send(frame({"reason": "too slow, resume with Last-Event-ID"}, event="resync"))
        return not subscription.overflowed and subscription.outcome != "closed"

    async def _wait_for_change(self) -> None:
        waits = [asyncio.ensure_future(each.wait()) for each in (self._changed, self._stopping)]
        try:
            done, _ = await asyncio.wait(waits, timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        if not done:
            await self._stream.send(PING)

    @staticmethod
    def _end(state: WorkerState | None, attempt: StoredAttempt | None) -> dict[str, Any]:
        return {
            "status": status_of(state),
            "exit_code": attempt.exit_code if attempt else None,
            "signal": attempt.signal if attempt else None,
            "reason": state.reason if state else None,
        }
