"""What a journal says to the next launcher: begun and not acknowledged, with what is known of each."""

from workers.launcher.attempt import EXITED, QUEUED
from workers.launcher.replay import read_begun

GENERATION = "G 1700000000000-42 boot-1 journal-1"


def test_a_new_journal_gets_an_id_of_its_own() -> None:
    first, second = read_begun([]), read_begun([])
    assert (first[0], first[2]) == (None, {})
    assert len(first[1]) == 16
    assert first[1] != second[1]


def test_the_latest_generation_says_which_boot_it_was() -> None:
    assert read_begun([GENERATION, "G 1700000000001-43 boot-2 journal-1"])[:2] == ("boot-2", "journal-1")


def test_an_intent_alone() -> None:
    _, _, begun = read_begun([GENERATION, "I a"])
    assert (begun["a"].state, begun["a"].pid, begun["a"].end) == (QUEUED, 0, None)


def test_what_runs() -> None:
    _, _, begun = read_begun([GENERATION, "I a", "P a 123 456 789"])
    assert (begun["a"].pid, begun["a"].ticks, begun["a"].started_at, begun["a"].state) == (123, 456, 789, QUEUED)


def test_an_end_is_read_as_it_was_written() -> None:
    end = '{"id":"a","state":"exited","errno":2,"error":"two  spaces and \\u00e4"}'
    _, _, begun = read_begun([GENERATION, "I a", f"X a {end}"])
    assert begun["a"].state == EXITED
    assert begun["a"].end == {"id": "a", "state": "exited", "errno": 2, "error": "two  spaces and ä"}


def test_what_was_acknowledged_or_never_ran_is_forgotten() -> None:
    records = [GENERATION, "I a", "P a 1 2 3", "I b", "X a {}", "A a", "N b", "A unknown", "X b {}", "P b 1 2 3"]
    assert read_begun(records)[2] == {}


def test_an_attempt_that_was_refused_and_tried_again_is_there_once() -> None:
    _, _, begun = read_begun([GENERATION, "I a", "N a", "I a", "N a", "I a", "P a 5 6 7"])
    assert [attempt.pid for attempt in begun.values()] == [5]


def test_what_a_newer_launcher_may_write_is_passed_over() -> None:
    _, _, begun = read_begun([GENERATION, "I a", "Z a something new", "P a 1 2 3"])
    assert begun["a"].pid == 1
