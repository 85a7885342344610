"""YAML in, read as strictly as JSON: built from libyaml's events, so that every limit holds before memory is used.

The words are those of YAML 1.2's core schema: `true`, `null` and numbers are themselves, everything else is text
(`on`, `no`, `1:30` and dates too, as a command line wants them). Keys are text. Anchors, aliases and `<<` work; what
aliases expand to counts against the limit of the body, so that a small text cannot become a huge value.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import yaml

from scheduler.api.strict_json import MAX_DEPTH, check_integer, child_path, cut, decode_utf8, refuse_depth
from schemas.errors import InvalidRequest, PayloadTooLarge

_NULL: Final = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE: Final = frozenset(("true", "True", "TRUE"))
_FALSE: Final = frozenset(("false", "False", "FALSE"))
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,20}|0o[0-7]{1,22}|0x[0-9a-fA-F]{1,16}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_STARTS_VALUE: Final = frozenset("+-.0123456789tTfFnN~")

_LOADER: Final = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = "<<"


def parse_yaml(data: bytes, *, limit_bytes: int) -> Any:
    """The value of a text with one YAML document.

    Raises InvalidRequest with what is wrong and where, PayloadTooLarge when aliases expand beyond `limit_bytes`.
    """
    text = decode_utf8(data)
    builder = _Builder(limit_bytes)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.on_event(event)
    except yaml.MarkedYAMLError as problem:
        raise InvalidRequest(reason=f"broken YAML{_place(problem.problem_mark)}: {problem.problem}") from None
    except yaml.YAMLError as problem:
        raise InvalidRequest(reason=f"broken YAML: {str(problem).partition(chr(10))[0]}") from None
    return builder.result


def dump_yaml(value: object) -> str:
    """A YAML text that `parse_yaml` reads back as `value`, keys in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper):  # type: ignore[misc]
    """Quotes also the texts that YAML 1.1, which the dumper knows, reads as text and 1.2 as numbers: 1e3, 0o17."""


_Dumper.add_implicit_resolver(_TAG + "int", _INTEGER, list("+-0123456789"))
_Dumper.add_implicit_resolver(_TAG + "float", _FLOAT, list("+-.0123456789"))


@dataclass(slots=True)
class _Open:
    """A mapping or a list whose end has not come yet."""

    value: Any
    path: str
    anchor: str | None
    key: str | None = None
    is_merge: bool = False
    merged: list[dict[str, Any]] = field(default_factory=list)
    weight: int = 2
    height: int = 1


@dataclass(frozen=True, slots=True)
class _Anchored:
    """What an alias stands for: its value, how much text it is, how deep it goes."""

    value: Any
    weight: int
    height: int


class _Builder:
    """Turns events into values, one method per kind of event, without recursion."""

    def __init__(self, limit_bytes: int) -> None:
        self.result: Any = None
        self._limit_bytes = limit_bytes
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored] = {}
        self._documents = 0
        self._on = {
            yaml.DocumentStartEvent: self._on_document,
            yaml.ScalarEvent: self._on_scalar,
            yaml.AliasEvent: self._on_alias,
            yaml.MappingStartEvent: self._on_start,
            yaml.SequenceStartEvent: self._on_start,
            yaml.MappingEndEvent: self._on_end,
            yaml.SequenceEndEvent: self._on_end,
        }

    def on_event(self, event: Any) -> None:
        handle = self._on.get(type(event))
        if handle is not None:
            handle(event)

    def _on_document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            _refuse(event, "more than one document")

    def _on_scalar(self, event: Any) -> None:
        top = self._open[-1] if self._open else None
        if top is not None and type(top.value) is dict and top.key is None:
            self._take_key(top, event)
        else:
            self._add(event, _Anchored(_scalar(event), len(event.value) + 2, 0), event.anchor)

    def _take_key(self, top: _Open, event: Any) -> None:
        key = event.value
        top.key, top.is_merge = key, key == _MERGE and event.implicit[0]
        top.weight += len(key) + 2
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(key, len(key) + 2, 0)
        if key in top.value and not top.is_merge:
            path = cut(child_path(top.path, key))
            _refuse(event, f"the key '{path}' is given twice", path)

    def _on_alias(self, event: Any) -> None:
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            known = any(entry.anchor == event.anchor for entry in self._open)
            _refuse(event, f"alias '*{cut(event.anchor)}' " + ("contains itself" if known else "has no anchor"))
        top = self._open[-1] if self._open else None
        if top is not None and type(top.value) is dict and top.key is None:
            _refuse(event, "a key must be text")
        self._add(event, anchored, None)

    def _on_start(self, event: Any) -> None:
        is_mapping = type(event) is yaml.MappingStartEvent
        if event.tag not in (None, "!", _TAG + ("map" if is_mapping else "seq")):
            _refuse(event, f"the tag '{cut(event.tag)}' is not known here")
        path = self._next_path(event)
        if len(self._open) >= MAX_DEPTH:
            refuse_depth()
        # an anchor set again means the new one from here on, also inside itself
        self._anchors.pop(event.anchor, None)
        self._open.append(_Open({} if is_mapping else [], path, event.anchor))

    def _on_end(self, event: Any) -> None:
        done = self._open.pop()
        for source in done.merged:
            for key, value in source.items():
                done.value.setdefault(key, value)
        self._add(event, _Anchored(done.value, done.weight, done.height), done.anchor)

    def _next_path(self, event: Any) -> str:
        """The path of the element that begins; a mapping or list in the place of a key is refused."""
        if not self._open:
            return ""
        top = self._open[-1]
        if type(top.value) is list:
            return child_path(top.path, len(top.value))
        if top.key is None:
            _refuse(event, "a key must be text")
        return child_path(top.path, top.key)

    def _add(self, event: Any, item: _Anchored, anchor: str | None) -> None:
        """Put a finished value where it belongs."""
        if anchor is not None:
            self._anchors[anchor] = item
        if not self._open:
            self.result = item.value
            return
        top = self._open[-1]
        top.weight += item.weight
        top.height = max(top.height, item.height + 1)
        if top.weight > self._limit_bytes:
            raise PayloadTooLarge(limit_bytes=self._limit_bytes)
        if len(self._open) + item.height > MAX_DEPTH:
            refuse_depth()
        if type(top.value) is list:
            top.value.append(item.value)
        else:
            self._set(event, top, item.value)

    def _set(self, event: Any, top: _Open, value: Any) -> None:
        key, top.key = top.key, None
        if not top.is_merge:
            top.value[key] = value
            return
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            _refuse(event, "'<<' takes a mapping or a list of mappings")
        top.merged.extend(sources)


def _scalar(event: Any) -> Any:
    """The value of a scalar: text when quoted or tagged so, else by how it looks."""
    text: str = event.value
    tag = (event.tag or "").removeprefix(_TAG)
    if tag in ("str", "!") or (not tag and not event.implicit[0]):
        return text
    if tag not in ("", "int", "float", "bool", "null"):
        _refuse(event, f"the tag '{cut(event.tag)}' is not known here")
    value = _plain(event, text)
    if tag and type(value).__name__ != {"null": "NoneType"}.get(tag, tag):
        _refuse(event, f"'{cut(text)}' is no {tag}")
    return value


def _plain(event: Any, text: str) -> Any:
    """An unquoted word by the core schema."""
    if text and text[0] not in _STARTS_VALUE:
        return text
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return check_integer(int(text, 0) if text[:2] in ("0o", "0x") else int(text))
    if _FLOAT.fullmatch(text):
        # of the words for what is not finite, each has an n; of the numbers none has
        value = math.nan if "n" in text.lower() else float(text)
        if not math.isfinite(value):
            _refuse(event, f"{cut(text)} is not a finite number")
        return value
    return text


def _place(mark: Any) -> str:
    return f" at line {mark.line + 1} column {mark.column + 1}" if mark is not None else ""


def _refuse(event: Any, message: str, path: str | None = None) -> NoReturn:
    """Raise for what an event says, with its line."""
    details = None if path is None else [{"path": path, "message": message}]
    raise InvalidRequest(reason=f"{message}{_place(event.start_mark)}", details=details)
