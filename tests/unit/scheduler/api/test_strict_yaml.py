import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scheduler.api.strict_json import MAX_DEPTH
from scheduler.api.strict_yaml import dump_yaml, parse_yaml
from schemas.errors import InvalidRequest, PayloadTooLarge

LIMIT = 10_000

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4),
    max_leaves=20,
)


def parse(text: str | bytes) -> Any:
    return parse_yaml(text.encode() if isinstance(text, str) else text, limit_bytes=LIMIT)


def refusal(text: str | bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        parse(text)
    return refused.value


@given(values | st.from_regex(r"[-+]?[0-9.oxeE+_:-]{1,6}", fullmatch=True))
@example("0E0")
@example("0o17")
@example("<<")
@example({"<<": "a"})
@example("=")
@example("yes")
@example("a" * 300 + " b")
@example([" lead", "trail ", "two\nlines", "# no comment", "\t", "\u2028"])
def test_what_was_dumped_is_read_back(value: Any) -> None:
    dumped = dump_yaml(value)

    assert parse_yaml(dumped.encode(), limit_bytes=1_000_000) == value


@given(values)
def test_json_is_yaml_with_the_same_meaning(value: Any) -> None:
    assert parse_yaml(json.dumps(value, ensure_ascii=False).encode(), limit_bytes=1_000_000) == value


@given(st.binary(max_size=100) | st.text(alphabet="[]{}:,-&*a1 \n\"'|>!%?#<@", max_size=40).map(str.encode))
def test_nothing_but_a_refusal_comes_of_any_bytes(data: bytes) -> None:
    try:
        value = parse(data)
    except (InvalidRequest, PayloadTooLarge):
        return
    json.dumps(value, allow_nan=False)


def test_a_workflow_reads_as_a_person_means_it() -> None:
    text = """
    name: night
    workers:
      - name: fetch          # a comment
        command: curl -o out http://example.org
        env_vars: {MODE: on, COUNTRY: NO, AT: 22:30, DATE: 2024-08-30, DEBUG: "1"}
        retry: {limit: 0x3, delay_seconds: .5}
        timeout_seconds: 1e3
        inputs: ~
        shell: false
      - name: say
        command: |
          echo one
          echo two
        after: [fetch]
    """

    assert parse(text) == {
        "name": "night",
        "workers": [
            {
                "name": "fetch",
                "command": "curl -o out http://example.org",
                "env_vars": {"MODE": "on", "COUNTRY": "NO", "AT": "22:30", "DATE": "2024-08-30", "DEBUG": "1"},
                "retry": {"limit": 3, "delay_seconds": 0.5},
                "timeout_seconds": 1000.0,
                "inputs": None,
                "shell": False,
            },
            {"name": "say", "command": "echo one\necho two\n", "after": ["fetch"]},
        ],
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing", None),
        ("1: a", {"1": "a"}),
        ("null: a", {"null": "a"}),
        ("0o17", 15),
        ("017", 17),
        ("-3", -3),
        ("+3", 3),
        ("1_000", "1_000"),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("!!str 1", "1"),
        ("! 1", "1"),
        ("!!int 1", 1),
        ("!!float 1.5", 1.5),
        ("!!null ''", None),
        ("!!map {a: 1}", {"a": 1}),
        ("!!seq [a]", ["a"]),
        ("- 1\n- - 2", [1, [2]]),
        ('"\\u00e9\\0"', "é\0"),
    ],
)
def test_words_mean_what_the_core_schema_says(text: str, value: Any) -> None:
    result = parse(text)

    assert result == value
    assert type(result) is type(value)


def test_anchors_aliases_and_merges_work() -> None:
    text = """
    base: &base {command: run, env: &env {A: '1'}}
    one: {<<: *base, name: one}
    two: {name: two, <<: [{command: mine}, *base]}
    list: [*env, *env]
    key: &word hello
    again: *word
    """

    value = parse(text)

    assert value["one"] == {"command": "run", "env": {"A": "1"}, "name": "one"}
    assert value["two"] == {"command": "mine", "env": {"A": "1"}, "name": "two"}
    assert value["list"] == [{"A": "1"}, {"A": "1"}]
    assert value["again"] == "hello"


def test_a_quoted_merge_sign_is_a_key_like_any_other() -> None:
    assert parse('"<<": {a: 1}') == {"<<": {"a": 1}}


def test_a_small_text_cannot_become_a_huge_value() -> None:
    laughs = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
    for letter, before in zip("bcdefghi", "abcdefgh", strict=True):
        laughs += f"{letter}: &{letter} [{', '.join([f'*{before}'] * 10)}]\n"

    with pytest.raises(PayloadTooLarge) as refused:
        parse(laughs)
    assert refused.value.limit_bytes == LIMIT


def test_merging_counts_like_any_alias() -> None:
    text = "a: &a {" + ", ".join(f"key{i}: {'x' * 20}" for i in range(50)) + "}\n"
    text += "".join(f"b{i}: {{<<: *a}}\n" for i in range(50))

    with pytest.raises(PayloadTooLarge):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "[" * 100_000,
        "{a: " * 1000,
        "- " * 1000 + "x",
        "? " * 1000 + "x",
        "a: &a " + "[" * 20 + "]" * 20 + "\nb: " + "[" * 20 + "*a" + "]" * 20,
    ],
)
def test_deep_nesting_is_refused(text: str) -> None:
    assert refusal(text).reason in ("nested deeper than 32 levels", "a key must be text at line 1 column 3")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\nb: 2\na: 3", "the key 'a' is given twice at line 3 column 1"),
        ("x: [{y: {k: 1, k: 2}}]", "the key 'x[0].y.k' is given twice at line 1 column 16"),
        ("&a [*a]", "alias '*a' contains itself at line 1 column 5"),
        ("a: &x 1\nb: &x [*x]", "alias '*x' contains itself at line 2 column 8"),
        ("[*b]", "alias '*b' has no anchor at line 1 column 2"),
        ("x: &a b\n*a : 1", "a key must be text at line 2 column 1"),
        ("? [1]\n: 2", "a key must be text at line 1 column 3"),
        ("{<<: 1}", "'<<' takes a mapping or a list of mappings at line 1 column 6"),
        ("--- 1\n--- 2", "more than one document at line 2 column 1"),
        ("!!python/object:os.system x", "the tag 'tag:yaml.org,2002:python/object:os.system' is not known here"),
        ("!!binary aGk=", "the tag 'tag:yaml.org,2002:binary' is not known here"),
        ("!own {a: 1}", "the tag '!own' is not known here"),
        ("!!int abc", "'abc' is no int"),
        ("[.inf]", ".inf is not a finite number"),
        ("[.NaN]", ".NaN is not a finite number"),
        ("1e999", "1e999 is not a finite number"),
        ("9223372036854775808", "the number 9223372036854775808 does not fit 64 bits"),
        ("a: [", "broken YAML at line 2 column 1: did not find expected node content"),
        ("\ta: 1", "broken YAML at line 1 column 1: found character that cannot start any token"),
        ("a: b: c", "broken YAML at line 1 column 5: mapping values are not allowed in this context"),
        ('"\\ud800"', "broken YAML at line 1 column 4: found invalid Unicode character escape code"),
        (b"a: \xff", "byte 3 is not valid UTF-8"),
        ("a: \x07", "broken YAML: "),
    ],
)
def test_each_refusal_says_what_and_where(text: str | bytes, reason: str) -> None:
    assert refusal(text).reason.startswith(reason)


def test_a_key_given_twice_has_its_path_in_the_details() -> None:
    details = refusal("workers:\n- {name: a, name: b}").details

    assert details == [{"path": "workers[0].name", "message": "the key 'workers[0].name' is given twice"}]
