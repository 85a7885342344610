"""What the launcher does to its own process before anything else."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
from typing import TYPE_CHECKING

from .spawn import IGNORED_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable

PR_SET_CHILD_SUBREAPER, PR_SET_NAME = 36, 15
OTHER_LAUNCHER_LIVES = 75


def take_lock(directory_fd: int) -> int:
    """Be the only launcher of this directory, or leave: the daemon connects to the other one."""
    fd = os.open("launcher.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=directory_fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(OTHER_LAUNCHER_LIVES)
    return fd


def prepare_process(on_sigterm: Callable[..., None]) -> int:
    """Adopt what workers leave behind, ignore what is not meant for us; returns a descriptor that wakes on a signal."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_NAME, b"wattle-launcher", 0, 0, 0)
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # were it ignored, the kernel would reap for us and keep no exit code
    wake_fd, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, on_sigterm)
    return wake_fd
