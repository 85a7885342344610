"""Nothing that a worker prints can steer the terminal, and columns stay columns in every script."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.cli.terminal import Screen, clean_text, display_width, fit, pad
from tests.unit.cli.screens import Terminal, pipe, terminal

DANGEROUS = {
    "\x1b]0;title\x07text": "text",
    "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\": "link",
    "\x1b]52;c;ZXZpbA==": "",
    "\x1b[2J\x1b[Hwiped": "wiped",
    "\x1b[6nasked": "asked",
    "\x9b2Jwiped": "wiped",
    "\x9d0;title\x9ctext": "text",
    "\x1bP1$r\x1b\\dcs": "dcs",
    "\x1bcreset": "reset",
    "\x1b(0charset": "charset",
    "a\rb\bc\x07d\x00e\x7f": "abcde",
    "keeps\ttabs": "keeps\ttabs",
    "数据 é 🎉": "数据 é 🎉",
    "ends in \x1b": "ends in ",
    "half \x1b[31": "half ",
}


@pytest.mark.parametrize(("given_text", "expected"), DANGEROUS.items())
def test_control_sequences_are_taken_out(given_text: str, expected: str) -> None:
    assert clean_text(given_text) == expected
    assert clean_text(given_text, keep_colours=True) == expected


def test_colours_stay_where_wanted_and_end_with_the_line() -> None:
    assert clean_text("\x1b[1;31mred\x1b[0m", keep_colours=True) == "\x1b[1;31mred\x1b[0m\x1b[0m"
    assert clean_text("\x1b[38:5:1mred\x1b[2K", keep_colours=True) == "\x1b[38:5:1mred\x1b[0m"
    assert clean_text("\x1b[31mred") == "red"


@given(st.text(alphabet=st.sampled_from("\x1b[]P;:?0123m\x07\\ \x9b\x9d\x9c\r\nab数H\x00")))
def test_nothing_but_colours_is_left(text: str) -> None:
    plain = clean_text(text)
    assert not any(character in plain for character in "\x1b\x07\x9b\x9d\x9c\r\n\x00")
    coloured = clean_text(text, keep_colours=True)
    assert "\x1b" not in clean_text(coloured)
    assert coloured.count("\x1b") == coloured.count("\x1b[")


@pytest.mark.parametrize(
    ("text", "width"),
    [("abc", 3), ("数据", 4), ("e\u0301", 1), ("ｱ", 1), ("Ａ", 2), ("🎉", 2), ("a\u200bb", 2), ("", 0)],
)
def test_display_width(text: str, width: int) -> None:
    assert display_width(text) == width


@given(st.text(alphabet="ab数据🎉e\u0301", max_size=30), st.integers(1, 30))
def test_fit_never_exceeds_its_columns(text: str, columns: int) -> None:
    assert display_width(fit(text, columns)) <= columns
    assert display_width(pad(fit(text, columns), columns)) == columns


def test_fit_leaves_what_fits() -> None:
    assert fit("数据", 4) == "数据"
    assert fit("数据流", 5) == "数据…"
    assert fit("数据流", 4) == "数…"


def test_colours_only_on_a_terminal_that_wants_them() -> None:
    coloured, _ = terminal()
    assert coloured.paint("x", "red") == "\x1b[31mx\x1b[0m"
    assert coloured.mark("completed") == "\x1b[32m✔\x1b[0m"
    for plain in (terminal(NO_COLOR="1")[0], terminal(TERM="dumb")[0], pipe()[0]):
        assert plain.paint("x", "red") == "x"
        assert plain.status("failed") == "failed"


def test_an_empty_no_color_means_nothing() -> None:
    assert terminal(NO_COLOR="")[0].colours


def test_logs_are_cleaned_on_a_terminal_only() -> None:
    line = "\x1b[31mred\x1b[2J\a"
    assert terminal()[0].log_text(line) == "\x1b[31mred\x1b[0m"
    assert terminal(NO_COLOR="1")[0].log_text(line) == "red"
    assert pipe()[0].log_text(line) == line


def test_signs_without_unicode() -> None:
    class Latin(Terminal):
        encoding = "iso-8859-1"

    screen = Screen(Latin(), {"NO_COLOR": "1"})
    assert [screen.mark(status) for status in ("completed", "failed", "strange")] == ["+", "x", "?"]
