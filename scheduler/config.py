"""Every setting on one page, and where its value comes from.

Flags come before `WATTLE_*` variables, these before config.toml, that before the defaults below. What is
wrong or unknown stops the start, all of it at once; `wattle config` prints each value and its source.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

from scheduler.config_values import (
    Reader,
    choice,
    is_loopback,
    number,
    read_directory,
    read_host,
    read_host_names,
    read_origins,
    size,
    whole_number,
)
from schemas.names import nearest

MIB: Final = 1024**2

# Variables that mean something without being settings; a worker that runs `wattle` carries many of them.
_OTHER_VARIABLES: Final = tuple(
    f"WATTLE_{name}" for name in ("URL", "FAILPOINT", "WORKFLOW", "WORKER", "RUN", "ATTEMPT", "INPUT", "OUTPUT")
)


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def _setting(default: Any, read: Reader, text: str) -> Any:
    """One line of the page below; a callable default is asked when it is needed."""
    metadata = {"read": read, "help": text}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The values in force. Sizes in bytes, times in seconds; each field's variable is WATTLE_ + its name."""

    state_dir: str = dataclasses.field(
        metadata={"read": read_directory, "help": "directory of the database, the runs and the launcher"}
    )
    host: str = _setting("127.0.0.1", read_host, "address to listen on; other than loopback needs auth")
    port: int = _setting(9240, whole_number(0, 65535), "port to listen on; 0 takes a free one")
    auth: str = _setting("none", choice("none", "required"), "whether requests need a key")
    allowed_hosts: tuple[str, ...] = _setting((), read_host_names, "further Host names to answer to")
    allowed_origins: tuple[str, ...] = _setting((), read_origins, "web origins that may send requests")
    max_concurrent_workers: int = _setting(
        usable_cores, whole_number(1, 10_000), "how many workers run at once; by default the usable cores"
    )
    queue_ahead: int = _setting(64, whole_number(0, 10_000), "ready workers handed to the launcher early")
    stop_grace_seconds: float = _setting(10.0, number(0, 3600), "time from TERM to KILL when a worker is stopped")
    log_max_bytes: int = _setting(64 * MIB, size(4096, 2**50), "how much of each log is kept")
    min_free_bytes: int = _setting(512 * MIB, size(0, 2**50), "no new starts below this much free disk")
    min_free_percent: float = _setting(5.0, number(0, 99), "no new starts below this share of free disk")
    max_body_bytes: int = _setting(8 * MIB, size(1024, 2**30), "largest request body")
    max_connections: int = _setting(512, whole_number(1, 60_000), "connections at once")
    max_streams: int = _setting(200, whole_number(0, 60_000), "event streams at once")
    body_timeout_seconds: float = _setting(10.0, number(0.1, 3600), "time for a request body to arrive")
    idle_timeout_seconds: float = _setting(15.0, number(0.1, 3600), "time an idle connection is kept")
    log_level: str = _setting("info", choice("debug", "info", "warning", "error"), "what the daemon logs")
    log_format: str = _setting("text", choice("text", "json"), "the form of the daemon's log lines")


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """One setting as a table shows it."""

    name: str
    type: str
    default: str
    env: str
    help: str
    read: Reader


def _describe(field: "dataclasses.Field[Any]") -> Setting:
    if field.name == "state_dir":
        default = "$STATE_DIRECTORY, $XDG_DATA_HOME/wattle or ~/.local/share/wattle"
    elif field.default is dataclasses.MISSING:
        default = "usable cores"
    else:
        default = "" if field.default == () else str(field.default)
    is_list = isinstance(field.default, tuple)
    type_name = "list" if is_list else getattr(field.type, "__name__", str(field.type))
    meta = field.metadata
    return Setting(field.name, type_name, default, f"WATTLE_{field.name.upper()}", meta["help"], meta["read"])


SETTINGS: Final[dict[str, Setting]] = {field.name: _describe(field) for field in dataclasses.fields(Settings)}


class ConfigError(Exception):
    """The settings do not allow a start; `problems` holds every reason as a sentence with its place."""

    exit_code: Final = 78

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclasses.dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The values in force, the source of each by name, and what is odd without being wrong."""

    settings: Settings
    sources: dict[str, str]
    warnings: tuple[str, ...]


def load_settings(
    flags: Mapping[str, object] | None = None,
    *,
    config_path: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedSettings:
    """Every setting from its best source. `flags` by setting name, None for a flag that was not given.

    Raises ConfigError with all problems at once.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    given = _defaults(environ)
    given.update(_from_file(config_path, environ, problems))
    given.update({name: (s.env, environ[s.env]) for name, s in SETTINGS.items() if environ.get(s.env)})
    given.update({name: (_flag(name), v) for name, v in (flags or {}).items() if v is not None})
    values = dict(_read_all(given, problems))
    if not problems and "state_dir" not in values:
        problems.append("state_dir: there is no home directory to put it in, give --state-dir")
    if problems:
        raise ConfigError(*problems)
    sources = {name: given[name][0] if name in given else "default" for name in SETTINGS}
    return LoadedSettings(Settings(**values), sources, tuple(_strange_variables(environ)))


def check_listening(settings: Settings) -> None:
    """Refuse what would open this machine to others: a public address, or keys that do not exist yet.

    Raises ConfigError (exit 78).
    """
    if settings.auth == "required":
        raise ConfigError(
            "auth: 'required' is not available in this version, API keys arrive in a later one; "
            "Wattle does not start rather than run without the protection that was asked for"
        )
    if not is_loopback(settings.host):
        raise ConfigError(
            f"host: '{settings.host}' can be reached from other machines, and whoever reaches Wattle can run "
            "commands; without authentication it listens on 127.0.0.1 or ::1 only"
        )


Given = dict[str, tuple[str, object]]
"""Setting name -> (where the value was found, the value as found)."""


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _read_all(given: Given, problems: list[str]) -> Iterator[tuple[str, Any]]:
    """The typed values; what cannot be read goes to `problems`."""
    for name, (source, value) in given.items():
        place = f"{source}: {name}" if source.startswith("/") else source
        try:
            yield name, SETTINGS[name].read(value)
        except ValueError as problem:
            problems.append(f"{place} {problem}")


def _defaults(environ: Mapping[str, str]) -> Given:
    """The one default that depends on the environment: where the state lives."""
    # systemd gives a list when a unit has several state directories; ours is the first
    directory = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if directory:
        return {"state_dir": ("$STATE_DIRECTORY", directory)}
    home = _xdg(environ, "XDG_DATA_HOME", ".local/share")
    return {"state_dir": ("default", f"{home}/wattle")} if home else {}


def _xdg(environ: Mapping[str, str], variable: str, below_home: str) -> str | None:
    """A directory of the XDG specification, which says that a relative value counts as absent."""
    if os.path.isabs(environ.get(variable, "")):
        return environ[variable]
    home = environ.get("HOME") or os.path.expanduser("~")
    return os.path.join(home, below_home) if os.path.isabs(home) else None


def _from_file(config_path: str | None, environ: Mapping[str, str], problems: list[str]) -> Given:
    """What the config file says; a file that was not named may be absent."""
    path = os.path.abspath(config_path) if config_path else _find_config(environ)
    if path is None:
        return {}
    content = _read_toml(path, problems)
    for key in content.keys() - SETTINGS.keys():
        near = nearest(key, SETTINGS)
        problems.append(f"{path}: unknown setting '{key}'" + (f", did you mean '{near}'?" if near else ""))
    return {name: (path, value) for name, value in content.items() if name in SETTINGS}


def _find_config(environ: Mapping[str, str]) -> str | None:
    own = _xdg(environ, "XDG_CONFIG_HOME", ".config")
    candidates = ([f"{own}/wattle/config.toml"] if own else []) + ["/etc/wattle/config.toml"]
    return next((path for path in candidates if os.path.exists(path)), None)


def _read_toml(path: str, problems: list[str]) -> dict[str, object]:
    import tomllib  # noqa: PLC0415  only a start with a config file pays for it

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as problem:
        problems.append(f"{path}: cannot be read: {problem.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        problems.append(f"{path}: is no valid TOML: {problem}")
    return {}


def _strange_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """Warnings for WATTLE_ variables that look like a mistyped setting.

    No error: a variable may be meant for a newer daemon, or be the worker's that runs this.
    """
    known = {setting.env for setting in SETTINGS.values()}
    for variable in environ:
        if not variable.startswith("WATTLE_") or variable in known or variable.startswith(_OTHER_VARIABLES):
            continue
        if near := nearest(variable.removeprefix("WATTLE_").lower(), SETTINGS):
            yield f"{variable} is no setting of Wattle, did you mean {SETTINGS[near].env}?"
