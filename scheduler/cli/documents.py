"""Reads a workflow file as the person wrote it, JSON or YAML, and makes of it the body that the daemon gets.

The daemon judges what is in it. Here the same strict readers run first, so that broken syntax is reported with the
file's name, and a relative working directory can be made absolute.
"""

# ruff: noqa: PLC0415  the YAML reader is imported only for a YAML file: it costs as much as the rest of the verb

import os
import sys
from typing import Any

import orjson

from scheduler.cli.errors import CommandFailed

# Beyond this the daemon refuses a body; a YAML file may not expand to more by its aliases either.
_LIMIT_BYTES = 8 * 1024**2


def read_document(path: str) -> tuple[dict[str, Any], bytes]:
    """The workflow in the file `path` (`-` is standard input) and the JSON body to send.

    A relative `working_dir` of the workflow is made absolute against the file's directory (standard input:
    the current one), `~` is the caller's home. Raises CommandFailed with the place of what is broken.
    """
    shown = "standard input" if path == "-" else path
    raw = _read_bytes(path, shown)
    document = _parse(raw, shown, is_yaml=_is_yaml(path, raw))
    if not isinstance(document, dict):
        raise CommandFailed(f"{shown} is not a workflow: it holds {_kind(document)}, not a mapping with 'name'")
    _resolve_working_dir(document, os.getcwd() if path == "-" else os.path.dirname(os.path.abspath(path)))
    return document, orjson.dumps(document)


def _read_bytes(path: str, shown: str) -> bytes:
    try:
        if path == "-":
            raw = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                raw = file.read()
    except OSError as error:
        raise CommandFailed(f"cannot read {shown}: {error.strerror}") from error
    # editors on other systems leave a byte order mark, which no JSON reader wants
    return raw.removeprefix(b"\xef\xbb\xbf")


def _is_yaml(path: str, raw: bytes) -> bool:
    """By the file's name, and where that says nothing by the first character: a JSON object opens with {."""
    if path.endswith((".yaml", ".yml")):
        return True
    return not path.endswith(".json") and raw.lstrip()[:1] not in (b"{", b"[")


def _parse(raw: bytes, shown: str, *, is_yaml: bool) -> Any:
    from schemas.errors import InvalidRequest, PayloadTooLarge

    try:
        return _parse_yaml(raw) if is_yaml else _parse_json(raw)
    except InvalidRequest as error:
        raise CommandFailed(f"{shown}: {error.reason}") from error
    except PayloadTooLarge as error:
        raise CommandFailed(f"{shown}: its aliases expand to more than {_LIMIT_BYTES} bytes") from error


def _parse_json(raw: bytes) -> Any:
    from scheduler.api.strict_json import parse_json

    return parse_json(raw)


def _parse_yaml(raw: bytes) -> Any:
    from scheduler.api.strict_yaml import parse_yaml

    return parse_yaml(raw, limit_bytes=_LIMIT_BYTES)


def _resolve_working_dir(document: dict[str, Any], directory: str) -> None:
    given = document.get("working_dir")
    # a NUL or another type is the daemon's to refuse, with everything else that is wrong
    if isinstance(given, str) and given and "\0" not in given:
        document["working_dir"] = os.path.normpath(os.path.join(directory, os.path.expanduser(given)))


def _kind(document: object) -> str:
    if document is None:
        return "nothing"
    return {list: "a list", str: "a text", bool: "true or false"}.get(type(document), "a number")
