"""The machine on which the numbers were taken: without it they mean nothing."""

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.place import AT_ONCE

BUSY_LOAD = 0.5
# For up to a minute after a tree was deleted, by anybody, a file costs twenty times as much on an ext4 without journal.
SLOW_FILE_US = 100.0
PROBED_FILES = 200
MEMORY_BACKED = ("tmpfs", "ramfs")


def facts(place: Path) -> dict[str, Any]:
    """What matters of the host; take it before the first measure, for the load."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _line_of("/proc/cpuinfo", "model name"),
        "memory": _line_of("/proc/meminfo", "MemTotal"),
        "load_before": os.getloadavg(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "filesystem": filesystem_of(place),
        "file_us": file_creation_us(place / "probe-before"),
        "at_once": AT_ONCE,
        "ninja": _version("ninja"),
        "make": _version("make"),
        "xargs": _version("xargs"),
    }


def describe(host: dict[str, Any]) -> str:
    """The facts in a few lines, with what makes the numbers worth less."""
    load = " ".join(f"{value:.2f}" for value in host["load_before"])
    disk = f"{host['filesystem']}, where creating a file takes {host['file_us']:.0f} us"
    lines = [
        f"{host['cores']} cores ({host['cpu']}), {host['memory']}, load before {load}",
        f"Linux {host['kernel']}, Python {host['python']}, {disk}; {AT_ONCE} commands at once",
        f"ninja {host['ninja']}; {host['make']}; {host['xargs']}",
    ]
    if host["load_before"][0] > BUSY_LOAD:
        lines.append("CAUTION: others use this machine; believe ratios rather than times, and neither very much.")
    if host["file_us"] > SLOW_FILE_US:
        lines.append("CAUTION: creating files is slow just now; if something large was deleted, wait a minute.")
    if host["filesystem"].split()[0] in MEMORY_BACKED:
        lines.append("CAUTION: this file system is memory, where durable writes cost nothing; use --dir.")
    return "\n".join(lines)


def file_creation_us(directory: Path) -> float:
    """Median microseconds to create an empty file in a new directory: what a log file costs, twice an attempt."""
    directory.mkdir()
    taken = []
    for number in range(PROBED_FILES):
        begin = time.perf_counter()
        os.close(os.open(directory / str(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        taken.append((time.perf_counter() - begin) * 1e6)
    return median(taken)


def describe_after(host: dict[str, Any], place: Path) -> str:
    """What has changed since the facts were taken."""
    host["load_after"], host["file_us_after"] = os.getloadavg(), file_creation_us(place / "probe-after")
    return f"After it: load {host['load_after'][0]:.2f}, creating a file takes {host['file_us_after']:.0f} us"


def filesystem_of(place: Path) -> str:
    """Type and mount point of the file system that holds `place`."""
    found = ("unknown", "")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if place.is_relative_to(mount) and len(mount) >= len(found[1]):
            found = (kind, mount)
    return f"{found[0]} on {found[1]}"


def _line_of(path: str, key: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(key):
            return line.partition(":")[2].strip()
    return "unknown"


def _version(program: str) -> str:
    if shutil.which(program) is None:
        return "not installed"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return (said.splitlines() or ["unknown"])[0]
