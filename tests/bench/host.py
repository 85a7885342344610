"""The machine on which the numbers were taken: without it they mean nothing."""

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.bench.place import AT_ONCE

BUSY_LOAD = 0.5
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
        "at_once": AT_ONCE,
        "ninja": _version("ninja"),
        "make": _version("make"),
        "xargs": _version("xargs"),
    }


def describe(host: dict[str, Any]) -> str:
    """The facts in a few lines, with what makes the numbers worth less."""
    load = " ".join(f"{value:.2f}" for value in host["load_before"])
    lines = [
        f"{host['cores']} cores ({host['cpu']}), {host['memory']}, load before {load}",
        f"Linux {host['kernel']}, Python {host['python']}, {host['filesystem']}; {AT_ONCE} commands at once",
        f"ninja {host['ninja']}; {host['make']}; {host['xargs']}",
    ]
    if host["load_before"][0] > BUSY_LOAD:
        lines.append("CAUTION: others use this machine; believe ratios rather than times, and neither very much.")
    if host["filesystem"].split()[0] in MEMORY_BACKED:
        lines.append("CAUTION: this file system is memory, where durable writes cost nothing; use --dir.")
    return "\n".join(lines)


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
