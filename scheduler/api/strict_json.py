"""JSON in, read strictly: what two readers could understand differently is refused with its place.

Refused beside broken JSON: bytes that are not UTF-8, nesting deeper than MAX_DEPTH (checked before parsing), NaN
and Infinity, a key given twice, half a surrogate pair, integers beyond 64 bits. Pure; a large text belongs in a
thread, where the parsing lets other threads in at every object.
"""

import json
import math
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from schemas.errors import InvalidRequest

MAX_DEPTH: Final = 32

_BRACKETS: Final = b"[]{}"
_ALL_BUT_BRACKETS: Final = bytes(code for code in range(256) if code not in _BRACKETS)
_OPENING: Final = frozenset(b"[{")


def parse_json(data: bytes) -> Any:
    """The value of a JSON text. Raises InvalidRequest with what is wrong and where."""
    text = decode_utf8(data)
    _check_depth(data)
    twice: list[tuple[dict[str, Any], str]] = []
    try:
        value = json.loads(
            text,
            object_pairs_hook=lambda pairs: _object(pairs, twice),
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_not_finite,
        )
    except json.JSONDecodeError as problem:
        place = f"line {problem.lineno} column {problem.colno}"
        raise InvalidRequest(reason=f"broken JSON at {place}: {problem.msg}") from None
    except RecursionError:
        refuse_depth()
    if twice:
        _refuse_duplicates(value, twice)
    if "\\ud" in text or "\\uD" in text:
        refuse_surrogates(value)
    return value


def decode_utf8(data: bytes) -> str:
    """The text of `data`, which must be UTF-8 throughout."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise InvalidRequest(reason=f"byte {problem.start} is not valid UTF-8") from None


def refuse_depth() -> NoReturn:
    """Raise for a text nested too deeply."""
    raise InvalidRequest(reason=f"nested deeper than {MAX_DEPTH} levels")


def check_integer(value: int) -> int:
    """`value` if it fits 64 bits with a sign, which is what every reader of our answers can hold."""
    if not -(2**63) <= value < 2**63:
        raise InvalidRequest(reason=f"the number {cut(str(value))} does not fit 64 bits")
    return value


def refuse_surrogates(value: object) -> None:
    """Refuse text with half a surrogate pair, which no encoder could write again."""
    for path, text in _texts(value):
        if not _is_encodable(text):
            raise InvalidRequest(
                reason=f"half a surrogate pair at {cut(path) or 'the top'}",
                details=[{"path": cut(path), "message": "half a surrogate pair is no text"}],
            )


def child_path(path: str, key: str | int) -> str:
    """The path of an element in the form `workers[3].command`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def cut(text: str) -> str:
    """`text` short enough for an error message: what comes from a body can be megabytes."""
    return text if len(text) <= 120 else text[:117] + "..."


def _check_depth(data: bytes) -> None:
    """Count brackets outside strings, before a parser that recurses sees them."""
    bare = data.replace(rb"\\", b"").replace(rb"\"", b"")
    brackets = b"".join(bare.split(b'"')[::2]).translate(None, _ALL_BUT_BRACKETS)
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in _OPENING else -1
        if depth > MAX_DEPTH:
            refuse_depth()


def _object(pairs: list[tuple[str, Any]], twice: list[tuple[dict[str, Any], str]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice.extend((result, key) for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return result


def _integer(text: str) -> int:
    if len(text) > 20:
        raise InvalidRequest(reason=f"the number {cut(text)} does not fit 64 bits")
    return check_integer(int(text))


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _not_finite(text)
    return value


def _not_finite(text: str) -> NoReturn:
    raise InvalidRequest(reason=f"{cut(text)} is not a finite number")


def _refuse_duplicates(value: object, twice: list[tuple[dict[str, Any], str]]) -> NoReturn:
    """Name each key given twice with its path; objects that a duplicate key dropped have none."""
    keys = {id(found): key for found, key in twice}
    paths = [child_path(path, keys[id(item)]) for path, item in _walk(value) if id(item) in keys]
    paths = paths or [twice[0][1]]
    raise InvalidRequest(
        reason=f"the key '{cut(paths[0])}' is given twice",
        details=[{"path": cut(path), "message": "the key is given twice"} for path in paths[:100]],
    )


def _walk(value: object) -> Iterator[tuple[str, object]]:
    """Every element with its path; no recursion."""
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        path, item = waiting.pop()
        yield path, item
        if isinstance(item, dict):
            waiting.extend((child_path(path, key), child) for key, child in item.items())
        elif isinstance(item, list):
            waiting.extend((child_path(path, index), child) for index, child in enumerate(item))


def _texts(value: object) -> Iterator[tuple[str, str]]:
    """Every text and every key with its path; a path is made fit to be shown."""
    for path, item in _walk(value):
        shown = path.encode("utf-8", "backslashreplace").decode()
        if isinstance(item, str):
            yield shown, item
        elif isinstance(item, dict):
            yield from ((shown, key) for key in item)


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
