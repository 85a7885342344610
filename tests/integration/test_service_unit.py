import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler.service_unit import render_unit

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")


def verify(tmp_path: Path, unit: str, *, user_mode: bool = False) -> str:
    """What systemd has to say about the unit; its exit code is 0 also for keys that it does not know."""
    path = tmp_path / "wattle.service"
    path.write_text(unit)
    command = ["systemd-analyze", "--user" if user_mode else "--system", "verify", str(path)]
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path)}
    return subprocess.run(command, env={**os.environ, **runtime}, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("user_mode", [False, True], ids=["system", "user"])
def test_systemd_finds_nothing_to_say_about_the_unit(tmp_path: Path, user_mode: bool) -> None:
    unit = render_unit([sys.executable, "serve"], user_mode=user_mode)

    assert verify(tmp_path, unit, user_mode=user_mode) == ""


def test_a_key_that_systemd_does_not_know_would_be_seen(tmp_path: Path) -> None:
    unit = render_unit([sys.executable, "serve"]).replace("WatchdogSec=", "WatchdogSecs=")

    assert "Unknown key" in verify(tmp_path, unit)


def test_a_value_that_systemd_does_not_know_would_be_seen(tmp_path: Path) -> None:
    unit = render_unit([sys.executable, "serve"]).replace("KillMode=process", "KillMode=proces")

    assert "kill mode" in verify(tmp_path, unit)
