"""The line to the daemon: one connection, messages in packets, never a wait for a daemon that does not read."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import socket
import struct
from typing import TYPE_CHECKING

from .clock import boottime
from .log import say

if TYPE_CHECKING:
    from typing import Any

PACKET_BYTES = 32 * 1024
RECEIVE_BYTES = 64 * 1024
PACKETS_A_TURN = 64
SEND_BUFFER_BYTES = 4 << 20
SOCKET_NAME = "launcher.sock"


class Link:
    """Listens in the state directory; `connection` is the daemon's, None without one."""

    def __init__(self, directory: str) -> None:
        self.connection: socket.socket | None = None
        self.alone_since = boottime()
        self._outbox: collections.deque[dict[str, Any]] = collections.deque()
        os.chdir(directory)  # a relative name, because a Unix socket's path may not be longer than 107 bytes
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET_NAME)
        kind = socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self.listener = socket.socket(socket.AF_UNIX, kind)
        self.listener.bind(SOCKET_NAME)
        os.chmod(SOCKET_NAME, 0o600)
        os.chdir("/")
        self.listener.listen(8)

    def accept(self) -> bool:
        """Let a daemon of our own user in, in place of the one before it: the newest wins."""
        connection, _ = self.listener.accept()
        _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid not in (os.geteuid(), 0):
            connection.close()
            return False
        self.drop()
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.connection = connection
        return True

    def drop(self) -> None:
        """Let go of the daemon; it will connect again and ask for the list."""
        if self.connection is not None:
            self.connection.close()  # which takes it out of the epoll as well
        self.connection, self.alone_since = None, boottime()
        self._outbox.clear()

    def tell(self, message: dict[str, Any]) -> None:
        """Queue a message. Without a daemon it is dropped: whoever connects asks for the list."""
        if self.connection is not None:
            self._outbox.append(message)

    def flush(self) -> None:
        """Send what is queued; a daemon whose buffer is full is dropped, because workers may not wait for it."""
        while self._outbox and self.connection is not None:
            parts: list[str] = []
            size = 0
            while self._outbox and size < PACKET_BYTES:
                parts.append(json.dumps(self._outbox.popleft(), separators=(",", ":")))
                size += len(parts[-1])
            packet = ("[" + ",".join(parts) + "]").encode()
            try:
                self.connection.send(packet, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except OSError:
                self.drop()

    def receive(self) -> list[list[Any]]:
        """The operations that have arrived. What makes no sense ends the connection and starts nothing."""
        operations: list[list[Any]] = []
        for _ in range(PACKETS_A_TURN):
            data = self._read_packet()
            if data is None:
                break
            try:
                operations.extend(parse_operations(data))
            except ValueError as error:
                say(f"a bad message ended the connection: {error}")
                self.drop()
        return operations

    def _read_packet(self) -> bytes | None:
        if self.connection is None:
            return None
        try:
            data, descriptors, flags, _ = socket.recv_fds(self.connection, RECEIVE_BYTES, 1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            data, descriptors, flags = b"", [], 0
        if descriptors:  # a message too large for a packet comes as an anonymous file
            data = _read_file(descriptors[0])
        if not data or flags & socket.MSG_TRUNC:
            self.drop()
            return None
        return data


def _read_file(fd: int) -> bytes:
    """All of an anonymous file; nothing for a descriptor of another kind. Closes it."""
    try:
        return os.pread(fd, os.fstat(fd).st_size, 0)
    except OSError:
        return b""
    finally:
        os.close(fd)


def parse_operations(data: bytes) -> list[list[Any]]:
    """A packet is a JSON list of [operation, argument...]; raises ValueError for anything else."""
    try:
        operations = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(operations, list) or not all(isinstance(item, list) and item for item in operations):
        raise ValueError("not a list of operations")
    return operations
