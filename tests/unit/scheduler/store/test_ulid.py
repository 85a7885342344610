"""ULIDs: 26 characters that sort by time, whatever the clock does."""

import os
import time

import pytest

from scheduler.store import ulid
from scheduler.store.ulid import new_ulid

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def decode(text: str) -> int:
    value = 0
    for character in text:
        value = value * 32 + ALPHABET.index(character)
    return value


@pytest.fixture(autouse=True)
def forget_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ulid, "_last", 0)


def test_a_ulid_says_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = new_ulid()
    after = time.time_ns() // 1_000_000
    assert len(made) == 26
    assert set(made) <= set(ALPHABET)
    assert before <= decode(made) >> 80 <= after


def test_many_are_different_and_sort_in_the_order_in_which_they_were_made() -> None:
    made = [new_ulid() for _ in range(10_000)]
    assert made == sorted(set(made))


def test_they_sort_also_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([2_000_000_000_000, 1_000_000_000_000, 2_000_000_000_001])
    monkeypatch.setattr(time, "time_ns", lambda: next(moments) * 1_000_000)
    made = [new_ulid() for _ in range(3)]
    assert made == sorted(set(made))
    assert decode(made[1]) == decode(made[0]) + 1


def test_a_known_value_is_written_as_the_specification_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_469_918_176_385 * 1_000_000)
    monkeypatch.setattr(os, "urandom", lambda size: b"\0" * size)
    assert new_ulid() == "01ARYZ6S410000000000000000"
