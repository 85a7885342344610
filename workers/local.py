"""The local executor: attempts run on this machine, in the hands of the launcher."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any

from workers.executor import Connected, Delayed, LauncherIdentity, LaunchSpec, News, Report, Reported
from workers.launcher_client import LauncherClient, LauncherUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RECONNECT_PAUSE_SECONDS = 0.5
CONNECT_TRIES = 5
HELLO_SECONDS = 10.0
PASSED_TO_LAUNCHER = ("WATTLE_LAUNCHER_FAILPOINT",)

log = logging.getLogger("wattle.launcher")


class LocalExecutor:
    """See `workers.executor.Executor`. `slots`: attempts at once; `environment`: what each begins with."""

    def __init__(self, state_dir: str, slots: int, environment: dict[str, str]) -> None:
        self.identity: LauncherIdentity | None = None
        self._slots, self._environment = slots, environment
        own = {**environment, **{name: os.environ[name] for name in PASSED_TO_LAUNCHER if name in os.environ}}
        self._client = LauncherClient(state_dir, own, self._on_messages, self._on_lost)
        self._deliver: Callable[[News], None] = lambda _: None
        self._listing: list[Report] | None = None
        self._pongs: dict[int, asyncio.Future[None]] = {}
        self._ping_count = 0
        self._reconnecting: asyncio.Task[None] | None = None
        self._hello: asyncio.Future[dict[str, Any] | None] | None = None
        self._closed = False

    async def start(self, deliver: Callable[[News], None]) -> None:
        """Connect, or start a launcher; an older launcher with nothing to hold is replaced by our own."""
        self._deliver = deliver
        hello = await self._connect()
        if not self._client.is_ours(hello) and not hello["attempts"]:
            self._closed = True  # that the line breaks now is our own doing
            self._client.send("end_if_idle")
            await self._client.wait_until_gone(hello["pid"])
            self._client.close()
            self._closed = False
            hello = await self._connect()
        self._open(hello)

    async def _connect(self) -> dict[str, Any]:
        """Connect and hear a hello; a launcher that was about to leave hangs up, and the next one is asked."""
        for _ in range(CONNECT_TRIES):
            self._hello = asyncio.get_running_loop().create_future()
            await self._client.connect()
            try:
                hello = await asyncio.wait_for(self._hello, HELLO_SECONDS)
            except TimeoutError:
                self._client.close()
                raise LauncherUnavailable(f"the launcher does not answer within {HELLO_SECONDS:g} s") from None
            if hello is not None:
                return hello
        raise LauncherUnavailable("every launcher hung up at once; see launcher.log in the state directory")

    def _open(self, hello: dict[str, Any]) -> None:
        self.identity = LauncherIdentity(
            generation=hello["generation"],
            boot_id=hello["boot_id"],
            journal_id=hello["journal_id"],
            pid=hello["pid"],
            protocol=self._client.choose_protocol(hello),
        )
        self._listing = []
        self._client.send("configure", self._slots, self._environment)
        self._client.send("list")

    def launch(self, specs: Iterable[LaunchSpec]) -> None:
        """Hand attempts over, in this order."""
        for spec in specs:
            self._client.send(
                "spawn",
                {
                    "id": spec.id,
                    "argv": spec.argv,
                    "env": spec.env,
                    "cwd": spec.cwd,
                    "logs": spec.logs,
                    "grace": spec.grace_seconds,
                    "timeout": spec.timeout_seconds,
                },
            )

    def stop(self, attempt_id: str, grace_seconds: float, cause: str) -> None:
        """TERM now, KILL of the whole tree after the grace; a queued one is taken back."""
        self._client.send("stop", attempt_id, grace_seconds, cause)

    def acknowledge(self, attempt_ids: Iterable[str]) -> None:
        """These ends are on record."""
        self._client.send("ack", list(attempt_ids))

    async def ping(self, timeout_seconds: float) -> bool:
        """Whether the launcher answers in time."""
        self._ping_count += 1
        answer = self._pongs[self._ping_count] = asyncio.get_running_loop().create_future()
        self._client.send("ping", self._ping_count)
        try:
            await asyncio.wait_for(answer, timeout_seconds)
        except TimeoutError:
            return False
        finally:
            self._pongs.pop(self._ping_count, None)
        return True

    async def close(self, *, end_launcher: bool = False) -> None:
        """Let go; what runs goes on, unless the launcher is told to end with it."""
        self._closed = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reconnecting
        if end_launcher and self.identity is not None and self._client.is_connected:
            self._client.send("end")
            await self._client.wait_until_gone(self.identity.pid)
        self._client.close()

    # -- what arrives -----------------------------------------------------------------------------

    def _on_messages(self, messages: list[dict[str, Any]]) -> None:
        reports: list[Report] = []
        for message in messages:
            kind = message["type"]
            if kind == "attempt":
                (reports if self._listing is None else self._listing).append(read_report(message))
            elif kind == "listed" and self._listing is not None and self.identity is not None:
                listing, self._listing = self._listing, None
                self._deliver(Connected(self.identity, listing))
            elif kind == "delayed":
                self._deliver(Delayed(message["id"], message["reason"]))
            elif kind == "pong" and (answer := self._pongs.get(message["token"])) and not answer.done():
                answer.set_result(None)
            elif kind == "hello" and self._hello is not None and not self._hello.done():
                self._hello.set_result(message)
        if reports:
            self._deliver(Reported(reports))

    def _on_lost(self) -> None:
        if self._closed:
            return
        if self._hello is not None and not self._hello.done():
            self._hello.set_result(None)
            return
        log.warning("the line to the launcher broke; connecting again")
        if self._reconnecting is None or self._reconnecting.done():
            self._reconnecting = asyncio.get_running_loop().create_task(self._reconnect())

    async def _reconnect(self) -> None:
        while not self._client.is_connected:  # one that hung up together with its hello is gone again by now
            try:
                self._open(await self._connect())
            except (LauncherUnavailable, OSError) as error:
                self._client.close()
                log.warning("no launcher: %s", error)
                await asyncio.sleep(RECONNECT_PAUSE_SECONDS)


def read_report(message: dict[str, Any]) -> Report:
    """A launcher's `attempt` message as a Report."""
    return Report(
        id=message["id"],
        state=message["state"],
        pid=message.get("pid") or 0,
        ticks=message.get("ticks") or 0,
        started_at=message.get("started_at"),
        ended_at=message.get("at"),
        exit_code=message.get("code"),
        signal=message.get("signal"),
        cause=message.get("cause"),
        lost=message.get("lost"),
        never_started=message.get("never_started", False),
        error_number=message.get("errno"),
        where=message.get("where"),
        error=message.get("error"),
        cpu_seconds=message.get("cpu_seconds"),
        peak_memory_bytes=message.get("peak_memory_bytes"),
    )
