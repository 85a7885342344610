"""The programs beside which Wattle is measured: the same commands, in a new directory, checked as ours are."""

import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.dags import Dag, as_make, as_ninja
from tests.bench.place import AT_ONCE
from tests.bench.report import VoidError

TIMEOUT_SECONDS = 600.0
# `make bench` would hand its own flags and its job server down to the make that is measured.
NOT_FOR_RIVALS = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "NINJA_STATUS")


@dataclass(frozen=True, slots=True)
class Rival:
    """A program, how the commands are written down for it, and how one sees how many of them it ran."""

    name: str
    argv: tuple[str, ...]
    package: str
    write: Callable[[Dag], dict[str, str]]
    count: Callable[[Path], int] | None

    @property
    def is_here(self) -> bool:
        """Whether it is installed."""
        return shutil.which(self.argv[0]) is not None

    @property
    def how_to_install(self) -> str:
        """What to type when it is not."""
        return f"apt-get install -y {self.package}"

    def seconds(self, dag: Dag, place: Path) -> float:
        """Wall time of one run in the empty directory `place`; raises VoidError when it did not run everything."""
        for name, text in {"stdin": "", **self.write(dag)}.items():
            (place / name).write_text(text)
        environment = {name: value for name, value in os.environ.items() if name not in NOT_FOR_RIVALS}
        with (place / "stdin").open() as given, (place / "stdout").open("w") as said:
            begin = time.perf_counter()
            process = subprocess.Popen(self.argv, cwd=place, stdin=given, stdout=said, env=environment)
            exit_code = _wait(process)
            seconds = time.perf_counter() - begin
        self._check(dag, place, exit_code)
        return seconds

    def _check(self, dag: Dag, place: Path, exit_code: int) -> None:
        if exit_code:
            raise VoidError(f"{self.name} ended with exit code {exit_code}")
        if self.count is not None and (ran := self.count(place)) != len(dag):
            raise VoidError(f"{self.name} ran {ran} of {len(dag)} commands")
        check_outputs(dag, place, self.name)


def _wait(process: "subprocess.Popen[bytes]") -> int:
    """Its exit code, at once when it has ended: `wait(timeout=...)` looks only every 50 ms, which a rival would pay."""
    pidfd = os.pidfd_open(process.pid)
    try:
        if not select.select([pidfd], [], [], TIMEOUT_SECONDS)[0]:
            raise VoidError(f"process {process.pid} did not end within {TIMEOUT_SECONDS:g} s")
        return process.wait()
    finally:
        process.kill()
        process.wait()
        os.close(pidfd)


def check_outputs(dag: Dag, place: Path, who: str) -> None:
    """Raises VoidError unless every file that the commands make is there."""
    missing = {node.writes for node in dag.nodes if node.writes} - set(os.listdir(place))
    if missing:
        raise VoidError(f"{who} left {len(missing)} files unmade, such as {min(missing)}")


def _ran_by_ninja(place: Path) -> int:
    lines = (place / ".ninja_log").read_text().splitlines()
    return sum(not line.startswith("#") for line in lines)


def _ran_by_make(place: Path) -> int:
    """It prints each command before it runs it."""
    return len((place / "stdout").read_text().splitlines())


NINJA = Rival(
    "ninja", ("ninja", f"-j{AT_ONCE}"), "ninja-build", lambda dag: {"build.ninja": as_ninja(dag)}, _ran_by_ninja
)
MAKE = Rival("make", ("make", f"-j{AT_ONCE}"), "make", lambda dag: {"Makefile": as_make(dag)}, _ran_by_make)
XARGS = Rival(
    "xargs",
    ("xargs", f"-P{AT_ONCE}", "-n1", "/bin/true"),
    "findutils",
    lambda dag: {"stdin": "\n".join(node.name for node in dag.nodes)},
    None,  # it tells nobody; its exit code is all there is
)
