"""Reads one setting's value from a flag, a variable or a TOML file, or says in a sentence what it must be.

A reader takes text (flags, environment) or what TOML gave and returns the typed value; it raises ValueError
with the end of a sentence, "must be ...", so that the caller can put the place in front of it.
"""

import ipaddress
import math
import os
import re
from collections.abc import Callable

Reader = Callable[[object], object]

_UNITS = {"": 1, "b": 1, "kib": 1024, "mib": 1024**2, "gib": 1024**3, "tib": 1024**4}
_SIZE = re.compile(r"([0-9]+)\s*([a-z]*)")
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_ORIGIN = re.compile(r"https?://[^/?#@\s*]+")


def whole_number(low: int, high: int) -> Reader:
    """A reader of whole numbers from `low` to `high`."""

    def read(value: object) -> int:
        number = _integer(value)
        if number is None or not low <= number <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {_shown(value)}")
        return number

    return read


def number(low: float, high: float) -> Reader:
    """A reader of numbers from `low` to `high`, fractions included."""

    def read(value: object) -> float:
        try:
            result = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            result = math.nan
        if not low <= result <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}, not {_shown(value)}")
        return result

    return read


def size(low: int, high: int) -> Reader:
    """A reader of sizes in bytes: a whole number, or text such as "64 MiB" (KiB, MiB, GiB, TiB)."""

    def read(value: object) -> int:
        match = _SIZE.fullmatch(str(value).strip().lower())
        if match is None or isinstance(value, bool) or match[2] not in _UNITS:
            raise ValueError(f'must be a number of bytes or text such as "64 MiB", not {_shown(value)}')
        result = int(match[1]) * _UNITS[match[2]]
        if not low <= result <= high:
            raise ValueError(f"must be from {low} to {high} bytes, not {result}")
        return result

    return read


def choice(*options: str) -> Reader:
    """A reader of one word out of `options`, in any case."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value.strip().lower() not in options:
            raise ValueError(f"must be one of {', '.join(options)}, not {_shown(value)}")
        return value.strip().lower()

    return read


def read_host(value: object) -> str:
    """An address or a host name to listen on, without its port; brackets around IPv6 are taken off."""
    host = value.strip().lower().removeprefix("[").removesuffix("]") if isinstance(value, str) else ""
    if not (_is_address(host) or _HOST_NAME.fullmatch(host)):
        raise ValueError(f"must be an address or a host name without a port, not {_shown(value)}")
    return host


def read_directory(value: object) -> str:
    """A directory as an absolute path; `~` is the home directory, relative to where Wattle starts."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"must be the path of a directory, not {_shown(value)}")
    return os.path.abspath(os.path.expanduser(value))


def read_host_names(value: object) -> tuple[str, ...]:
    """Host names for the Host header, each with its port or without; text is split at commas."""
    return tuple(_host_with_port(entry) for entry in _entries(value))


def read_origins(value: object) -> tuple[str, ...]:
    """Origins as a browser sends them, `https://name[:port]`, exact; text is split at commas."""
    return tuple(_origin(entry) for entry in _entries(value))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. Names but localhost count as public: no look-up."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _entries(value: object) -> list[str]:
    entries = value.split(",") if isinstance(value, str) else value
    if not isinstance(entries, list | tuple) or not all(isinstance(entry, str) for entry in entries):
        raise ValueError(f"must be a list of texts, not {_shown(value)}")
    return [entry.strip().lower() for entry in entries if entry.strip()]


def _host_with_port(entry: str) -> str:
    host, colon, port = entry.rpartition(":")
    if not colon or entry.endswith("]"):
        host, port = entry, ""
    name = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_name = _HOST_NAME.fullmatch(host) is not None or (name != host and _is_address(name))
    if not is_name or (colon and port and not port.isdecimal()):
        raise ValueError(f"must hold host names, each with a port or without, not {_shown(entry)}")
    return entry


def _origin(entry: str) -> str:
    if not _ORIGIN.fullmatch(entry):
        raise ValueError(f"must hold exact origins such as https://example.org:8443, not {_shown(entry)}")
    return entry


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _integer(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value.strip()):
        return int(value)
    return None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
