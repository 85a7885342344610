import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduler.config import SETTINGS, ConfigError, LoadedSettings, Settings, check_listening, load_settings


def load(tmp_path: Path, toml: str = "", environ: dict[str, str] | None = None, **flags: object) -> LoadedSettings:
    """The settings with nothing around them but what the test gives."""
    config = tmp_path / "config.toml"
    config.write_text(toml)
    return load_settings(flags, config_path=str(config), environ={"HOME": str(tmp_path), **(environ or {})})


def problems_of(tmp_path: Path, *args: Any, **flags: Any) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, *args, **flags)
    return list(refused.value.problems)


def test_defaults_are_those_of_the_design(tmp_path: Path) -> None:
    loaded = load(tmp_path)

    assert loaded.settings == Settings(
        state_dir=f"{tmp_path}/.local/share/wattle",
        host="127.0.0.1",
        port=9240,
        auth="none",
        allowed_hosts=(),
        allowed_origins=(),
        max_concurrent_workers=len(os.sched_getaffinity(0)),
        queue_ahead=64,
        stop_grace_seconds=10,
        log_max_bytes=64 * 1024**2,
        min_free_bytes=512 * 1024**2,
        min_free_percent=5,
        max_body_bytes=8 * 1024**2,
        max_connections=512,
        max_streams=200,
        body_timeout_seconds=10,
        idle_timeout_seconds=15,
        log_level="info",
        log_format="text",
    )
    assert set(loaded.sources.values()) == {"default"}
    assert set(loaded.sources) == set(SETTINGS) == {field.name for field in dataclasses.fields(Settings)}


def test_flags_beat_variables_beat_the_file_beats_defaults(tmp_path: Path) -> None:
    toml = "port = 1\nqueue_ahead = 1\nmax_streams = 1\n"
    environ = {"WATTLE_PORT": "2", "WATTLE_QUEUE_AHEAD": "2"}

    loaded = load(tmp_path, toml, environ, port=3, host=None)

    assert (loaded.settings.port, loaded.settings.queue_ahead, loaded.settings.max_streams) == (3, 2, 1)
    assert loaded.sources["port"] == "--port"
    assert loaded.sources["queue_ahead"] == "WATTLE_QUEUE_AHEAD"
    assert loaded.sources["max_streams"] == f"{tmp_path}/config.toml"
    assert loaded.sources["host"] == "default"


@pytest.mark.parametrize(
    ("environ", "directory", "source"),
    [
        ({"WATTLE_STATE_DIR": "/a", "STATE_DIRECTORY": "/b", "XDG_DATA_HOME": "/c"}, "/a", "WATTLE_STATE_DIR"),
        ({"STATE_DIRECTORY": "/b:/other", "XDG_DATA_HOME": "/c"}, "/b", "$STATE_DIRECTORY"),
        ({"XDG_DATA_HOME": "/c"}, "/c/wattle", "default"),
        ({"XDG_DATA_HOME": "relative", "HOME": "/d"}, "/d/.local/share/wattle", "default"),
        ({"WATTLE_STATE_DIR": "", "HOME": "/d"}, "/d/.local/share/wattle", "default"),
    ],
)
def test_the_state_directory_has_its_own_order(
    tmp_path: Path, environ: dict[str, str], directory: str, source: str
) -> None:
    loaded = load(tmp_path, "", environ)

    assert loaded.settings.state_dir == directory
    assert loaded.sources["state_dir"] == source


def test_a_flag_names_the_state_directory_before_all_and_becomes_absolute(tmp_path: Path) -> None:
    loaded = load(tmp_path, "", {"WATTLE_STATE_DIR": "/a"}, state_dir="here")

    assert loaded.settings.state_dir == os.path.abspath("here")


def test_all_problems_are_named_at_once_with_their_places(tmp_path: Path) -> None:
    toml = 'port = "many"\nprot = 1\nauth = "maybe"\n[http]\nx = 1\n'
    environ = {"WATTLE_MAX_STREAMS": "-1", "WATTLE_LOG_FORMAT": "xml"}

    problems = problems_of(tmp_path, toml, environ, host="127.0.0.1:80")

    place = f"{tmp_path}/config.toml"
    assert sorted(problems) == sorted(
        [
            f"{place}: port must be a whole number from 0 to 65535, not 'many'",
            f"{place}: unknown setting 'prot', did you mean 'port'?",
            f"{place}: unknown setting 'http'",
            f"{place}: auth must be one of none, required, not 'maybe'",
            "WATTLE_MAX_STREAMS must be a whole number from 0 to 60000, not '-1'",
            "WATTLE_LOG_FORMAT must be one of text, json, not 'xml'",
            "--host must be an address or a host name without a port, not '127.0.0.1:80'",
        ]
    )


def test_a_config_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
        load_settings({}, config_path=str(tmp_path / "none.toml"), environ={"HOME": "/h"})


def test_a_broken_config_file_says_where(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "port = \n")[0].startswith(f"{tmp_path}/config.toml: is no valid TOML: ")
    (tmp_path / "latin.toml").write_bytes(b'host = "\xff"')
    with pytest.raises(ConfigError, match="is no valid TOML"):
        load_settings({}, config_path=str(tmp_path / "latin.toml"), environ={"HOME": "/h"})


def test_the_config_file_is_found_in_the_xdg_directory(tmp_path: Path) -> None:
    (tmp_path / "xdg" / "wattle").mkdir(parents=True)
    (tmp_path / "xdg" / "wattle" / "config.toml").write_text("port = 4")

    loaded = load_settings({}, environ={"HOME": "/h", "XDG_CONFIG_HOME": f"{tmp_path}/xdg"})

    assert loaded.settings.port == 4


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("log_max_bytes", "64 MiB", 64 * 1024**2),
        ("log_max_bytes", "8192", 8192),
        ("min_free_bytes", "1gib", 1024**3),
        ("stop_grace_seconds", "0.5", 0.5),
        (
            "allowed_hosts",
            "Wattle.example, wattle.example:8443,[::1]:80,",
            ("wattle.example", "wattle.example:8443", "[::1]:80"),
        ),
        ("allowed_origins", "https://wattle.example", ("https://wattle.example",)),
        ("host", "[::1]", "::1"),
        ("host", "LOCALHOST", "localhost"),
        ("log_level", "DEBUG", "debug"),
    ],
)
def test_text_becomes_a_typed_value(tmp_path: Path, name: str, text: str, value: object) -> None:
    loaded = load(tmp_path, "", {f"WATTLE_{name.upper()}": text})

    assert getattr(loaded.settings, name) == value


@pytest.mark.parametrize(
    ("toml", "name", "value"),
    [
        ('allowed_hosts = ["a", "b:1"]', "allowed_hosts", ("a", "b:1")),
        ('log_max_bytes = "1 MiB"', "log_max_bytes", 1024**2),
        ("log_max_bytes = 5000", "log_max_bytes", 5000),
        ("stop_grace_seconds = 3", "stop_grace_seconds", 3.0),
    ],
)
def test_toml_values_keep_their_types(tmp_path: Path, toml: str, name: str, value: object) -> None:
    assert getattr(load(tmp_path, toml).settings, name) == value


@pytest.mark.parametrize(
    "toml",
    [
        "port = true",
        "port = 70000",
        "port = 1.5",
        "log_max_bytes = true",
        'log_max_bytes = "64 MB"',
        'log_max_bytes = "-1"',
        "log_max_bytes = 1",
        "stop_grace_seconds = true",
        "stop_grace_seconds = nan",
        "stop_grace_seconds = inf",
        "auth = 1",
        "allowed_hosts = [1]",
        'allowed_hosts = "http://x"',
        'allowed_hosts = ["*"]',
        'allowed_hosts = ["::1"]',
        'allowed_hosts = ["a:b"]',
        'allowed_origins = ["*"]',
        'allowed_origins = ["null"]',
        'allowed_origins = ["https://x/"]',
        "state_dir = 1",
        'state_dir = ""',
        'host = ""',
        "host = 1",
    ],
)
def test_a_wrong_value_is_refused_with_its_name(tmp_path: Path, toml: str) -> None:
    problems = problems_of(tmp_path, toml)

    assert len(problems) == 1
    assert problems[0].startswith(f"{tmp_path}/config.toml: {toml.split(maxsplit=1)[0]} must ")


def test_without_a_home_directory_the_state_directory_must_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(ConfigError, match="give --state-dir"):
        load_settings({}, environ={})
    assert load_settings({"state_dir": str(tmp_path)}, environ={}).settings.state_dir == str(tmp_path)


def test_a_variable_that_looks_like_a_mistyped_setting_is_a_warning(tmp_path: Path) -> None:
    environ = {
        "WATTLE_PROT": "1",
        "WATTLE_RUN_ID": "x",
        "WATTLE_INPUT_HOST": "x",
        "WATTLE_URL": "x",
        "WATTLE_FAILPOINT": "x",
        "WATTLE_ZZZZZZ": "x",
        "PATH": "x",
    }

    assert load(tmp_path, "", environ).warnings == ("WATTLE_PROT is no setting of Wattle, did you mean WATTLE_PORT?",)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.5.5", "::1", "localhost"])
def test_loopback_may_be_listened_on_without_keys(host: str) -> None:
    check_listening(Settings(state_dir="/x", host=host))


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.5", "fe80::1", "example.org", "127.0.0.1.nip.io", "0", "127.1"]
)
def test_a_public_address_is_refused_with_exit_code_78(host: str) -> None:
    with pytest.raises(ConfigError, match="can be reached from other machines") as refused:
        check_listening(Settings(state_dir="/x", host=host))
    assert refused.value.exit_code == 78


def test_keys_that_do_not_exist_yet_are_refused_honestly() -> None:
    with pytest.raises(ConfigError, match="keys arrive in a later") as refused:
        check_listening(Settings(state_dir="/x", auth="required"))
    assert refused.value.exit_code == 78


def test_every_setting_explains_itself() -> None:
    for setting in SETTINGS.values():
        assert setting.help
        assert setting.type in ("str", "int", "float", "list")
        assert setting.env == f"WATTLE_{setting.name.upper()}"
    assert SETTINGS["log_max_bytes"].default == str(64 * 1024**2)


def test_reading_the_settings_imports_neither_pydantic_nor_aiohttp() -> None:
    code = "import scheduler.config, json, sys; print(json.dumps(sorted(sys.modules)))"

    loaded = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)

    assert not {"pydantic", "aiohttp", "asyncio", "orjson"} & set(loaded)
