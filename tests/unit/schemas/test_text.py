"""What strings from outside must be, and how they are shown."""

import pytest

from schemas.text import check_text, quote


@pytest.mark.parametrize("text", ["", "plain", "数据 – ok", "tab\tand\nnewline", "😀"])
def test_ordinary_text_passes_unchanged(text: str) -> None:
    assert check_text(text) == text


@pytest.mark.parametrize(("text", "said"), [("a\x00b", "NUL"), ("a\ud800b", "surrogate"), ("\udfff", "surrogate")])
def test_what_no_argument_or_file_can_hold_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_text(text)


def test_quote_cuts_long_text_and_escapes_what_cannot_be_shown() -> None:
    assert quote("a b") == "'a b'"
    assert quote("\x1b[31m\ud800") == r"'\x1b[31m\ud800'"
    assert quote("x" * 60) == "'" + "x" * 60 + "'"
    assert quote("x" * 61) == "'" + "x" * 59 + "…'"
