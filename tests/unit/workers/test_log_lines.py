"""Splitting bytes into lines: no byte lost, none twice, whatever the appends."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import log_lines
from workers.log_lines import Line, LineSplitter, gap_text, whole_characters

FRAGMENTS = st.sampled_from(
    [b"a", b"bc", b"\n", b"\n\n", b"\r\n", b"\r", b"\x00", b"\x1b[31m", b"\xff", "é".encode(), "é".encode()[:1]]
    + [bytes([byte]) for byte in "😀".encode()]
    + ["漢字".encode(), b"\xf0\x9f", b"\x80\x80\x80\x80"]
)
BYTES = st.lists(FRAGMENTS, max_size=40).map(b"".join)


def split(data: bytes, cuts: list[int] = []) -> list[Line]:  # noqa: B006 - never changed
    splitter = LineSplitter()
    lines: list[Line] = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, stop in itertools.pairwise(edges):
        lines += splitter.feed(data[start:stop])
    return lines + splitter.finish()


def plain_lines(data: bytes) -> list[str]:
    """What anybody would write who has the whole file and no limit."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
        return [line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines]
    ended = [line.removesuffix(b"\r") for line in lines[:-1]]
    return [line.decode("utf-8", "replace") for line in [*ended, lines[-1]]]


@given(BYTES, st.lists(st.integers(0, 500), max_size=10))
def test_any_split_of_appends_gives_the_lines_of_the_whole(data: bytes, cuts: list[int]) -> None:
    assert [text for text, _ in split(data, cuts)] == plain_lines(data)


@given(BYTES, st.lists(st.integers(0, 500), max_size=10), st.integers(4, 9))
def test_cutting_long_lines_does_not_depend_on_the_appends(data: bytes, cuts: list[int], limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_lines, "MAX_LINE_BYTES", limit)
        whole = split(data)
        assert split(data, cuts) == whole
    start = 0
    for text, end in whole:
        raw = data[start:end].removesuffix(b"\n").removesuffix(b"\r") if data[:end].endswith(b"\n") else data[start:end]
        # the line end of a part that was exactly full belongs to no line
        raw = raw.removeprefix(b"\r\n").removeprefix(b"\n") if start and raw.decode("utf-8", "replace") != text else raw
        assert text == raw.decode("utf-8", "replace")
        assert len(raw) <= limit
        start = end
    assert data[start:] in (b"", b"\n", b"\r\n")


@given(st.text(min_size=1, max_size=60).filter(lambda text: "\n" not in text and "\r" not in text), st.integers(4, 9))
def test_parts_of_a_long_line_split_no_character(text: str, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_lines, "MAX_LINE_BYTES", limit)
        parts = [part for part, _ in split(text.encode() + b"\n")]
    assert "".join(parts) == text
    assert all(len(part.encode()) <= limit for part in parts)


@given(BYTES, st.data())
def test_going_on_from_every_offset_seen_gives_the_rest(data: bytes, choose: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_lines, "MAX_LINE_BYTES", 6)
        lines = split(data)
        for index, (_, offset) in enumerate(lines):
            again = LineSplitter(offset, mid_line=data[offset - 1 : offset] != b"\n")
            assert again.feed(data[offset:]) + again.finish() == lines[index + 1 :]


@given(BYTES, BYTES, st.booleans())
def test_showing_a_part_early_loses_no_byte(before: bytes, after: bytes, whole: bool) -> None:
    splitter = LineSplitter()
    lines = splitter.feed(before)
    lines += splitter.finish() if whole else splitter.flush()
    assert splitter.read_offset - splitter.position < (1 if whole else 4)
    lines += splitter.feed(after) + splitter.finish()
    joined = "".join(text for text, _ in lines)
    if not whole:
        expected = "".join(plain_lines(before + after))
        assert joined.replace("\r", "") == expected.replace("\r", "")
    offsets = [offset for _, offset in lines]
    assert offsets == sorted(set(offsets))


def test_a_prompt_is_not_followed_by_an_empty_line() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"Password: ") == []
    assert splitter.flush() == [("Password: ", 10)]
    assert splitter.feed(b"\n\nok\n") == [("", 12), ("ok", 15)]


def test_a_line_of_exactly_the_limit_is_whole_and_one_more_byte_is_a_part() -> None:
    full = b"x" * log_lines.MAX_LINE_BYTES
    assert split(full + b"\n") == [(full.decode(), len(full) + 1)]
    assert [text for text, _ in split(full + b"\r\n")] == [full.decode()]
    assert split(full + b"y\n") == [(full.decode(), len(full)), ("y", len(full) + 2)]


def test_ten_million_characters_come_in_ten_parts() -> None:
    data = b"z" * 10_000_000 + b"\n"
    splitter = LineSplitter()
    lines = [line for start in range(0, len(data), 65536) for line in splitter.feed(data[start : start + 65536])]
    assert [len(text) for text, _ in lines] == [1 << 20] * 9 + [10_000_000 - 9 * (1 << 20)]
    assert lines[-1][1] == len(data)


def test_control_characters_stay_and_bad_bytes_are_replaced() -> None:
    assert split(b"\x1b[31mred\x1b[0m\0\rover\xff\n") == [("\x1b[31mred\x1b[0m\0\rover�", 20)]


def test_a_gap_ends_the_unfinished_line_and_says_how_much_is_missing() -> None:
    splitter = LineSplitter()
    splitter.feed(b"one\ntw")
    assert splitter.skip(4096) == [("tw", 6), (gap_text(4090), 4096)]
    assert splitter.feed(b"\nthree\n") == [("three", 4103)]


def test_an_emptied_file_starts_again_at_zero() -> None:
    splitter = LineSplitter()
    splitter.feed(b"one\ntw")
    assert splitter.restart() == [("tw", 6), (log_lines.EMPTIED_TEXT, 0)]
    assert splitter.feed(b"\nx\n") == [("", 1), ("x", 3)]


@pytest.mark.parametrize(
    ("data", "length", "cut"),
    [
        (b"abc", 3, 3),
        ("aé".encode(), 2, 1),
        ("aé".encode(), 3, 3),
        ("😀".encode(), 3, 0),
        (b"\x80" * 6, 5, 5),
        (b"", 0, 0),
    ],
)
def test_whole_characters(data: bytes, length: int, cut: int) -> None:
    assert whole_characters(data, length) == cut
