"""The launcher's own log: its stderr, which is a file in the state directory."""

from __future__ import annotations

import contextlib
import os


def say(text: str) -> None:
    """Write a line. On a full disk it is dropped: whoever died of that would take every worker's end with it."""
    with contextlib.suppress(OSError):
        os.write(2, f"launcher: {text}\n".encode("utf-8", "backslashreplace"))
