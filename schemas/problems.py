"""Says what is wrong with a document: the sentences of every problem, with the path that leads to it."""

import datetime as dt
import re
from collections.abc import Collection, Iterable
from typing import Any

from pydantic_core import ErrorDetails

from schemas.names import nearest
from schemas.text import quote

MAX_PROBLEMS = 100

_PLAIN_KEY = re.compile(r"\w[\w-]*")
# pydantic ends the place of a wrong key of a mapping with this
_KEY = "[key]"

# What other tools call our fields, where the spelling alone does not lead to ours.
_ELSEWHERE = {
    "cmd": "command",
    "script": "command",
    "run": "command",
    "env": "env_vars",
    "environment": "env_vars",
    "cwd": "working_dir",
    "workdir": "working_dir",
    "depends_on": "after",
    "dependencies": "after",
    "needs": "after",
    "id": "name",
    "tasks": "workers",
    "jobs": "workers",
    "steps": "workers",
    "nodes": "workers",
}
_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
}
_SENTENCES = {
    "missing": "is missing",
    "invalid_key": "a field name must be a string, not {given}; quote it",
    "string_unicode": "a field name holds half of a surrogate pair, which is no character",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "is empty; it needs at least one",
}


class Problems:
    """Collects problems in the order of the document; keeps the first 100 and counts the rest."""

    def __init__(self) -> None:
        self.count = 0
        self._kept: list[dict[str, Any]] = []

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def is_full(self) -> bool:
        """Whether further problems are only counted."""
        return len(self._kept) >= MAX_PROBLEMS

    def add(self, path: str, message: str) -> None:
        """One problem; `path` as `workers[3].command`, empty for the document itself."""
        self.count += 1
        if not self.is_full:
            self._kept.append({"path": path, "message": message})

    def count_more(self, count: int) -> None:
        """`count` problems that need not be told, since the collection is full."""
        self.count += count

    def details(self) -> list[dict[str, Any]]:
        """[{"path", "message"}] for the answer, the last saying how many more there are, if any."""
        more = self.count - len(self._kept)
        if more <= 0:
            return self._kept
        return [*self._kept, {"path": "", "message": f"and {more} more problem{'s' if more > 1 else ''}"}]


def format_path(parts: Iterable[str | int]) -> str:
    """`workers[3].env_vars.HOME` from its parts; a part that is no plain word is written `["..."]`."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            path += f".{part}" if path else part
        elif part != _KEY:
            path += f"[{quote(part)}]"
    return path


def explain(error: ErrorDetails, known_fields: Collection[str]) -> str:
    """One error of pydantic as a sentence about the value at its path; `known_fields` is what may stand there."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _EXPECTED:
        return _explain_type(error)
    if kind == "extra_forbidden":
        return _explain_unknown(str(error["loc"][-1]), known_fields)
    if kind == "value_error":
        return str(context["error"])
    sentence = _SENTENCES.get(kind)
    if sentence is None:
        return error["msg"]
    return sentence.format(given=_kind(error["input"]), **{name: _shown(value) for name, value in context.items()})


def _explain_type(error: ErrorDetails) -> str:
    expected, given = _EXPECTED[error["type"]], error["input"]
    if expected == "a number" and type(given) is int:
        return "is too large a number"
    subject = "the key " if error["loc"][-1:] == (_KEY,) else ""
    return f"{subject}must be {expected}, not {_kind(given)}{_advice(expected, given)}"


def _advice(expected: str, given: object) -> str:
    """What to do about it, as the end of a sentence; empty where nothing can be said."""
    if expected == "a string" and isinstance(given, int | float | dt.date):
        return "; put it in quotes (YAML reads it as something else without them)"
    if expected == "a list" and isinstance(given, str):
        return "; put it in [ ]"
    if isinstance(given, str) and expected != "an object":
        return "; write it without quotes"
    return ""


def _explain_unknown(field: str, known_fields: Collection[str]) -> str:
    meant = _ELSEWHERE.get(field.casefold())
    if meant not in known_fields:
        meant = nearest(field, known_fields)
    advice = f"did you mean {quote(meant)}?" if meant else f"known are {', '.join(known_fields)}"
    return f"unknown field {quote(field)}; {advice}"


def _kind(given: object) -> str:
    if given is None:
        return "null"
    if isinstance(given, bool):
        return "true" if given else "false"
    kinds = (
        (int | float, "a number"),
        (str, "a string"),
        (list, "a list"),
        (dict, "an object"),
        (dt.date, "a date"),
    )
    return next((name for kind, name in kinds if isinstance(given, kind)), f"a {type(given).__name__}")


def _shown(limit: object) -> str:
    return f"{limit:,.10g}" if isinstance(limit, int | float) else str(limit)
