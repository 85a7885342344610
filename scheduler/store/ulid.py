"""ULIDs: 26 characters that sort by time, so that an index of them grows at its end."""

from __future__ import annotations

import os
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_last = 0


def new_ulid() -> str:
    """A new ULID, later than every one made before in this process (48 bits of milliseconds, 80 random, monotonic)."""
    global _last  # noqa: PLW0603 - monotonic within the process, which is what makes it worth having
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    if value <= _last:
        value = _last + 1
    _last = value
    characters = []
    for _ in range(26):
        value, digit = divmod(value, 32)
        characters.append(_ALPHABET[digit])
    return "".join(reversed(characters))
