import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.api.strict_json import MAX_DEPTH, parse_json
from schemas.errors import InvalidRequest

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: st.lists(children) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), children),
    max_leaves=30,
)


@given(json_values, st.booleans())
def test_what_json_can_say_is_read_as_it_was_written(value: Any, escaped: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=escaped).encode()) == value


@given(st.binary(max_size=200) | st.text(alphabet='[]{}",:\\ud80a1-e. ', max_size=60).map(str.encode))
def test_nothing_but_an_invalid_request_comes_of_any_bytes(data: bytes) -> None:
    try:
        parse_json(data)
    except InvalidRequest:
        return
    json.loads(data)


def refusal(data: bytes | str) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        parse_json(data.encode() if isinstance(data, str) else data)
    return refused.value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "broken JSON at line 1 column 1: Expecting value"),
        ('{"a": 1,\n "b": }', "broken JSON at line 2 column 7: Expecting value"),
        ("{}x", "broken JSON at line 1 column 3: Extra data"),
        ("{'a': 1}", "broken JSON at line 1 column 2: Expecting property name enclosed in double quotes"),
        (b"\xef\xbb\xbf{}", "broken JSON at line 1 column 1: Unexpected UTF-8 BOM (decode using utf-8-sig)"),
        (b'"\xc3\x28"', "byte 1 is not valid UTF-8"),
        ('"a"'.encode("utf-16"), "byte 0 is not valid UTF-8"),
        ("[NaN]", "NaN is not a finite number"),
        ("-Infinity", "-Infinity is not a finite number"),
        ("[1e999]", "1e999 is not a finite number"),
        ("9223372036854775808", "the number 9223372036854775808 does not fit 64 bits"),
        ("-9223372036854775809", "the number -9223372036854775809 does not fit 64 bits"),
        ("9" * 5000, f"the number {'9' * 117}... does not fit 64 bits"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' is given twice"),
        ('"\\ud800"', "half a surrogate pair at the top"),
        ('["\\uDC00"]', "half a surrogate pair at [0]"),
        ('{"\\udfff": 1}', "half a surrogate pair at the top"),
    ],
)
def test_each_refusal_says_what_and_where(data: bytes | str, reason: str) -> None:
    assert refusal(data).reason == reason


def test_limits_themselves_are_fine() -> None:
    assert parse_json(b"9223372036854775807") == 2**63 - 1
    assert parse_json(b"-9223372036854775808") == -(2**63)
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert parse_json(b'"\\ud83d\\ude00"') == "😀"
    assert parse_json(rb'"\\ud800"') == "\\ud800"


def test_keys_given_twice_are_all_named_with_their_paths() -> None:
    data = '{"workers": [{"name": "a"}, {"name": "b", "env": {"X": "1", "X": "2"}, "name": "c"}]}'

    assert sorted(refusal(data).details or [], key=str) == [
        {"path": "workers[1].env.X", "message": "the key is given twice"},
        {"path": "workers[1].name", "message": "the key is given twice"},
    ]


def test_a_duplicate_inside_what_a_duplicate_dropped_is_refused_too() -> None:
    assert refusal('{"a": {"b": 1, "b": 2}, "a": 1}').details == [{"path": "a", "message": "the key is given twice"}]
    assert refusal('[{"a": {"b": 1, "b": 2}, "a": 1}]').details == [
        {"path": "[0].a", "message": "the key is given twice"}
    ]


@pytest.mark.parametrize(
    "data",
    [
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "[" * 1_000_000,
        '{"a":' * 100_000,
        '[{"a":' * 100_000,
        '["\\\\", "\\"", ' + "[" * 100_000,
    ],
)
def test_deep_nesting_is_refused_before_it_is_parsed(data: str) -> None:
    assert refusal(data).reason == "nested deeper than 32 levels"


def test_brackets_in_text_are_not_nesting() -> None:
    text = '[[[{"' * 50 + "\\"

    assert parse_json(json.dumps({"command": text, text: ["\\\\[[", '\\"[']}).encode())["command"] == text
