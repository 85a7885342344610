"""Timers: everything that is due runs, in order, and nothing before its time."""

import time

import pytest

from workers.launcher.clock import Timers, boottime, now_ms

FAR = 3600.0


@pytest.fixture
def timers() -> Timers:
    return Timers()


def test_what_is_due_runs_in_order_of_time_then_of_asking(timers: Timers) -> None:
    ran: list[str] = []
    now = boottime()
    for when, name in ((now - 1, "late"), (now - 3, "first"), (now - 2, "a"), (now - 2, "b"), (now + FAR, "never")):
        timers.at(when, ran.append, name)
    timers.run_due()
    assert ran == ["first", "a", "b", "late"]
    timers.run_due()
    assert ran == ["first", "a", "b", "late"]


def test_an_action_may_ask_for_another(timers: Timers) -> None:
    ran: list[object] = []

    def act(argument: object) -> None:
        ran.append(argument)
        timers.after(0.0, ran.append, "at once")
        timers.after(FAR, ran.append, "later")

    timers.at(boottime() - 1, act, "first")
    timers.run_due()
    assert ran == ["first", "at once"]


def test_one_that_fails_does_not_take_the_others_with_it(timers: Timers) -> None:
    ran: list[str] = []
    timers.at(boottime() - 2, {}.__getitem__, "absent")
    timers.at(boottime() - 1, ran.append, "second")
    with pytest.raises(KeyError):
        timers.run_due()
    timers.run_due()
    assert ran == ["second"]


def test_how_long_the_loop_may_sleep(timers: Timers) -> None:
    assert timers.wait_seconds() is None
    timers.after(FAR, print)
    assert FAR - 60 < (timers.wait_seconds() or 0) <= FAR
    timers.at(boottime() - 5, print)
    assert timers.wait_seconds() == 0.0


def test_stale_ones_are_dropped_only_when_they_are_many(timers: Timers) -> None:
    ran: list[int] = []
    for number in range(10):
        timers.at(boottime() - 1, ran.append, number)
    timers.drop(lambda number: number % 2 == 0, keep=10)
    timers.at(boottime() - 2, ran.append, 11)
    timers.drop(lambda number: number % 2 == 0, keep=10)
    timers.run_due()
    assert ran == [11, 1, 3, 5, 7, 9]


def test_the_clocks() -> None:
    assert abs(now_ms() - time.time() * 1000) < 60_000
    assert boottime() >= time.clock_gettime(time.CLOCK_MONOTONIC) - 1
