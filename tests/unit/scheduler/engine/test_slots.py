"""The window towards the launcher, and whose turn it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.engine.slots import Turns, Window


def test_before_anything_is_known_no_more_than_the_slots_are_handed_over() -> None:
    window = Window(slots=4, most_ahead=64)
    assert (window.ahead, window.room) == (0, 4)
    window.handed = 3
    assert window.room == 1


def test_short_attempts_are_queued_ahead_and_long_ones_are_not() -> None:
    window = Window(slots=2, most_ahead=64)
    window.observe(0.01)
    assert window.ahead == 20  # what two slots end in a tenth of a second
    for _ in range(100):
        window.observe(60.0)
    assert window.ahead == 0


def test_the_queue_has_a_limit() -> None:
    window = Window(slots=2, most_ahead=64)
    window.observe(0.0)
    assert window.ahead == 64


def test_one_short_attempt_among_long_ones_changes_little() -> None:
    window = Window(slots=8, most_ahead=64)
    for seconds in (10.0, 0.001):
        window.observe(seconds)
    assert window.ahead == 0


def test_nothing_is_queued_ahead_where_that_is_switched_off() -> None:
    window = Window(slots=2, most_ahead=0)
    window.observe(0.001)
    assert (window.ahead, window.room) == (0, 2)


def test_room_is_never_negative_when_the_queue_was_longer_before() -> None:
    window = Window(slots=2, most_ahead=64)
    window.observe(0.001)
    window.handed = window.room
    for _ in range(200):
        window.observe(10.0)
    assert (window.handed, window.ahead, window.room) == (66, 0, 0)


def test_well_fed_is_a_queue_that_lasts_a_few_milliseconds() -> None:
    window = Window(slots=2, most_ahead=64)
    window.handed = 17
    assert not window.is_well_fed
    window.handed = 18
    assert window.is_well_fed


@settings(deadline=None)
@given(
    st.integers(1, 64),
    st.integers(0, 256),
    st.lists(st.one_of(st.just("hand"), st.floats(-1, 1e6)), max_size=200),
)
def test_the_window_holds_whatever_is_observed(slots: int, most_ahead: int, day: list[str | float]) -> None:
    window = Window(slots, most_ahead)
    for each in day:
        if isinstance(each, float):  # an attempt ends; a clock may have been set back meanwhile
            window.observe(each)
            window.handed = max(0, window.handed - 1)
        else:
            window.handed += window.room
            assert slots <= window.handed or window.room == 0
        assert 0 <= window.ahead <= most_ahead
        assert 0 <= window.room <= slots + most_ahead
        assert window.handed <= slots + most_ahead


def test_turns_go_round() -> None:
    turns: Turns[str] = Turns()
    for member in ("large", "small", "large"):
        turns.join(member)
    assert [turns.next() for _ in range(4)] == ["large", "small", "large", "small"]


def test_who_leaves_has_no_turn() -> None:
    turns: Turns[str] = Turns()
    assert turns.next() is None
    turns.join("a")
    turns.join("b")
    turns.leave("a")
    turns.leave("nobody")
    assert [turns.next(), turns.next()] == ["b", "b"]
    turns.leave("b")
    assert turns.next() is None


@pytest.mark.parametrize("late", [1, 5])
def test_who_joins_late_waits_for_one_round_at_most(late: int) -> None:
    turns: Turns[int] = Turns()
    for member in range(5):
        turns.join(member)
    for _ in range(late):
        turns.next()
    turns.join(99)
    assert 99 in [turns.next() for _ in range(6)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1), st.integers(1, 60))
def test_turns_are_fair(members: list[int], count: int) -> None:
    turns: Turns[int] = Turns()
    for member in members:
        turns.join(member)
    taken = [turns.next() for _ in range(count)]
    shares = [taken.count(member) for member in set(members)]
    assert max(shares) - min(shares) <= 1
