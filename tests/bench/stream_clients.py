"""Many SSE clients in one process that do as little as possible per byte, so that the server's delay is what shows.

`python -m tests.bench.stream_clients PORT PATH CLIENTS LINES`: prints `ready` once every client has seen the
writer's first line, and one line of JSON after the end. What came is kept with its time and looked at only then.
"""

import bisect
import gc
import itertools
import json
import re
import select
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

from tests.bench.report import percentile

READY_SECONDS = 30.0
SILENCE_SECONDS = 60.0
RECEIVE_BYTES = 256 * 1024
LINE = re.compile(rb'"content": "(\d+) (\d+)"')
END = re.compile(rb"event: end\ndata: (.*)\n")


class Client:
    """One connection and all that it received: (when in CLOCK_MONOTONIC ns, what)."""

    def __init__(self, port: int, path: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=READY_SECONDS)
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        self.socket.setblocking(False)
        self.received: list[tuple[int, bytes]] = []
        self.is_ready = False

    def receive(self) -> bool:
        """Take what is there; False at the end of the stream."""
        data = self.socket.recv(RECEIVE_BYTES)
        self.received.append((time.monotonic_ns(), data))
        if not self.is_ready:
            self.is_ready = b'"ready"' in b"".join(chunk for _, chunk in self.received)
        return bool(data)

    def lines(self) -> Iterator[tuple[int, int, int]]:
        """(number, written at, received at) of every line; received means its last byte."""
        ends = list(itertools.accumulate(len(data) for _, data in self.received))
        for found in LINE.finditer(self.text()):
            chunk = bisect.bisect_left(ends, found.end())
            yield int(found[1]), int(found[2]), self.received[chunk][0]

    def text(self) -> bytes:
        """Everything; where HTTP cuts it is between frames."""
        return b"".join(data for _, data in self.received)


def main(port: int, path: str, clients: int, lines: int) -> int:
    """Follow to the end; returns 1 when not every client got so far as to see the first line."""
    followers = [Client(port, path) for _ in range(clients)]
    waiting = select.epoll()
    by_fd = {client.socket.fileno(): client for client in followers}
    for fd in by_fd:
        waiting.register(fd, select.EPOLLIN)
    if not _await_first_line(waiting, by_fd, followers):
        sys.stderr.write(followers[0].text()[:2000].decode(errors="replace"))
        return 1
    print("ready", flush=True)
    # a collector's pause here would look like the server's
    gc.disable()
    begin = time.process_time()
    while by_fd and _turn(waiting, by_fd, SILENCE_SECONDS):
        pass
    cpu_seconds = time.process_time() - begin
    print(json.dumps({**_look_at(followers, lines), "cpu_seconds": cpu_seconds}))
    return 0


def _await_first_line(waiting: select.epoll, by_fd: dict[int, Client], followers: list[Client]) -> bool:
    """Whether every client came to see it, in time and without an end before it."""
    deadline = time.monotonic() + READY_SECONDS
    while not all(client.is_ready for client in followers):
        if time.monotonic() > deadline or len(by_fd) < len(followers):
            return False
        _turn(waiting, by_fd, 1.0)
    return True


def _turn(waiting: select.epoll, by_fd: dict[int, Client], timeout_seconds: float) -> bool:
    """Receive from everybody who has something; False when nothing came in time."""
    ready = waiting.poll(timeout_seconds)
    for fd, _ in ready:
        if not by_fd[fd].receive():
            waiting.unregister(fd)
            by_fd.pop(fd).socket.close()
    return bool(ready)


def _look_at(followers: list[Client], count: int) -> dict[str, Any]:
    """The delays of all lines to all clients in ms, and in `problems` who did not see all of them and the end."""
    delays: list[float] = []
    problems: list[str] = []
    lines: list[tuple[int, int, int]] = []
    for client in followers:
        lines = list(client.lines())
        delays += [(received - written) / 1e6 for _, written, received in lines]
        if problem := _problem(client, [number for number, _, _ in lines], count):
            problems.append(problem)
    seconds = (lines[-1][1] - lines[0][1]) / 1e9 if len(lines) > 1 else 0.0
    return {
        "problems": problems,
        "deliveries": len(delays),
        "lines_per_second": (len(lines) - 1) / seconds if seconds else 0.0,
        "p50_ms": percentile(delays, 50) if delays else None,
        "p99_ms": percentile(delays, 99) if delays else None,
        "max_ms": max(delays, default=None),
    }


def _problem(client: Client, numbers: list[int], count: int) -> str | None:
    if numbers != list(range(count)):
        missing = sorted(set(range(count)) - set(numbers))
        return f"{len(numbers)} lines came instead of {count}, missing {missing[:3]}"
    end = END.search(client.text())
    if end is None or json.loads(end[1])["status"] != "completed":
        return f"the stream ended with {client.text()[-200:]!r}"
    return None


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
