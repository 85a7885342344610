"""Names: what may be one, and which one was meant."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.names import check_name, is_name, nearest, split_reference

DEVANAGARI = "कार्य"  # its vowels are marks, not letters
LONG = "x" * 64


@pytest.mark.parametrize(
    "name", ["a", "7", "data-pipeline", "fetch_data", "v1.2", "数据", "Ünï", "a..b", DEVANAGARI, LONG]
)
def test_letters_and_digits_of_any_script_make_a_name(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("..", "begins with '.'"),
        ("../etc", "'../etc' holds '/'"),
        ("a/b", "such as 'a_b'"),
        ("/abs", "holds '/'"),
        ("-rf", "begins with '-'"),
        ("_x", "begins with '_'"),
        (
            "my worker",
            "'my worker' holds ' ', which a name cannot; use letters, digits, '_', '.' or '-', such as 'my_worker'",
        ),
        ("a\x00b", r"holds '\\x00'"),
        ("a\ud800", r"holds '\\ud800'"),
        ("a\n", r"holds '\\n'"),
        ("\u0301a", "begins with"),
        ("a\u200bb", r"holds '\\u200b'"),
        ("😀", "holds '😀'"),
        ("x" * 65, "is 65 characters long; a name has at most 64 characters and 200 bytes"),
        ("数" * 67, "67 characters long"),
        ("𝒳" * 51, "is 204 bytes long in UTF-8"),
        ("e\u0301" * 100_000, "200000 characters long"),
    ],
)
def test_what_is_not_a_name_is_told_why(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        check_name(text)
    assert not is_name(text)


def test_a_name_is_stored_composed() -> None:
    assert check_name("e\u0301t\u00e9") == "\u00e9t\u00e9"
    assert is_name("e\u0301" * 64)


@given(st.text(max_size=70))
@settings(deadline=None)
def test_a_name_is_stable_composed_and_no_path(text: str) -> None:
    if is_name(text):
        name = check_name(text)
        assert check_name(name) == name == unicodedata.normalize("NFC", text)
        assert "/" not in name
        assert name.strip(".")
        assert not name.startswith("-")
        assert len(name.encode()) <= 200


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("fetch/raw", ("fetch", "raw")),
        ("fetch/raw.json", ("fetch", "raw.json")),
        ("e\u0301/x", ("é", "x")),
        ("./raw", None),
        ("raw", None),
        ("/raw", None),
        ("a/b/c", None),
        ("a/", None),
        ("../a", None),
        ("a/.hidden", None),
        ("a b/c", None),
        ("", None),
    ],
)
def test_one_slash_between_two_names_is_a_reference(text: str, parts: tuple[str, str] | None) -> None:
    assert split_reference(text) == parts


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("comand", "command"),
        ("Command", "command"),
        ("arg", "args"),
        ("cmomand", "command"),
        ("zebra", None),
        ("", None),
    ],
)
def test_nearest_of_a_few(typed: str, meant: str | None) -> None:
    assert nearest(typed, ["args", "command", "name"]) == meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("worke-4242", "worker-4242"),
        ("wroker-4242", "worker-4242"),
        ("worker_4242", "worker-4242"),
        ("worker-4242x", "worker-4242"),
        ("zebra", None),
        ("summary-of-all-the-pats", "summary-of-all-the-parts"),
        ("sumary-of-al-the-parts", "summary-of-all-the-parts"),
    ],
)
def test_nearest_of_many(typed: str, meant: str | None) -> None:
    names = {f"worker-{number}": None for number in range(500, 20_000)} | {"summary-of-all-the-parts": None}
    assert nearest(typed, names) == meant


def test_nearest_of_many_takes_any_length() -> None:
    assert nearest("x" * 100_000, {f"worker-{number}" for number in range(1000)}) is None
