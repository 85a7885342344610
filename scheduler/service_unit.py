"""Makes the systemd unit for this installation out of `systemd/wattle.service`, for the system or for one user."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

UNIT_NAME: Final = "wattle.service"

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:=,@%+-]+")
_USER_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?")

# Lines that a user's own systemd has no use for or may not do: it cannot be another user, take capabilities away or
# rank above others, knows no network.target, and the state stays where `wattle serve` in a terminal keeps it.
_SYSTEM_ONLY: Final = (
    "User",
    "After",
    "OOMScoreAdjust",
    "CapabilityBoundingSet",
    "StateDirectory",
    "StateDirectoryMode",
)


def render_unit(exec_start: Sequence[str], *, user_mode: bool = False, run_as: str | None = None) -> str:
    """The unit's text, which starts the command `exec_start`, its first word an absolute path.

    `run_as` is the user of a system service, `wattle` when not given; `user_mode` makes it a unit for `systemctl
    --user`. Raises ValueError for a command or a user that a unit cannot hold.
    """
    replaced = {"ExecStart": _command_line(exec_start), "User": _user(run_as or "wattle")}
    if user_mode:
        replaced["WantedBy"] = "default.target"
    dropped = _SYSTEM_ONLY if user_mode else ()
    return "\n".join(_rendered(_template().splitlines(), replaced, dropped)) + "\n"


def unit_path(*, user_mode: bool = False) -> Path:
    """Where systemd looks for the unit of an administrator, or of this user."""
    if not user_mode:
        return Path("/etc/systemd/system") / UNIT_NAME
    config_home = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(config_home) if os.path.isabs(config_home) else Path.home() / ".config"
    return base / "systemd" / "user" / UNIT_NAME


def _rendered(lines: list[str], replaced: dict[str, str], dropped: Sequence[str]) -> Iterator[str]:
    """The lines with new values; a dropped line takes the comment right above it along."""
    comment: list[str] = []
    for line in lines:
        key = line.partition("=")[0]
        if line.startswith("#"):
            comment.append(line)
            continue
        if key not in dropped:
            yield from comment
            yield f"{key}={replaced[key]}" if key in replaced else line
        comment = []


def _command_line(words: Sequence[str]) -> str:
    """The words as systemd.service(5) wants them quoted; `%` and `$` stand for themselves."""
    if not words or not os.path.isabs(words[0]):
        raise ValueError("the command of a unit starts with an absolute path")
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    if not word.isprintable():
        raise ValueError(f"{word!r} holds characters that a unit cannot")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if _PLAIN.fullmatch(word) else f'"{escaped}"'


def _user(name: str) -> str:
    if not _USER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no user name")
    return name


def _template() -> str:
    """The shipped unit: beside the packages in a checkout, among the installed files elsewhere."""
    in_checkout = Path(__file__).parent.parent / "systemd" / UNIT_NAME
    if in_checkout.is_file():
        return in_checkout.read_text(encoding="utf-8")
    import importlib.metadata  # noqa: PLC0415  only an installed copy pays for it

    for file in importlib.metadata.files("wattle-scheduler") or ():
        if file.name == UNIT_NAME:
            return Path(str(file.locate())).read_text(encoding="utf-8")
    raise FileNotFoundError(f"{UNIT_NAME} is missing from this installation")
