"""Server-sent events are read the same, wherever the network cuts the bytes."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from scheduler.cli.sse import Event, read_events

STREAM = (
    ": ping\n\n"
    'id: a:1:0\ndata: {"type": "stdout", "content": "数据"}\n\n'
    "event: note\r\ndata: one\r\ndata:two\r\n\r\n"
    "event: nothing to say\n\n"
    "retry: 10\nevent: end\ndata: {}\n\n"
    "data: cut off"
).encode()
EVENTS = [
    Event("a:1:0", "message", '{"type": "stdout", "content": "数据"}'),
    Event("a:1:0", "note", "one\ntwo"),
    Event("a:1:0", "end", "{}"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_do_not_depend_on_the_chunks(cuts: list[int]) -> None:
    edges = sorted({0, *cuts, len(STREAM)})
    chunks = [STREAM[start:end] for start, end in pairwise(edges)]
    assert list(read_events(lambda: chunks.pop(0) if chunks else b"")) == EVENTS


def test_an_empty_stream_has_no_events() -> None:
    assert list(read_events(lambda: b"")) == []
