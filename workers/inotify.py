"""Tells within a millisecond that something changed in a directory, by one inotify instance for the whole process.

Watches are on directories and counted, so a thousand followers of one run cost one watch. Events only say "look
again": whoever listens must also look from time to time (network file systems send none, a full queue drops some).
Where inotify cannot be had, `reason` says why and listeners have nothing but their own sweep.
"""

import asyncio
import ctypes
import errno
import functools
import os
import struct
from collections.abc import Callable
from typing import Final, TypeAlias

Listener: TypeAlias = Callable[[str | None], None]
"""Called on the loop with the name of the file that changed, or None when anything in the directory may have."""

IN_MODIFY: Final = 0x2
IN_MOVED_TO: Final = 0x80
IN_CREATE: Final = 0x100
IN_Q_OVERFLOW: Final = 0x4000
IN_IGNORED: Final = 0x8000
IN_ONLYDIR: Final = 0x0100_0000
WATCHED: Final = IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR

READ_BYTES: Final = 64 * 1024
REST_SECONDS: Final = 0.002
"""Events that come faster than this are read together: a flooding worker must not keep the loop busy."""

_HEADER: Final = struct.Struct("iIII")
_libc: Final = ctypes.CDLL(None, use_errno=True)


class Watch:
    """One listener's hold on a directory, until `close`."""

    __slots__ = ("_release",)

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def close(self) -> None:
        """Calls the listener no more. May be called twice."""
        if self._release is not None:
            self._release()
            self._release = None


class _Directory:
    """A watched path: who listens, and the kernel's watch if there is one now."""

    __slots__ = ("listeners", "parent", "path", "wd")

    def __init__(self, path: str) -> None:
        self.path = path
        self.listeners: list[Listener] = []
        self.wd: int | None = None
        self.parent: Watch | None = None

    def tell(self, name: str | None) -> None:
        for listener in tuple(self.listeners):
            listener(name)


class Inotify:
    """The instance. Make it on the running loop, `close` it before the loop ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._by_path: dict[str, _Directory] = {}
        self._by_wd: dict[int, list[_Directory]] = {}
        self._last_read_at = 0.0
        self._rest: asyncio.TimerHandle | None = None
        self._refusal: str | None = None
        self._refused_paths: dict[str, str] = {}
        self._fd = self._open()
        self._resume()

    @property
    def reason(self) -> str | None:
        """Why changes are noticed by sweeping only (a sentence for /health), None while all watches stand."""
        return self._refusal or next(iter(self._refused_paths.values()), None)

    def watch(self, path: str, listener: Listener) -> Watch:
        """Calls `listener` on changes of files directly in the directory `path`, which may not exist yet.

        Once it appears the watch is set (at once if its parent exists) and the listener is told None.
        """
        directory = self._by_path.get(path)
        if directory is None:
            directory = self._by_path[path] = _Directory(path)
            self._attach(directory)
        directory.listeners.append(listener)
        return Watch(functools.partial(self._release, directory, listener))

    def retry(self) -> None:
        """Sets the watches that could not be set so far; for the listeners' slow sweep."""
        for directory in [each for each in self._by_path.values() if each.wd is None]:
            self._attach(directory)
            if directory.wd is not None:
                directory.tell(None)

    def close(self) -> None:
        """Ends every watch. May be called twice."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        self._by_path.clear()
        self._by_wd.clear()

    def _open(self) -> int:
        fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if fd < 0:
            code = ctypes.get_errno()
            hint = " (fs.inotify.max_user_instances)" if code == errno.EMFILE else ""
            self._refusal = f"inotify is not available: {os.strerror(code)}{hint}; logs are polled instead"
        return fd

    def _attach(self, directory: _Directory) -> None:
        if self._fd < 0:
            return
        wd: int = _libc.inotify_add_watch(self._fd, os.fsencode(directory.path), WATCHED)
        code = ctypes.get_errno()
        self._refused_paths.pop(directory.path, None)
        if wd >= 0:
            directory.wd = wd
            # one inode under two paths gives the same watch twice
            self._by_wd.setdefault(wd, []).append(directory)
            self._leave_parent(directory)
        elif code == errno.ENOENT:
            self._await_in_parent(directory)
        else:
            hint = " (fs.inotify.max_user_watches)" if code == errno.ENOSPC else ""
            self._refused_paths[directory.path] = (
                f"inotify cannot watch a log directory: {os.strerror(code)}{hint}; its logs are polled instead"
            )

    def _await_in_parent(self, directory: _Directory) -> None:
        """Wakes when `directory` is created, if at least its parent exists; else `retry` will find it."""
        parent, name = os.path.split(directory.path)
        if directory.parent is None and os.path.isdir(parent):
            directory.parent = self.watch(parent, lambda changed: self._on_parent(directory, name, changed))
            # it may have been made just before the parent was watched
            self._attach(directory)

    def _on_parent(self, directory: _Directory, name: str, changed: str | None) -> None:
        if changed in (None, name) and directory.wd is None:
            self._attach(directory)
            directory.tell(None)

    def _leave_parent(self, directory: _Directory) -> None:
        if directory.parent is not None:
            directory.parent.close()
            directory.parent = None

    def _release(self, directory: _Directory, listener: Listener) -> None:
        if listener in directory.listeners:
            directory.listeners.remove(listener)
        if directory.listeners or self._by_path.get(directory.path) is not directory:
            return
        del self._by_path[directory.path]
        self._refused_paths.pop(directory.path, None)
        self._leave_parent(directory)
        if directory.wd is not None:
            self._detach(directory.wd, directory)

    def _detach(self, wd: int, directory: _Directory) -> None:
        sharing = self._by_wd.get(wd, [])
        if directory in sharing:
            sharing.remove(directory)
        if not sharing and self._by_wd.pop(wd, None) is not None and self._fd >= 0:
            _libc.inotify_rm_watch(self._fd, wd)

    def _resume(self) -> None:
        self._rest = None
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._on_readable)

    def _on_readable(self) -> None:
        now = self._loop.time()
        if now - self._last_read_at < REST_SECONDS:
            self._loop.remove_reader(self._fd)
            self._rest = self._loop.call_later(REST_SECONDS, self._resume)
        self._last_read_at = now
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        # a set: a burst of writes to one file is one change
        for wd, mask, name in dict.fromkeys(_parse(data)):
            self._on_event(wd, mask, name)

    def _on_event(self, wd: int, mask: int, name: str) -> None:
        if mask & IN_Q_OVERFLOW:
            for directory in tuple(self._by_path.values()):
                directory.tell(None)
            return
        directories = tuple(self._by_wd.get(wd, ()))
        if mask & IN_IGNORED:
            self._by_wd.pop(wd, None)
            for directory in directories:
                directory.wd = None
        for directory in directories:
            directory.tell(None if mask & IN_IGNORED else name)


def _parse(data: bytes) -> list[tuple[int, int, str]]:
    """(watch, mask, file name) of every event in what inotify gave."""
    events = []
    offset = 0
    while offset < len(data):
        wd, mask, _, length = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size
        events.append((wd, mask, os.fsdecode(data[offset : offset + length].rstrip(b"\0"))))
        offset += length
    return events
