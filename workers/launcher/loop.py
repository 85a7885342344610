"""The launcher's loop: a queue, a number of slots, what runs, what has ended, and at most one daemon to tell."""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import resource  # noqa: F401 - os.wait4 would import it at the first end: with no descriptor free, or uninstalled by then
import select
import signal
import time
import traceback
from typing import TYPE_CHECKING

from .attempt import EXITED, QUEUED, RUNNING, Attempt, check_environment, check_seconds, check_spec
from .clock import Timers, boottime, now_ms
from .failpoint import Failpoint
from .journal import Journal
from .link import SOCKET_NAME, Link
from .log import say
from .processes import MARKER, OwnMemory, read_stat, read_text, reset_oom_score, signal_group
from .protocol import PROTOCOLS, SOURCE
from .replay import end_record, intent_record, pid_record, read_begun, records_of
from .setup import prepare_process, take_lock
from .spawn import TRANSIENT_ERRNOS, SpawnError, spawn
from .trees import Trees, sweep_orphans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

IDLE_EXIT_SECONDS = 10.0
ORPHAN_TICK_SECONDS = 0.5
LEFT_BEHIND_POLL_SECONDS = 0.02
JOURNAL_RETRY_SECONDS = 0.5
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
RETRY_SPAWN_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

failpoint = Failpoint(os.environ.pop("WATTLE_LAUNCHER_FAILPOINT", ""))


class Launcher:
    """One instance for one state directory."""

    def __init__(self, directory: str) -> None:
        self.directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.lock_fd = take_lock(self.directory_fd)
        self.boot_id = read_text("/proc/sys/kernel/random/boot_id").strip()
        self.generation = f"{now_ms()}-{os.getpid()}"
        self.attempts: dict[str, Attempt] = {}
        self.queue: collections.deque[Attempt] = collections.deque()
        self.running, self.slots = 0, 1
        self.environment: dict[str, str] = {}
        self.timers = Timers()
        self.watched: dict[int, Attempt] = {}
        self.asked_to_end = self.ending = self.blocked = self.ticking = False
        self.trees = Trees()
        self.memory = OwnMemory()
        self.epoll = select.epoll()
        self.null_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self.oom_inherited = read_text("/proc/self/oom_score_adj").strip() not in ("", "0")
        self.wake_fd = prepare_process(self._on_sigterm)
        self.epoll.register(self.wake_fd, select.EPOLLIN)
        self.journal = Journal(self.directory_fd)
        self.link = Link(directory)
        self.epoll.register(self.link.listener.fileno(), select.EPOLLIN)
        self._replay()

    def _on_sigterm(self, *_: object) -> None:
        self.asked_to_end = True  # acted on by the loop, because a handler may interrupt anything

    # -- what was before: a launcher that died, a host that restarted -----------------------------

    def _replay(self) -> None:
        """Bring the attempts of earlier launchers to a truthful state; only ends that were written down are known."""
        boot_id, self.journal_id, begun = read_begun(self.journal.take_records())
        self.journal.append(self._generation_record())
        for attempt in begun.values():
            self.attempts[attempt.id] = attempt
            if attempt.state == EXITED:
                continue
            if boot_id != self.boot_id:  # whoever has that pid now is a stranger: it is not even looked at
                self.finish(attempt, lost="the host restarted while it ran")
            else:
                self._adopt(attempt)

    def _generation_record(self) -> str:
        return f"G {self.generation} {self.boot_id} {self.journal_id}"

    def _adopt(self, attempt: Attempt) -> None:
        """Watch the child of a launcher that died: it can be stopped, but its exit code can reach nobody."""
        attempt.adopted = True
        if not attempt.pid:  # forked perhaps, but not written down
            attempt.pid = self.trees.eldest(attempt.id)
        try:
            pidfd = os.pidfd_open(attempt.pid) if attempt.pid else -1
        except OSError:
            pidfd = -1
        stat = read_stat(attempt.pid) if pidfd >= 0 else None
        if stat is None or stat.state in "ZX" or attempt.ticks not in (0, stat.ticks):
            if pidfd >= 0:
                os.close(pidfd)
            self.trees.kill(attempt)
            self.finish(attempt, lost="the launcher died while it ran, and nobody saw its end")
            return
        attempt.pidfd, attempt.ticks = pidfd, stat.ticks
        attempt.started_at = attempt.started_at or now_ms()
        self._watch(attempt)

    # -- beginning --------------------------------------------------------------------------------

    def take_in(self, spec: dict[str, Any]) -> None:
        """Queue an attempt. A known id is answered with its state and never forked again."""
        check_spec(spec)
        known = self.attempts.get(spec["id"])
        if known is not None:
            self.link.tell(known.state_message())
            return
        attempt = self.attempts[spec["id"]] = Attempt(spec["id"], spec)
        self.queue.append(attempt)

    def fill_slots(self) -> None:
        """Start queued attempts while there are slots; a machine without room stops the queue, not the attempts."""
        while self.queue and self.running < self.slots and not self.blocked and not self.ending:
            self._begin(self.queue.popleft())

    def _begin(self, attempt: Attempt) -> None:
        try:
            if not self.journal.has_room(self.running + 1):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.journal.append(intent_record(attempt))
        except OSError as error:
            self._postpone(attempt, f"the launcher's journal: {error.strerror}")
            return
        failpoint("launcher.intent")
        spec: dict[str, Any] = attempt.spec or {}
        try:
            attempt.pid = spawn(spec, {**self.environment, **spec["env"], MARKER: attempt.id}, self.null_fd)
        except SpawnError as refusal:
            self._refuse(attempt, refusal)
            return
        failpoint("launcher.forked")
        self._began(attempt)

    def _began(self, attempt: Attempt) -> None:
        attempt.started_at = now_ms()
        stat = read_stat(attempt.pid)
        attempt.ticks = stat.ticks if stat else 0
        self._append_or_shrug(pid_record(attempt))
        failpoint("launcher.pid")
        if self.oom_inherited:
            reset_oom_score(attempt.pid)
        attempt.pidfd = os.pidfd_open(attempt.pid)  # cannot lack a descriptor: two were closed a moment ago
        self._watch(attempt)
        attempt.spec = None
        self.link.tell(attempt.state_message())

    def _watch(self, attempt: Attempt) -> None:
        attempt.state = RUNNING
        self.running += 1
        self.watched[attempt.pidfd] = attempt
        self.epoll.register(attempt.pidfd, select.EPOLLIN)
        if attempt.timeout:
            started = (attempt.ticks + 1) / TICKS_A_SECOND  # or a little before
            self.timers.at(started + attempt.timeout, self._on_timeout, attempt)
        if not self.ticking:
            self.ticking = True
            self.timers.after(ORPHAN_TICK_SECONDS, self._sweep_orphans)

    def _append_or_shrug(self, record: str) -> None:
        """A record that only a later launcher would miss: without room for it the attempt goes on."""
        try:
            self.journal.append(record)
        except OSError as error:
            say(f"not in the journal: {record} ({error})")

    def _refuse(self, attempt: Attempt, refusal: SpawnError) -> None:
        """Nothing ran: the machine had no room (it waits and is not burnt), or this can never run (it has failed)."""
        if refusal.number in TRANSIENT_ERRNOS:
            self._append_or_shrug(f"N {attempt.id}")
            self._postpone(attempt, f"{refusal.where}: {refusal.text}")
            return
        self.finish(attempt, errno=refusal.number, where=refusal.where, error=refusal.text)

    def _postpone(self, attempt: Attempt, why: str) -> None:
        pause = RETRY_SPAWN_SECONDS[min(attempt.refusals, len(RETRY_SPAWN_SECONDS) - 1)]
        attempt.refusals += 1
        attempt.pid = 0
        self.queue.appendleft(attempt)
        self.blocked = True
        self.timers.after(pause, self._unblock)
        self.link.tell({"type": "delayed", "id": attempt.id, "reason": why})

    def _unblock(self, _: None) -> None:
        self.blocked = False

    # -- ending -----------------------------------------------------------------------------------

    def on_exit(self, attempt: Attempt) -> None:
        """Peek, sweep the group while the zombie pins its id, write the end down, and only then reap."""
        how = self._peek(attempt)
        if how is None:
            return
        self._unwatch(attempt)
        in_grace = attempt.kill_at is not None and boottime() < attempt.kill_at
        if in_grace and self.trees.left_behind(attempt):  # it has the same grace as the leader
            self.timers.after(LEFT_BEHIND_POLL_SECONDS, self.on_exit, attempt)
            return
        if attempt.adopted or attempt.cause is not None:
            self.trees.kill(attempt)
        else:
            signal_group(attempt.pid, signal.SIGKILL)
        self.finish(attempt, **how)

    def _peek(self, attempt: Attempt) -> dict[str, Any] | None:
        """How it ended, None if it has not; not reaped yet."""
        if attempt.adopted:
            return {"lost": "the launcher that started it died, so nobody got its exit code"}
        seen = os.waitid(os.P_PID, attempt.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if seen is None:
            return None
        failpoint("launcher.peek")
        attempt.leader_ended = True
        exited = seen.si_code == os.CLD_EXITED
        return {"code": seen.si_status if exited else None, "signal": None if exited else seen.si_status}

    def _unwatch(self, attempt: Attempt) -> None:
        if attempt.pidfd < 0:
            return
        self.epoll.unregister(attempt.pidfd)
        del self.watched[attempt.pidfd]
        os.close(attempt.pidfd)
        attempt.pidfd = -1
        self.running -= 1

    def finish(self, attempt: Attempt, **how: Any) -> None:
        """Record an end, reap, tell. Without room in the journal the zombie is kept: the end waits in the kernel."""
        end: dict[str, Any] = {"type": "attempt", "id": attempt.id, "state": EXITED, "at": now_ms()}
        end.update(how, pid=attempt.pid, started_at=attempt.started_at, cause=attempt.cause)
        try:
            self.journal.append(end_record(attempt.id, end))
        except OSError:
            self.timers.after(JOURNAL_RETRY_SECONDS, lambda _: self.finish(attempt, **how))
            return
        failpoint("launcher.exit")
        if attempt.leader_ended:
            usage = os.wait4(attempt.pid, 0)[2]
            end["cpu_seconds"] = round(usage.ru_utime + usage.ru_stime, 6)
            # The kernel counts a child's memory before its exec too, and that was ours: only more than that is its own.
            peak = usage.ru_maxrss * 1024
            end["peak_memory_bytes"] = peak if peak > self.memory.bytes() else None
            failpoint("launcher.reaped")
        attempt.state, attempt.end, attempt.spec = EXITED, end, None
        self.link.tell(end)

    def acknowledge(self, ids: Iterable[str]) -> None:
        """The daemon has these ends on record: forget them."""
        for attempt_id in ids:
            attempt = self.attempts.get(attempt_id)
            if attempt is not None and attempt.state == EXITED:
                self._append_or_shrug(f"A {attempt_id}")
                del self.attempts[attempt_id]
        self.timers.drop(
            lambda argument: isinstance(argument, Attempt) and argument.state == EXITED,
            keep=1024 + 4 * len(self.attempts),
        )
        if self.journal.is_long():
            self.journal.compact([self._generation_record(), *records_of(self.attempts.values())])

    # -- stopping ---------------------------------------------------------------------------------

    def stop(self, attempt_id: str, grace_seconds: float, cause: str) -> None:
        """TERM to the tree now, KILL after the grace; what never started ends at once and says so."""
        check_seconds(grace_seconds)
        attempt = self.attempts.get(attempt_id)
        if attempt is None or attempt.state == EXITED:
            return
        attempt.cause = attempt.cause or cause
        if attempt.state == QUEUED:
            self.take_back([attempt_id])
            return
        kill_at = boottime() + grace_seconds
        if attempt.kill_at is not None and attempt.kill_at <= kill_at:
            return  # an escalation that ends sooner is under way
        attempt.kill_at = kill_at
        self.timers.at(kill_at, self._on_grace_over, attempt)
        if grace_seconds > 0:
            self.trees.signal(attempt, signal.SIGTERM)
            self.trees.signal(attempt, signal.SIGCONT)  # a frozen process can act on TERM only when it runs

    def take_back(self, ids: Iterable[str]) -> None:
        """End queued attempts as `never_started`; for one that runs nothing changes."""
        taken = [attempt for name in ids if (attempt := self.attempts.get(name)) and attempt.state == QUEUED]
        chosen = set(map(id, taken))
        self.queue = collections.deque(attempt for attempt in self.queue if id(attempt) not in chosen)
        for attempt in taken:
            self.finish(attempt, never_started=True)

    def _on_timeout(self, attempt: Attempt) -> None:
        if attempt.state == RUNNING:
            self.stop(attempt.id, attempt.grace, "timeout")

    def _on_grace_over(self, attempt: Attempt) -> None:
        if attempt.state == RUNNING:
            self.trees.kill(attempt)

    def _sweep_orphans(self, _: None) -> None:
        strangers = sweep_orphans(self.attempts)
        self.ticking = bool(self.running or strangers)
        if self.ticking:
            self.timers.after(ORPHAN_TICK_SECONDS, self._sweep_orphans)

    # -- what the daemon may ask ------------------------------------------------------------------

    def configure(self, slots: int, environment: dict[str, str]) -> None:
        """Set the number of slots and the environment that every attempt starts from."""
        check_environment(environment)
        self.slots, self.environment = int(slots), environment

    def tell_list(self) -> None:
        """Everything that is not acknowledged, then `listed`."""
        for attempt in self.attempts.values():
            self.link.tell(attempt.state_message())
        self.link.tell({"type": "listed"})

    def pong(self, token: object) -> None:
        """Answer a ping."""
        self.link.tell({"type": "pong", "token": token, "running": self.running, "queued": len(self.queue)})

    def end(self) -> None:
        """Stop everything with its grace, then leave."""
        self.ending = True
        for attempt in list(self.attempts.values()):
            self.stop(attempt.id, attempt.grace, "launcher")

    def end_if_idle(self) -> None:
        """Leave if there is nothing to hold, so that an upgraded daemon can start a launcher of its own."""
        if not self.attempts:
            self.ending = True

    OPERATIONS: dict[str, Callable[..., None]] = {  # noqa: RUF012 - a table, read only
        "spawn": take_in,
        "ack": acknowledge,
        "stop": stop,
        "take_back": take_back,
        "configure": configure,
        "list": tell_list,
        "ping": pong,
        "end": end,
        "end_if_idle": end_if_idle,
    }

    # -- the loop ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until nothing needs us any more."""
        while not self._may_leave():
            try:
                self._turn()
            except Exception:  # noqa: BLE001 - whatever it was: dying would lose every worker that runs
                say(traceback.format_exc())
                time.sleep(0.1)
        self._leave()

    def _turn(self) -> None:
        """1. wait 2. ends, the daemon, signals 3. timers 4. fill the slots 5. tell the daemon."""
        for fd, _ in self.epoll.poll(self._wait_seconds()):
            if fd in self.watched:
                self.on_exit(self.watched[fd])
            elif fd == self.link.listener.fileno():
                self._greet()
            elif fd == self.wake_fd:
                os.read(fd, 512)
            elif self.link.connection is not None and fd == self.link.connection.fileno():
                self._obey()
        if self.asked_to_end and not self.ending:
            self.end()
        self.timers.run_due()
        self.fill_slots()
        self.link.flush()

    def _obey(self) -> None:
        for operation, *arguments in self.link.receive():
            action = self.OPERATIONS.get(operation) if isinstance(operation, str) else None
            try:
                if action is None:
                    raise ValueError(f"unknown operation {operation!r}")
                action(self, *arguments)
            except Exception as error:  # noqa: BLE001 - whatever it was: the daemon lists and sends again what is lost here
                say(f"{operation!r} refused: {error!r}")
                self.link.drop()
                return

    def _greet(self) -> None:
        if not self.link.accept() or self.link.connection is None:
            return
        self.epoll.register(self.link.connection.fileno(), select.EPOLLIN)
        self.link.tell(
            {
                "type": "hello",
                "protocols": PROTOCOLS,
                "generation": self.generation,
                "boot_id": self.boot_id,
                "journal_id": self.journal_id,
                "pid": os.getpid(),
                "source": SOURCE,
                "attempts": len(self.attempts),
            }
        )

    def _wait_seconds(self) -> float:
        due = self.timers.wait_seconds()
        if self.link.connection is None:
            return min(1.0, due) if due is not None else 1.0  # to notice that we are not needed
        return due if due is not None else -1

    def _may_leave(self) -> bool:
        if self.running or any(attempt.state != EXITED for attempt in self.attempts.values()):
            return False
        if self.ending:
            return True
        if self.link.connection is not None:
            return False
        # When the state directory was deleted (a demo, a test) nobody is left who could ask for what we hold.
        if os.fstat(self.lock_fd).st_nlink == 0:
            return True
        return not self.attempts and boottime() - self.link.alone_since >= IDLE_EXIT_SECONDS

    def _leave(self) -> None:
        self.link.flush()
        with contextlib.suppress(OSError):
            os.unlink(SOCKET_NAME, dir_fd=self.directory_fd)


def main(directory: str) -> None:
    """Run the launcher of a state directory until nothing needs it."""
    Launcher(directory).run()
