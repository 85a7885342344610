"""Forking one attempt: its log files, its directory, its command, its clean start."""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

IGNORED_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)
# What a worker starts with: nothing ignored, whatever our own parent (nohup, a shell's `&`) had ignored.
DEFAULT_SIGNALS = (
    *IGNORED_SIGNALS,
    signal.SIGTERM,
    signal.SIGCHLD,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
# The machine, not the command, is why these failed: nothing ran, so the attempt waits and is not burnt.
TRANSIENT_ERRNOS = frozenset((errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT))


class SpawnError(Exception):
    """Nothing ran. `where` is 'log', 'directory' or 'command'."""

    def __init__(self, where: str, error: OSError | ValueError) -> None:
        super().__init__(where)
        self.where = where
        self.number = error.errno if isinstance(error, OSError) and error.errno else errno.EINVAL
        self.text = (error.strerror if isinstance(error, OSError) else None) or str(error)


def spawn(spec: dict[str, Any], environment: dict[str, str], null_fd: int) -> int:
    """Fork and execute `spec` (argv, cwd, logs); returns the pid. Raises SpawnError when nothing ran.

    The directory is entered by ourselves, not by the child: we are one thread, and so an error can only be the
    command's. posix_spawn uses vfork: its cost does not grow with our memory.
    """
    descriptors: list[int] = []
    where = "log"
    try:
        descriptors.append(_open_log(spec["logs"] + ".out"))
        descriptors.append(_open_log(spec["logs"] + ".err"))
        where = "directory"
        os.chdir(spec["cwd"])
        where = "command"
        return os.posix_spawn(
            find_command(spec["argv"][0], environment.get("PATH", os.defpath)),
            spec["argv"],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null_fd, 0),
                (os.POSIX_SPAWN_DUP2, descriptors[0], 1),
                (os.POSIX_SPAWN_DUP2, descriptors[1], 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=DEFAULT_SIGNALS,
        )
    except (OSError, ValueError) as error:
        raise SpawnError(where, error) from None
    finally:
        for fd in descriptors:
            os.close(fd)


def find_command(name: str, path: str) -> str:
    """The file that `name` means, as execvp looks it up in `path`; raises OSError with ENOENT or EACCES."""
    if "/" in name:
        return name
    problem = errno.ENOENT
    for folder in path.split(":"):
        candidate = os.path.join(folder or ".", name)
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            problem = errno.EACCES
    raise OSError(problem, os.strerror(problem), name)


def _open_log(path: str) -> int:
    """A log file that the worker itself appends to; never through a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600)
