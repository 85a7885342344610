from pathlib import Path

import pytest

from scheduler.service_unit import render_unit, unit_path

DESIGNED = [
    "Type=notify",
    "NotifyAccess=main",
    "KillMode=process",
    "Delegate=yes",
    "Restart=always",
    "RestartSec=200ms",
    "RestartPreventExitStatus=78",
    "WatchdogSec=30s",
    "OOMPolicy=continue",
    "OOMScoreAdjust=-500",
    "StateDirectory=wattle",
    "RuntimeDirectory=wattle",
    "RuntimeDirectoryPreserve=yes",
    "UMask=0077",
    "LimitNOFILE=65536",
    "TasksMax=infinity",
]

UNFIT_FOR_USERS_COMMANDS = (
    "MemoryDenyWriteExecute",
    "PrivateTmp",
    "ProtectHome",
    "ProtectSystem",
    "DynamicUser",
    "NoNewPrivileges",
)


def settings_of(unit: str) -> list[str]:
    return [line for line in unit.splitlines() if "=" in line and not line.startswith("#")]


def test_the_shipped_unit_is_the_designed_one() -> None:
    lines = settings_of(render_unit(["/usr/local/bin/wattle", "serve"]))

    assert set(DESIGNED) <= set(lines)
    assert not [line for line in lines if line.startswith(UNFIT_FOR_USERS_COMMANDS)]
    shipped = Path(__file__).parents[3] / "systemd" / "wattle.service"
    assert render_unit(["/usr/local/bin/wattle", "serve"]) == shipped.read_text()


def test_the_command_and_the_user_are_filled_in() -> None:
    lines = settings_of(render_unit(["/opt/wattle/bin/wattle", "serve", "--port", "1"], run_as="deploy"))

    assert "ExecStart=/opt/wattle/bin/wattle serve --port 1" in lines
    assert "User=deploy" in lines


def test_words_are_quoted_and_mean_themselves() -> None:
    lines = settings_of(render_unit(["/opt/my app/wattle", "serve", "--state-dir", '/a"b\\c$HOME/50%']))

    assert r'ExecStart="/opt/my app/wattle" serve --state-dir "/a\"b\\c$$HOME/50%%"' in lines


@pytest.mark.parametrize("words", [[], ["wattle", "serve"], ["/bin/wattle", "a\nExecStartPre=/bin/evil"]])
def test_a_command_that_a_unit_cannot_hold_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match="unit"):
        render_unit(words)


def test_a_user_that_is_no_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no user name"):
        render_unit(["/bin/wattle"], run_as="a\nb")


def test_the_unit_of_a_user_leaves_out_what_only_the_system_may_do() -> None:
    unit = render_unit(["/bin/wattle", "serve"], user_mode=True)

    keys = {line.partition("=")[0] for line in settings_of(unit)}
    assert not keys & {"User", "OOMScoreAdjust", "StateDirectory", "CapabilityBoundingSet", "After"}
    assert {"Type", "KillMode", "Delegate", "Restart", "WatchdogSec"} <= keys
    assert "WantedBy=default.target" in unit
    assert "never root" not in unit


def test_the_unit_goes_where_systemd_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert str(unit_path()) == "/etc/systemd/system/wattle.service"
    assert str(unit_path(user_mode=True)) == "/home/x/.config/systemd/user/wattle.service"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/c")
    assert str(unit_path(user_mode=True)) == "/c/systemd/user/wattle.service"
