"""Where one run of the bench works and how large it is: new directories every time, gone after the last number."""

import itertools
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.helpers.daemon import Daemon, running_daemon

AT_ONCE = 2
"""How many commands run at once, here and with every rival."""

T = TypeVar("T")


@dataclass
class Bench:
    """What every measure is given. Nothing below `root` is deleted while there is still something to be timed."""

    root: Path
    quick: bool
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def pick(self, full: T, quick: T) -> T:
        """The size for this run."""
        return quick if self.quick else full

    def unique(self, name: str) -> str:
        """A name that nobody has yet."""
        return f"{name}-{next(self._numbers)}"

    def directory(self, name: str) -> Path:
        """A new empty directory."""
        path = self.root / self.unique(name)
        path.mkdir()
        return path

    def daemon(self) -> AbstractContextManager[Daemon]:
        """A daemon with a new state directory and the default settings, but for the slots."""
        return running_daemon(self.directory("daemon"), max_concurrent_workers=AT_ONCE)

    def say(self, text: str) -> None:
        """Progress, for who watches."""
        print(f"  {text}", file=sys.stderr, flush=True)
