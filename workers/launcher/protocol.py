"""What the two ends of the line must agree on; the daemon imports this and nothing else of the launcher's rooms."""

from __future__ import annotations

import os
import zlib

PROTOCOLS = (1,)  # newest first: a new daemon must be able to speak with an older launcher that still runs


def source_checksum() -> str:
    """Which text of the launcher this is, so that a daemon can tell an older one from its own."""
    folder = os.path.dirname(os.path.abspath(__file__))
    checksum = 0
    for name in sorted(os.listdir(folder)):
        if name.endswith(".py"):
            with open(os.path.join(folder, name), "rb") as file:
                checksum = zlib.crc32(file.read(), checksum)
    return f"{checksum:08x}"


SOURCE = source_checksum()
