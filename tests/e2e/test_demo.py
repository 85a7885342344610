"""`wattle demo` shows a real DAG, and leaves no process and no file behind, however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.processes import processes_of

DEMO = [sys.executable, "-m", "scheduler.cli.main", "demo"]


def begin(place: Path, **environment: str) -> "subprocess.Popen[str]":
    """A demo whose temporary directory is `place`."""
    kept = {"PATH": os.environ["PATH"], "HOME": str(place), "TMPDIR": str(place), "LANG": "C.UTF-8"}
    return subprocess.Popen(
        DEMO,
        env={**kept, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_behind(place: Path) -> list[str]:
    return [*processes_of(place).values(), *(str(path) for path in place.rglob("wattle-demo-*"))]


def test_the_demo(tmp_path: Path) -> None:
    demo = begin(tmp_path)
    out, err = demo.communicate(timeout=100)
    assert (demo.returncode, err) == (0, ""), out
    lines = out.splitlines()
    assert '  fetch_data | {"data": [1, 2, 3, 4, 5]}' in lines
    assert "  process_data | Sum: 15" in lines
    assert "Sum: 15" in lines
    assert any("fetch_data ├─raw_data──▶│" in line for line in lines)
    rows = {line.split()[0]: line.split() for line in lines if line.startswith(("fetch_data ", "process_data "))}
    assert [rows["fetch_data"][at] for at in (1, 4)] == ["completed", "0"]
    assert rows["fetch_data"][5:] == ["raw_data:", "raw.json", "(26", "B)"]
    assert rows["process_data"][5:] == ["result:", "result.txt", "(8", "B)"]
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("moment", ["$ wattle serve", "  http://", "$ wattle create", "$ wattle start"])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_cleans_up(tmp_path: Path, moment: str, sent: signal.Signals) -> None:
    demo = begin(tmp_path)
    assert demo.stdout is not None
    seen = next(line for line in demo.stdout if line.startswith(moment))
    demo.send_signal(sent)
    out, err = demo.communicate(timeout=100)
    assert demo.returncode == 130, seen + out + err
    assert left_behind(tmp_path) == []


def test_a_failure_shows_the_daemons_log(tmp_path: Path) -> None:
    """Without a python3 on PATH the two workers cannot start."""
    (tmp_path / "empty").mkdir()
    demo = begin(tmp_path, PATH=str(tmp_path / "empty"))
    out, err = demo.communicate(timeout=100)
    assert demo.returncode == 1, out
    assert "the run ended failed" in err
    assert "What the daemon wrote:" in err
    assert left_behind(tmp_path) == []
