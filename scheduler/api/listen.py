"""Opens the sockets that the API listens on: loopback in both address families, and the one for the CLI."""

import errno
import os
import socket
import stat
from typing import Final

UNIX_SOCKET_NAME: Final = "wattle.sock"

_BACKLOG: Final = 512
# A free port is asked of IPv4; IPv6 may hold the same one for somebody else.
_FREE_PORT_ATTEMPTS: Final = 10
_NO_IPV6: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)
# what fits sockaddr_un with its closing NUL
_UNIX_PATH_MAX: Final = 107


class ListenError(Exception):
    """The API cannot listen where it should; the text says where, why and what to do."""

    exit_code: Final = 75


def open_tcp(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on `host`; 127.0.0.1 and localhost mean [::1] too where there is IPv6.

    Port 0 takes a free one, the same for both. Raises ListenError.
    """
    if host not in ("127.0.0.1", "localhost"):
        return [_bind(host, port)]
    for attempts_left in reversed(range(_FREE_PORT_ATTEMPTS if port == 0 else 1)):
        first = _bind("127.0.0.1", port)
        try:
            return [first, *_bind_ipv6_loopback(first.getsockname()[1])]
        except ListenError:
            first.close()
            if not attempts_left:
                raise
    raise AssertionError("the last attempt returns or raises")


def open_unix(state_dir: str) -> socket.socket:
    """The listening socket for the CLI in `state_dir`, for our own user only; one left by a killed daemon is replaced.

    The caller holds the lock of the state directory. Raises ListenError.
    """
    path = os.path.join(state_dir, UNIX_SOCKET_NAME)
    directory = os.open(state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_socket(directory)
        # a path too long for a socket address is reached through the open directory
        is_long = len(os.fsencode(path)) > _UNIX_PATH_MAX
        sock.bind(f"/proc/self/fd/{directory}/{UNIX_SOCKET_NAME}" if is_long else path)
        os.chmod(UNIX_SOCKET_NAME, 0o600, dir_fd=directory)
        sock.listen(_BACKLOG)
    except OSError as problem:
        sock.close()
        raise ListenError(f"Cannot listen on {path}: {problem.strerror}") from problem
    finally:
        os.close(directory)
    return sock


def remove_unix(state_dir: str) -> None:
    """Take the socket's name away at the end; absent is fine."""
    try:
        directory = os.open(state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        _remove_socket(directory)
    finally:
        os.close(directory)


def _remove_socket(directory: int) -> None:
    """Unlink the socket in `directory`, but no file of another kind."""
    try:
        mode = os.stat(UNIX_SOCKET_NAME, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISSOCK(mode):
        os.unlink(UNIX_SOCKET_NAME, dir_fd=directory)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as problem:
        raise ListenError(_explain(host, port, problem)) from problem


def _bind_ipv6_loopback(port: int) -> list[socket.socket]:
    """[::1] at `port`, or nothing on a machine without IPv6."""
    try:
        return [_bind("::1", port)] if socket.has_ipv6 else []
    except ListenError as problem:
        if isinstance(problem.__cause__, OSError) and problem.__cause__.errno in _NO_IPV6:
            return []
        raise


def _explain(host: str, port: int, problem: OSError) -> str:
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    reasons = {
        errno.EADDRINUSE: "the port is in use, perhaps by another Wattle; stop that, or choose another with --port",
        errno.EACCES: "not allowed; ports below 1024 are for the superuser, choose another with --port",
        errno.EADDRNOTAVAIL: "this machine does not have that address; choose another with --host",
    }
    return f"Cannot listen on {shown}: {reasons.get(problem.errno or 0, problem.strerror)}"
