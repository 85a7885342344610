"""Planned deaths: the process dies at exactly the passage that was named, and at no other."""

import os
import signal
import subprocess
import sys

import pytest

from workers.launcher.failpoint import Failpoint

PASSAGES = """
import sys
from workers.launcher.failpoint import Failpoint
failpoint = Failpoint(sys.argv[1])
for number in range(1, 6):
    print(number, flush=True)
    failpoint("here")
    failpoint("there")
"""


@pytest.mark.parametrize(
    ("planned", "passed"), [("here:1:kill", 1), ("here:3:kill", 3), ("here", 1), ("there:5:kill", 5), ("here:5", 5)]
)
def test_it_dies_there(planned: str, passed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PASSAGES, planned], cwd=os.getcwd(), capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == [str(number) for number in range(1, passed + 1)]


@pytest.mark.parametrize("planned", ["", "elsewhere:1:kill", "here:1000:kill", "her:1:kill"])
def test_it_lives_on(planned: str) -> None:
    failpoint = Failpoint(planned)
    for _ in range(100):
        failpoint("here")
