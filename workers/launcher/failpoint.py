"""Planned deaths for tests: `WATTLE_FAILPOINT=name:count:kill` kills this process at the count-th passage of `name`.

Present in every build, because what is tested must be what runs; without the variable a passage costs one comparison.
The launcher reads its own copy, `WATTLE_LAUNCHER_FAILPOINT`, so that one of the two processes can be chosen.
"""

from __future__ import annotations

import os
import signal


class Failpoint:
    """Counts the passages of one name."""

    def __init__(self, text: str) -> None:
        self.name, _, rest = text.partition(":")
        self.left = int(rest.partition(":")[0] or 1) if text else 0

    def __call__(self, name: str) -> None:
        """Die here if this is the planned passage."""
        if name != self.name:
            return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
