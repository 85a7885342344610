"""The daemon: takes the state directory, puts the rooms together, runs its loops, and leaves the workers alive."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import logging
import os
import signal
import sqlite3
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from scheduler.api.app import make_app
from scheduler.api.app_keys import BUS, ENGINE, LOGS, SAMPLER, STARTED_AT, STORE
from scheduler.api.listen import ListenError
from scheduler.api.logs import frame_line
from scheduler.api.routes import ROUTES
from scheduler.api.server import Server
from scheduler.bus import Bus
from scheduler.config import ConfigError, Settings, check_listening
from scheduler.engine.disk_guard import DiskGuard
from scheduler.engine.engine import Engine
from scheduler.engine.log_linker import LogLinker
from scheduler.engine.sampler import Sampler
from scheduler.log_config import configure_logging
from scheduler.sdnotify import SystemdNotifier
from scheduler.state_dir import RUNS, WORK, database_path
from scheduler.store.database import Database, is_full
from scheduler.store.migrate import DatabaseTooNewError
from schemas.errors import ServiceUnavailable
from workers.environment import inherited_environment
from workers.inotify import Inotify
from workers.launcher_client import LauncherUnavailable
from workers.local import LocalExecutor
from workers.logs import LogHub

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from aiohttp import web

    from scheduler.engine.runner import Attempt

EX_OK, EX_SOFTWARE, EX_TEMPFAIL, EX_CONFIG = 0, 70, 75, 78
SWITCH_SECONDS: Final = 0.0005
GC_THRESHOLD: Final = 10_000
GUARD_SECONDS: Final = 2.0
GO_ON_SECONDS: Final = 1.0
HEARTBEAT_SECONDS: Final = 10.0
PROBE_SECONDS: Final = 5.0
SECOND_INTERRUPT_SECONDS: Final = 3.0

log = logging.getLogger("wattle.daemon")


def run(settings: Settings, *, stop_launcher: bool = False) -> int:
    """Serve until a signal says otherwise; returns the exit code (0, 70 internal, 75 try later, 78 configuration).

    `stop_launcher` ends the launcher, and with it every worker, when the daemon ends.
    """
    notifier = SystemdNotifier.from_environment()
    configure_logging(settings.log_level, settings.log_format)
    try:
        check_listening(settings)
        lock_fd = take_state_dir(settings.state_dir)
        try:
            return asyncio.run(Daemon(settings, notifier, stop_launcher=stop_launcher).serve())
        finally:
            os.close(lock_fd)
    except (ConfigError, ListenError) as error:
        return _refuse(str(error), error.exit_code)
    except DatabaseTooNewError as error:
        return _refuse(str(error), EX_CONFIG)
    except sqlite3.DatabaseError as error:
        if is_full(error):
            return _refuse(f"the disk of the state directory {settings.state_dir} is full", EX_TEMPFAIL)
        return _refuse(f"the database {database_path(settings.state_dir)} cannot be used: {error}", EX_CONFIG)
    except (LauncherUnavailable, StateDirTakenError) as error:
        return _refuse(str(error), EX_TEMPFAIL)
    except OSError as error:
        why = "it is a file, not a directory" if os.path.isfile(settings.state_dir) else str(error)
        return _refuse(f"the state directory {settings.state_dir} cannot be used: {why}", EX_CONFIG)


def _refuse(sentence: str, code: int) -> int:
    for line in sentence.splitlines():
        print(f"wattle: {line}", file=sys.stderr)  # noqa: T201 - the one thing a person sees of a start that failed
    return code


def keep_the_loop_quick() -> None:
    """Let the loop have the interpreter soon while a thread parses 10,000 workers, and spare it full collections.

    A waiting thread gets the interpreter after 5 ms by default, several times for one request; what lives since the
    start need not be looked through again and again.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 100)


async def go_on(loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop that the runs do not depend on; what goes wrong in it is logged, and it begins again."""
    while True:
        try:
            await loop()
        except Exception:  # metrics or log links are no reason to end the daemon
            log.exception("a background loop failed and begins again")
        await asyncio.sleep(GO_ON_SECONDS)


class StateDirTakenError(Exception):
    """Another daemon holds the state directory."""


def take_state_dir(state_dir: str) -> int:
    """Make the state directory ours alone; returns the lock's descriptor, which holds it until it is closed."""
    os.makedirs(state_dir, mode=0o700, exist_ok=True)
    os.chmod(state_dir, 0o700)
    for name in (RUNS, WORK):
        os.makedirs(os.path.join(state_dir, name), mode=0o700, exist_ok=True)
    path = os.path.join(state_dir, "daemon.lock")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 32).decode(errors="replace").strip()
        os.close(fd)
        raise StateDirTakenError(
            f"another daemon (pid {holder or 'unknown'}) holds the state directory {state_dir};"
            " stop it, or choose another one with --state-dir"
        ) from None
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd


class Daemon:
    """One start of the daemon."""

    def __init__(self, settings: Settings, notifier: SystemdNotifier, *, stop_launcher: bool) -> None:
        self._settings, self._notifier = settings, notifier
        self._stop_launcher = stop_launcher
        self._started_at = time.monotonic()
        self._stop = asyncio.Event()
        self._interrupts = 0

    async def serve(self) -> int:
        """Start everything in order, wait for the end, stop everything in the opposite order."""
        async with AsyncExitStack() as stack:
            await self._build(stack)
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._on_interrupt)
            keep_the_loop_quick()
            self._notifier.ready(f"serving {self._server.urls[0]}")
            log.info("serving %s, state in %s", " and ".join(self._server.urls), self._settings.state_dir)
            await self._stop.wait()
            self._notifier.stopping()
            if not self._interrupts:
                self._say_what_lives_on()
        return EX_OK

    async def _build(self, stack: AsyncExitStack) -> None:
        settings, bus = self._settings, Bus()
        store = Database(database_path(settings.state_dir), self._die)
        await store.open()
        stack.push_async_callback(store.close)
        executor = LocalExecutor(settings.state_dir, settings.max_concurrent_workers, inherited_environment(os.environ))
        guard = DiskGuard(settings.state_dir, settings.min_free_bytes, settings.min_free_percent)
        if guard.look():
            log.warning("%s", guard.reason)
        self._engine = engine = Engine(settings, store, executor, bus, guard)
        inotify = Inotify(asyncio.get_running_loop())
        stack.callback(inotify.close)
        hub = LogHub(frame_line, inotify)
        sampler = Sampler(engine.running_attempts, settings.log_max_bytes)
        linker = LogLinker(engine.window)

        def on_started(attempt: Attempt) -> None:
            sampler.note(attempt)
            linker.note(attempt)

        engine.pump.on_started = on_started
        values: dict[web.AppKey[Any], object] = {
            STORE: store,
            ENGINE: engine,
            BUS: bus,
            SAMPLER: sampler,
            LOGS: hub,
            STARTED_AT: self._started_at,
        }
        self._server = Server(make_app(settings, ROUTES, values), settings)
        self._server.listen()  # before a launcher is started that a port in use would leave behind
        stack.callback(self._server.close_sockets)
        await engine.start()
        stack.push_async_callback(self._close_executor, executor)
        self._run_loop(stack, "pump", engine.pump.run())
        self._run_loop(stack, "sampler", go_on(sampler.run))
        self._run_loop(stack, "log-linker", go_on(linker.run))
        self._run_loop(stack, "disk-guard", go_on(lambda: self._guard_disk(guard, store)))
        self._run_loop(stack, "heartbeat", go_on(lambda: self._beat(store, executor)))
        await self._server.start()
        stack.push_async_callback(self._server.stop)
        stack.callback(hub.close)

    async def _close_executor(self, executor: LocalExecutor) -> None:
        await executor.close(end_launcher=self._stop_launcher)

    def _run_loop(self, stack: AsyncExitStack, name: str, loop: Coroutine[object, object, None]) -> None:
        """Run one of the daemon's loops; none of them may end by itself, and one that does ends the daemon."""
        task = asyncio.get_running_loop().create_task(loop, name=name)
        task.add_done_callback(self._on_loop_end)

        async def cancel() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        stack.push_async_callback(cancel)

    def _on_loop_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._die(task.exception() or RuntimeError(f"the loop {task.get_name()} ended"))

    @staticmethod
    def _die(error: BaseException) -> None:
        """End at once, without a word to the store: what is on disk is true, and the next start reads it again."""
        log.critical("cannot go on: %r", error, exc_info=error)
        logging.shutdown()
        os._exit(EX_SOFTWARE)

    # -- loops ------------------------------------------------------------------------------------

    async def _guard_disk(self, guard: DiskGuard, store: Database) -> None:
        while True:
            await asyncio.sleep(GUARD_SECONDS)
            was_low = guard.is_low
            if guard.look() and not was_low:
                log.warning("%s", guard.reason)
            if not guard.is_low:
                store.restore_ballast()
            if was_low and not guard.is_low:
                log.info("the disk has room again")
                self._engine.pump.nudge()

    async def _beat(self, store: Database, executor: LocalExecutor) -> None:
        """Feed systemd's watchdog, but only while the store takes writes and the launcher answers."""
        watchdog = self._notifier.watchdog_timeout_seconds
        while True:
            await asyncio.sleep(min(HEARTBEAT_SECONDS, watchdog / 3) if watchdog else HEARTBEAT_SECONDS)
            try:
                await asyncio.wait_for(store.write(lambda _: None), PROBE_SECONDS)
            except TimeoutError:
                log.warning("the store did not take a write within %g s", PROBE_SECONDS)
                continue
            except ServiceUnavailable:
                pass  # a full disk is said elsewhere, and a restart would not mend it
            if await executor.ping(PROBE_SECONDS):
                self._notifier.alive()
            else:
                log.warning("the launcher did not answer a ping within %g s", PROBE_SECONDS)

    # -- the end ----------------------------------------------------------------------------------

    def _on_interrupt(self) -> None:
        """Ctrl-C: the first says what lives on and leaves soon; the second, within three seconds, stops the workers."""
        self._interrupts += 1
        running = len(self._engine.running_attempts())
        if self._interrupts == 1:
            self._say_what_lives_on()
        if not running or not sys.stdin.isatty():
            self._stop.set()
        elif self._interrupts == 1:
            print(f"Press Ctrl-C again within {SECOND_INTERRUPT_SECONDS:g} s to stop them.", file=sys.stderr)  # noqa: T201
            asyncio.get_running_loop().call_later(SECOND_INTERRUPT_SECONDS, self._leave_unless_stopping)
        elif self._interrupts == 2:
            print("Stopping them...", file=sys.stderr)  # noqa: T201
            self._stopping_workers = asyncio.get_running_loop().create_task(self._stop_workers())

    def _leave_unless_stopping(self) -> None:
        if self._interrupts == 1:
            self._stop.set()

    async def _stop_workers(self) -> None:
        await self._engine.stop_all("stopped with the daemon")
        self._stop_launcher = True
        self._stop.set()

    def _say_what_lives_on(self) -> None:
        running = self._engine.running_attempts()
        if not running or self._stop_launcher:
            return
        names = [f"{a.runner.workflow}/{a.runner.definition.worker(a.worker).name} (pid {a.pid})" for a in running[:10]]
        more = f" and {len(running) - 10} more" if len(running) > 10 else ""
        count = "1 worker lives" if len(running) == 1 else f"{len(running)} workers live"
        log.warning("%s on and will be adopted by the next 'wattle serve': %s%s", count, ", ".join(names), more)
