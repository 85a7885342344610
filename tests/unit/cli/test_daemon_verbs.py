"""The verbs that prepare a daemon: config and install-service; and what `serve` refuses before one exists."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own, so that the person's config.toml does not matter."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "STATE_DIRECTORY", "WATTLE_PORT", "WATTLE_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_config_says_where_each_value_comes_from(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own.toml"
    file.write_text("stop_grace_seconds = 3\nport = 1000\n", encoding="utf-8")
    monkeypatch.setenv("WATTLE_PORT", "9999")
    arguments = ["config", "--config", str(file), "--state-dir", str(tmp_path / "state")]
    values = json.loads(run(*arguments, "--json").out)
    assert (values["port"]["value"], values["port"]["source"]) == (9999, "WATTLE_PORT")
    assert (values["stop_grace_seconds"]["value"], values["stop_grace_seconds"]["source"]) == (3, str(file))
    assert values["state_dir"]["source"] == "--state-dir"
    assert values["host"]["source"] == "default"
    lines = run(*arguments).out.splitlines()
    assert lines[0].split() == ["SETTING", "VALUE", "SOURCE", "MEANING"]
    assert any(line.split()[:3] == ["port", "9999", "WATTLE_PORT"] for line in lines)


def test_config_names_every_problem(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTLE_PORT", "many")
    monkeypatch.setenv("WATTLE_HOST", "a b")
    shown = run("config")
    assert shown.code == 1
    assert "WATTLE_PORT must be" in shown.err
    assert "WATTLE_HOST must be" in shown.err


def test_serve_refuses_wrong_settings_with_every_reason(run: Run) -> None:
    shown = run("serve", "--port", "many", "--host", "a b")
    assert shown.code == 78
    assert [line.split()[1] for line in shown.err.splitlines()] == ["--host", "--port"]


def test_install_service_for_oneself(run: Run, tmp_path: Path) -> None:
    shown = run("install-service", "--user")
    path = tmp_path / ".config/systemd/user/wattle.service"
    assert shown.out.splitlines()[0] == f"Wrote {path}"
    assert "systemctl --user enable --now wattle" in shown.out
    assert " serve\n" in path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]
    assert run("install-service", "--user", "--print").out == path.read_text(encoding="utf-8")
    assert json.loads(run("install-service", "--user", "--json").out) == {"path": str(path)}


def test_install_service_where_it_cannot(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".config").touch()
    shown = run("install-service", "--user")
    assert shown.code == 1
    assert "cannot write" in shown.err


def test_install_service_as_somebody(run: Run) -> None:
    assert "User=somebody\n" in run("install-service", "--run-as", "somebody", "--print").out
    assert run("install-service", "--run-as", "a b", "--print").code == 1
    assert run("install-service", "--user", "--run-as", "x").code == 2
