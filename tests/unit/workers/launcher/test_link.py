"""The line to the daemon: bad bytes start nothing, and nobody who does not read is waited for."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workers.launcher.link import PACKET_BYTES, RECEIVE_BYTES, SOCKET_NAME, Link, parse_operations

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def read(data: bytes) -> list[list[Any]] | None:
    """What is read of a packet, None when it is refused."""
    try:
        return parse_operations(data)
    except ValueError:
        return None


@given(st.binary())
@example(b"[" * 100_000)
@example(b'[["spawn"' + b"[" * 50_000)
@example(b"9" * 10_000)
@example(b"\xff\xfe[\x00]\x00")
@example(b'[["ack", "\\ud800"]]')
@example(b"")
def test_arbitrary_bytes_are_refused_or_a_list_of_lists(data: bytes) -> None:
    operations = read(data)
    assert operations is None or all(type(operation) is list and operation for operation in operations)


@given(JSON)
def test_only_a_list_of_operations_is_one(value: Any) -> None:
    operations = read(json.dumps(value).encode())
    fits = isinstance(value, list) and all(isinstance(item, list) and item for item in value)
    assert (operations is not None) == fits


@given(st.lists(st.lists(st.text() | st.integers(), min_size=1)))
def test_operations_arrive_as_they_were_sent(operations: list[list[Any]]) -> None:
    assert parse_operations(json.dumps(operations).encode()) == operations


# -- a real socket ----------------------------------------------------------------------------------


@pytest.fixture
def link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Link]:
    monkeypatch.chdir("/")
    made = Link(str(tmp_path))
    yield made
    made.drop()
    made.listener.close()


@pytest.fixture
def daemon(link: Link, tmp_path: Path) -> Iterator[socket.socket]:
    with connected(link, tmp_path) as made:
        yield made


def connected(link: Link, tmp_path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.settimeout(10)
    made.connect(str(tmp_path / SOCKET_NAME))
    assert link.accept()
    return made


def is_dropped(daemon: socket.socket) -> bool:
    try:
        while daemon.recv(1 << 20):
            pass
    except ConnectionError:
        pass
    return True


def test_the_socket_is_for_its_owner_only(link: Link, tmp_path: Path) -> None:
    assert (tmp_path / SOCKET_NAME).stat().st_mode & 0o777 == 0o600


def test_a_long_path_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    deep = tmp_path / ("d" * 200)
    deep.mkdir()
    link = Link(str(deep))
    assert (deep / SOCKET_NAME).is_socket()
    link.listener.close()


def test_one_that_was_left_behind_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    Link(str(tmp_path)).listener.close()
    link = Link(str(tmp_path))
    connected(link, tmp_path).close()
    link.drop()
    link.listener.close()


def test_packets_are_read_in_order(link: Link, daemon: socket.socket) -> None:
    daemon.send(b'[["a",1],["b"]]')
    daemon.send(b'[["c"]]')
    assert link.receive() == [["a", 1], ["b"], ["c"]]
    assert link.receive() == []
    assert link.connection is not None


def test_a_large_message_comes_as_a_file(link: Link, daemon: socket.socket) -> None:
    operations = [["spawn", {"text": "x" * 1_000_000}]]
    fd = os.memfd_create("large")
    os.write(fd, json.dumps(operations).encode())
    socket.send_fds(daemon, [b"file"], [fd])
    os.close(fd)
    before = os.listdir("/proc/self/fd")
    assert link.receive() == operations
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize(
    "bad", [b"{}", b"[1]", b"[[]]", b"nonsense", b"\xff", b"[" * 60_000, b"x" * (RECEIVE_BYTES + 1)]
)
def test_what_makes_no_sense_ends_the_connection(link: Link, daemon: socket.socket, bad: bytes) -> None:
    daemon.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    daemon.send(b'[["before"]]')
    daemon.send(bad)
    daemon.send(b'[["behind"]]')
    assert link.receive() == [["before"]]
    assert link.connection is None
    assert is_dropped(daemon)


def test_a_descriptor_that_is_no_file_ends_the_connection(link: Link, daemon: socket.socket) -> None:
    reader, writer = os.pipe()
    socket.send_fds(daemon, [b"file"], [reader])
    os.close(reader)
    assert link.receive() == []
    os.close(writer)
    assert is_dropped(daemon)


def test_the_newest_connection_wins(link: Link, daemon: socket.socket, tmp_path: Path) -> None:
    with connected(link, tmp_path) as newer:
        assert is_dropped(daemon)
        newer.send(b'[["a"]]')
        assert link.receive() == [["a"]]


def test_messages_share_packets(link: Link, daemon: socket.socket) -> None:
    told = [{"type": "attempt", "id": str(number), "text": "x" * 100} for number in range(1000)]
    for message in told:
        link.tell(message)
    link.flush()
    packets: list[bytes] = []
    while len(messages := [each for packet in packets for each in json.loads(packet)]) < len(told):
        packets.append(daemon.recv(1 << 20))
    assert messages == told
    assert len(packets) == len(json.dumps(told, separators=(",", ":"))) // PACKET_BYTES + 1
    assert max(map(len, packets)) < 2 * PACKET_BYTES


def test_without_a_daemon_nothing_piles_up(link: Link, tmp_path: Path) -> None:
    link.tell({"type": "attempt"})
    link.flush()
    with connected(link, tmp_path) as daemon:
        link.tell({"type": "hello"})
        link.flush()
        assert json.loads(daemon.recv(1 << 20)) == [{"type": "hello"}]


def test_a_daemon_that_does_not_read_is_dropped_not_waited_for(link: Link, daemon: socket.socket) -> None:
    while link.connection is not None:
        link.tell({"type": "attempt", "text": "x" * 1000})
        link.flush()
    link.tell({"type": "attempt"})
    link.flush()
    assert is_dropped(daemon)


def test_a_daemon_that_is_gone_is_dropped(link: Link, daemon: socket.socket) -> None:
    daemon.close()
    link.tell({"type": "attempt"})
    link.flush()
    assert link.receive() == []
    assert link.connection is None
