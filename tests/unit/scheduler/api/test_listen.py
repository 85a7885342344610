import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from scheduler.api.listen import ListenError, open_tcp, open_unix, remove_unix


def close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_both_families_on_one_port(host: str) -> None:
    sockets = open_tcp(host, 0)
    try:
        assert sockets[0].getsockname()[0] == "127.0.0.1"
        assert all(sock.getsockname()[0] == "::1" for sock in sockets[1:])
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
    finally:
        close(sockets)


def test_another_loopback_address_is_only_itself() -> None:
    sockets = open_tcp("127.0.0.2", 0)
    try:
        assert [sock.getsockname()[0] for sock in sockets] == ["127.0.0.2"]
    finally:
        close(sockets)


def test_a_port_in_use_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=rf"^Cannot listen on 127.0.0.1:{port}: the port is in use") as refused:
            open_tcp("127.0.0.1", port)
    assert refused.value.exit_code == 75


def failing_server(monkeypatch: pytest.MonkeyPatch, family: socket.AddressFamily, *codes: int) -> list[int]:
    """Let sockets of `family` fail with each of `codes` in turn, then work; returns the ports that were asked for."""
    real, left, asked = socket.create_server, list(codes), list[int]()

    def create_server(address: tuple[str, int], **options: Any) -> socket.socket:
        if options["family"] == family:
            asked.append(address[1])
            if left:
                raise OSError(left.pop(0), "made up")
        return real(address, **options)

    monkeypatch.setattr(socket, "create_server", create_server)
    return asked


@pytest.mark.parametrize("code", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_a_machine_without_ipv6_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    failing_server(monkeypatch, socket.AF_INET6, code)

    sockets = open_tcp("127.0.0.1", 0)

    assert [sock.family for sock in sockets] == [socket.AF_INET]
    close(sockets)


def test_a_port_that_is_taken_on_ipv6_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    failing_server(monkeypatch, socket.AF_INET6, errno.EADDRINUSE)

    with pytest.raises(ListenError, match=rf"\[::1\]:{port}: the port is in use"):
        open_tcp("127.0.0.1", port)


def test_a_free_port_is_free_in_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = failing_server(monkeypatch, socket.AF_INET6, errno.EADDRINUSE, errno.EADDRINUSE, errno.EADDRNOTAVAIL)

    sockets = open_tcp("127.0.0.1", 0)

    assert len(asked) == 3
    assert sockets[0].getsockname()[1] == asked[-1]
    close(sockets)


def test_an_address_of_another_machine_is_a_sentence() -> None:
    with pytest.raises(ListenError, match="this machine does not have that address"):
        open_tcp("192.0.2.1", 0)


def test_the_unix_socket_is_for_our_own_user_and_goes_away(tmp_path: Path) -> None:
    with open_unix(str(tmp_path)):
        mode = (tmp_path / "wattle.sock").stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    remove_unix(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    remove_unix(str(tmp_path))
    remove_unix(str(tmp_path / "gone"))


def test_a_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    open_unix(str(tmp_path)).close()

    with open_unix(str(tmp_path)), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "wattle.sock"))


def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "wattle.sock").write_text("mine")

    with pytest.raises(ListenError, match=r"wattle\.sock"):
        open_unix(str(tmp_path))

    remove_unix(str(tmp_path))
    assert (tmp_path / "wattle.sock").read_text() == "mine"


def test_a_long_state_directory_works_too(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)

    with open_unix(str(deep)), socket.socket(socket.AF_UNIX) as client:
        directory = os.open(deep, os.O_PATH)
        try:
            client.connect(f"/proc/self/fd/{directory}/wattle.sock")
        finally:
            os.close(directory)
