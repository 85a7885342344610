"""The journal: what was begun and how it ended, in one append-only file that survives the launcher."""

from __future__ import annotations

import contextlib
import errno
import os
import zlib

STEP_BYTES = 1024 * 1024
RESERVE_BYTES = 32 * 1024  # always kept free for the ends of what already runs ...
RESERVE_EACH_BYTES = 512  # ... and this much for each of them
COMPACT_BYTES = 4 * 1024 * 1024


def encode(text: str) -> bytes:
    """One record as it stands in the file: checksum, space, text, newline."""
    body = text.encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(data: bytes) -> tuple[list[str], int]:
    """The records of a file and the offset behind the last one; reading stops at the first line that does not check."""
    records: list[str] = []
    offset = 0
    while True:
        end = data.find(b"\n", offset)
        line = data[offset:end]
        if end < 0 or len(line) < 10 or line[:9] != b"%08x " % zlib.crc32(line[9:]):
            return records, offset
        records.append(line[9:].decode())
        offset = end + 1


class Journal:
    """The open journal.

    Records are `kind id fields...`: G generation boot-id journal-id; I intent; P pid ticks started-at; N never ran;
    X exit as JSON; A acknowledged. Each is written by one write() and never rewritten in place. Room is allocated a MiB
    ahead, so that a full disk cannot lose the end of something that was allowed to begin.
    """

    def __init__(self, directory_fd: int, name: str = "launcher.journal") -> None:
        self._directory_fd, self._name = directory_fd, name
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(name, flags, 0o600, dir_fd=directory_fd)
        data = b"".join(iter(lambda: os.read(self._fd, 1 << 20), b""))
        self._records, self._offset = decode(data)
        # Behind the last good line stands a torn write or room: blank it, or a reader could stop within our next line.
        os.ftruncate(self._fd, self._offset)
        self._allocated = self._offset
        self.has_room(0)

    def take_records(self) -> list[str]:
        """What stood in the file when it was opened; given once."""
        records, self._records = self._records, []
        return records

    def has_room(self, running: int) -> bool:
        """Whether there is room for the ends of `running` attempts and a reserve, after trying to allocate more."""
        needed = RESERVE_BYTES + RESERVE_EACH_BYTES * running
        if self._allocated - self._offset < 2 * needed:
            try:
                os.posix_fallocate(self._fd, self._offset, STEP_BYTES + 2 * needed)
                self._allocated = self._offset + STEP_BYTES + 2 * needed
            except OSError:
                return self._allocated - self._offset >= needed
        return True

    def append(self, text: str) -> None:
        """Write one record; raises OSError when even the reserve is used up."""
        line = encode(text)
        if os.pwrite(self._fd, line, self._offset) != len(line):
            raise OSError(errno.ENOSPC, "short write to the journal")
        self._offset += len(line)

    def is_long(self) -> bool:
        """Whether it is time to compact."""
        return self._offset > COMPACT_BYTES

    def compact(self, texts: list[str]) -> None:
        """Replace the file by these records (fsync, then rename): a crash leaves the old or the new, no mixture."""
        data = b"".join(map(encode, texts))
        try:
            fd = self._write_and_rename(data)
        except OSError:
            return  # no room for a second copy: the long one goes on
        with contextlib.suppress(OSError):  # the new one is in place, and only a power cut could bring the old one back
            os.fsync(self._directory_fd)
        os.close(self._fd)
        self._fd, self._offset, self._allocated = fd, len(data), len(data) + STEP_BYTES

    def _write_and_rename(self, data: bytes) -> int:
        temporary = self._name + ".new"
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(temporary, flags, 0o600, dir_fd=self._directory_fd)
        try:
            os.posix_fallocate(fd, 0, len(data) + STEP_BYTES)
            if os.pwrite(fd, data, 0) != len(data):
                raise OSError(errno.ENOSPC, "short write to the journal")
            os.fsync(fd)
            os.rename(temporary, self._name, src_dir_fd=self._directory_fd, dst_dir_fd=self._directory_fd)
        except OSError:
            os.close(fd)
            raise
        return fd
