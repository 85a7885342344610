"""The daemon's end of the line to the launcher: connect or start one, send without blocking, receive, connect again."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

import orjson
import psutil

from workers.launcher.protocol import PROTOCOLS, SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable

PACKET_BYTES = 32 * 1024
LARGE_BYTES = 48 * 1024  # from here on a message travels as an anonymous file
RECEIVE_BYTES = 128 * 1024
PACKETS_A_TURN = 64
CONNECT_PAUSE_SECONDS = 0.01
START_TIMEOUT_SECONDS = 10.0
LAUNCHER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launcher")

log = logging.getLogger("wattle.launcher")


class LauncherUnavailable(Exception):  # noqa: N818 - a state of the world, said in words
    """The launcher cannot be started or does not speak our protocol."""


class LauncherClient:
    """One connection at a time. Messages are lists ([operation, argument...]) out and dicts in.

    `environment` is what a launcher is started with: nothing of the daemon's own that a worker could read there.

    `on_messages(messages)` is called with what arrived in one turn; `on_lost()` when the line broke. What was not sent
    by then is dropped: whoever connects again asks for the list first.
    """

    def __init__(
        self,
        state_dir: str,
        environment: dict[str, str],
        on_messages: Callable[[list[dict[str, Any]]], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._state_dir, self._environment = state_dir, environment
        self._on_messages, self._on_lost = on_messages, on_lost
        self._socket: socket.socket | None = None
        self._outbox: deque[list[Any]] = deque()
        self._flushing = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether there is a line."""
        return self._socket is not None

    async def connect(self) -> None:
        """Connect to the living launcher, or start one; raises LauncherUnavailable after ten seconds of trying."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_TIMEOUT_SECONDS
        while not self._try_connect():
            self._start_launcher_unless_starting()
            if loop.time() > deadline:
                raise LauncherUnavailable(f"no launcher answers in {self._state_dir}; see launcher.log there")
            await asyncio.sleep(CONNECT_PAUSE_SECONDS)

    def _try_connect(self) -> bool:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        folder = os.open(self._state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:  # through /proc, because a Unix socket's path may not be longer than 107 bytes
            connection.connect(f"/proc/self/fd/{folder}/launcher.sock")
        except OSError:
            connection.close()
            return False
        finally:
            os.close(folder)
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self._socket = connection
        asyncio.get_running_loop().add_reader(connection.fileno(), self._on_readable)
        return True

    def _start_launcher_unless_starting(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        log_path = os.path.join(self._state_dir, "launcher.log")
        log_fd = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", LAUNCHER, self._state_dir],
                stdin=subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                cwd="/",
                env=self._environment,
                start_new_session=True,
            )
        finally:
            os.close(log_fd)

    def is_ours(self, hello: dict[str, Any]) -> bool:
        """Whether the launcher that said hello runs the same text as the one we would start."""
        return bool(hello["source"] == SOURCE)

    @staticmethod
    def choose_protocol(hello: dict[str, Any]) -> int:
        """The newest protocol that both sides speak; raises LauncherUnavailable without one."""
        common = [version for version in PROTOCOLS if version in hello["protocols"]]
        if not common:
            raise LauncherUnavailable(
                f"the running launcher (pid {hello['pid']}) speaks protocol {hello['protocols']}, this daemon"
                f" {list(PROTOCOLS)}; let its workers end, then stop it"
            )
        return common[0]

    # -- sending ----------------------------------------------------------------------------------

    def send(self, *operation: Any) -> None:
        """Queue [operation, argument...]; all that is queued within one turn of the loop travels together."""
        if self._socket is None:
            return
        self._outbox.append(list(operation))
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        try:
            while self._outbox and self._socket is not None:
                self._send_one_packet(self._socket)
        except BlockingIOError:
            self._wait_until_writable()
        except OSError:
            self._lose()

    def _send_one_packet(self, connection: socket.socket) -> None:
        parts: list[bytes] = []
        size = 0
        while len(parts) < len(self._outbox) and size < PACKET_BYTES:
            encoded = _encode(self._outbox[len(parts)])
            if parts and size + len(encoded) > LARGE_BYTES:
                break
            parts.append(encoded)
            size += len(encoded)
        packet = b"[" + b",".join(parts) + b"]"
        if size > LARGE_BYTES:
            self._send_as_file(connection, packet)
        else:
            connection.send(packet, socket.MSG_NOSIGNAL)
        for _ in parts:
            self._outbox.popleft()

    @staticmethod
    def _send_as_file(connection: socket.socket, packet: bytes) -> None:
        fd = os.memfd_create("wattle-message", os.MFD_CLOEXEC)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(packet)
            socket.send_fds(connection, [b"file"], [fd])
        finally:
            os.close(fd)

    def _wait_until_writable(self) -> None:
        connection = self._socket
        if connection is None:
            return
        loop = asyncio.get_running_loop()
        self._flushing = True

        def resume() -> None:
            loop.remove_writer(connection.fileno())
            self._flush()

        loop.add_writer(connection.fileno(), resume)

    # -- receiving --------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        messages: list[dict[str, Any]] = []
        lost = False
        for _ in range(PACKETS_A_TURN):
            if self._socket is None:
                break
            try:
                packet = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError:
                packet = b""
            if not packet:
                lost = True
                break
            messages.extend(json.loads(packet))
        if messages:
            self._on_messages(messages)
        if lost:
            self._lose()

    def _lose(self) -> None:
        if self._socket is None:
            return
        self.close()
        self._on_lost()

    def close(self) -> None:
        """Let go of the line; the launcher goes on."""
        if self._socket is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket.fileno())
        loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._socket = None
        self._outbox.clear()
        self._flushing = False

    async def wait_until_gone(self, pid: int) -> None:
        """Wait until the launcher's process has ended (and reap it, if it was started here)."""
        while psutil.pid_exists(pid):
            if self._process is not None:
                self._process.poll()
            await asyncio.sleep(CONNECT_PAUSE_SECONDS)


def _encode(operation: list[Any]) -> bytes:
    """JSON; the slow way for texts of an environment whose bytes are no UTF-8, which orjson refuses."""
    try:
        return orjson.dumps(operation)
    except orjson.JSONEncodeError:
        return json.dumps(operation).encode()
