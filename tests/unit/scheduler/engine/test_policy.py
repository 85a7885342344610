"""What an end means, in a sentence, and whether and when there is another attempt."""

import errno
import os
import signal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.engine.policy import Decision, Outcome, decide_retry, read_outcome, retry_delay, signal_name
from schemas.workflow import Retry, Worker
from workers.executor import Report


def worker(**fields: Any) -> Worker:
    return Worker(**{"name": "a", "command": "tool --fast 'x y'", **fields})


def ended(**fields: Any) -> Report:
    return Report("01", "exited", **fields)


def refused(number: int, where: str = "command", command: str = "tool --fast") -> str | None:
    report = ended(error_number=number, where=where, error=os.strerror(number))
    return read_outcome(report, worker(command=command)).reason


# -- what an end means -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        (ended(exit_code=0), Outcome(ok=True, exit_code=0)),
        (ended(exit_code=3), Outcome(ok=False, reason="exited with code 3", exit_code=3)),
        (ended(signal=9), Outcome(ok=False, reason="killed by SIGKILL")),
        (ended(signal=15, cause="stop"), Outcome(ok=False, reason="killed by SIGTERM", cause="stop")),
        (ended(exit_code=0, cause="stop"), Outcome(ok=True, exit_code=0, cause="stop")),
        (
            ended(exit_code=1, cause="launcher"),
            Outcome(ok=False, reason="exited with code 1", exit_code=1, cause="launcher"),
        ),
        (
            ended(never_started=True, cause="stop"),
            Outcome(ok=False, reason="stopped before it started", never_started=True, cause="stop"),
        ),
        (ended(lost="the host restarted"), Outcome(ok=False, reason="lost: the host restarted", lost=True)),
    ],
)
def test_an_end_in_words(report: Report, outcome: Outcome) -> None:
    assert read_outcome(report, worker()) == outcome


@pytest.mark.parametrize("end", [{"signal": 15}, {"signal": 9}, {"exit_code": 0}, {"exit_code": 143}])
def test_a_timeout_is_a_failure_however_the_process_took_it(end: dict[str, int]) -> None:
    outcome = read_outcome(ended(cause="timeout", **end), worker(timeout_seconds=2.5))
    assert outcome == Outcome(ok=False, reason="timed out after 2.5 s", cause="timeout")


def test_a_lost_end_is_never_guessed() -> None:
    outcome = read_outcome(ended(lost="the host restarted", exit_code=0, cause="timeout"), worker(timeout_seconds=1))
    assert (outcome.ok, outcome.lost, outcome.exit_code) == (False, True, None)


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOENT, "command 'tool' was not found in PATH"),
        (errno.EACCES, "command 'tool' is not executable: set its x bit, or call it through its interpreter"),
        (errno.ENOEXEC, "command 'tool' is neither a program nor a script with a '#!' line"),
        (errno.E2BIG, "command line and environment are longer than the system allows"),
        (errno.ELOOP, "command 'tool' cannot be started: Too many levels of symbolic links"),
    ],
)
def test_a_command_that_cannot_be_started_is_named(number: int, sentence: str) -> None:
    assert refused(number) == sentence


def test_a_command_by_path_may_also_lack_its_interpreter() -> None:
    assert refused(errno.ENOENT, command="./run.sh now") == (
        "command './run.sh' was not found, or the interpreter that its first line names does not exist"
    )


def test_the_directory_or_the_log_is_named_when_it_was_that() -> None:
    assert refused(errno.ENOENT, "directory") == "working directory cannot be entered: No such file or directory"
    assert refused(errno.EACCES, "log") == "log file cannot be opened: Permission denied"


@pytest.mark.parametrize("name", ["my tool", "it's"])
def test_a_quoted_command_is_named_whole(name: str) -> None:
    assert refused(errno.ENOENT, command=f'"{name}" --fast') == f"command '{name}' was not found in PATH"


def test_signals_have_names() -> None:
    assert signal_name(signal.SIGSEGV) == "SIGSEGV"
    assert signal_name(41) == "signal 41"


# -- another attempt -------------------------------------------------------------------------------

FAILED = Outcome(ok=False, reason="exited with code 1", exit_code=1)
KILLED = Outcome(ok=False, reason="killed by SIGKILL")
LOST = Outcome(ok=False, reason="lost: the host restarted", lost=True)


@pytest.mark.parametrize("retry", [None, 0, Retry()])
def test_without_a_policy_there_is_no_other(retry: int | Retry | None) -> None:
    assert decide_retry(worker(retry=retry), 1, FAILED) == Decision(again=False, reason="exited with code 1")


def test_the_limit_counts_the_attempts_after_the_first() -> None:
    twice = worker(retry={"limit": 2, "delay_seconds": 0.5})
    assert [decide_retry(twice, attempts, FAILED) for attempts in (1, 2, 3)] == [
        Decision(again=True, reason="exited with code 1; attempt 2 of 3 in 0.5 s", delay_seconds=0.5),
        Decision(again=True, reason="exited with code 1; attempt 3 of 3 in 1 s", delay_seconds=1.0),
        Decision(again=False, reason="exited with code 1; gave up after 3 attempts"),
    ]


def test_only_named_exit_codes_are_tried_again() -> None:
    picky = worker(retry={"limit": 3, "exit_codes": [75, 1]})
    assert decide_retry(picky, 1, FAILED).again
    other = Outcome(ok=False, reason="exited with code 2", exit_code=2)
    why = "; not one of the exit codes that are tried again"
    assert decide_retry(picky, 1, other) == Decision(again=False, reason=f"exited with code 2{why}")
    assert decide_retry(picky, 1, KILLED) == Decision(again=False, reason=f"killed by SIGKILL{why}")


def test_every_failure_is_tried_again_where_no_codes_are_named() -> None:
    for outcome in (KILLED, Outcome(ok=False, reason="output 'x' was not written", exit_code=0)):
        assert decide_retry(worker(retry=1), 1, outcome).again


def test_a_lost_attempt_asks_on_lost_alone() -> None:
    assert decide_retry(worker(retry=5), 1, LOST) == Decision(again=False, reason="lost: the host restarted")
    why = "lost: the host restarted; launched again in {} s because on_lost is 'retry'"
    for attempts, pause in ((1, 1.0), (2, 2.0), (20, 3600.0)):  # what takes the host down does not do so in a row
        again = Decision(again=True, reason=why.format(f"{pause:g}"), delay_seconds=pause)
        assert decide_retry(worker(on_lost="retry"), attempts, LOST) == again


def test_on_lost_is_about_lost_attempts_only() -> None:
    assert not decide_retry(worker(on_lost="retry"), 1, FAILED).again


def test_pauses_grow_to_the_maximum() -> None:
    policy = Retry(limit=9, delay_seconds=2, backoff_factor=3, max_delay_seconds=40)
    assert [retry_delay(policy, attempts) for attempts in (1, 2, 3, 4, 5)] == [2, 6, 18, 40, 40]


def test_pauses_may_stay_the_same() -> None:
    assert retry_delay(Retry(limit=9, delay_seconds=2, backoff_factor=1), 1000) == 2


def test_the_maximum_holds_for_the_first_pause_too() -> None:
    assert retry_delay(Retry(limit=1, delay_seconds=60, max_delay_seconds=5), 1) == 5


def test_no_pause_stays_no_pause_however_large_the_factor() -> None:
    assert retry_delay(Retry(limit=1000, delay_seconds=0, backoff_factor=1e9), 1000) == 0


@settings(deadline=None)
@given(st.floats(0, 1e9), st.floats(1, 1e9), st.floats(0, 1e9), st.integers(1, 1000))
def test_every_pause_is_within_its_maximum_and_none_is_shorter_than_the_one_before(
    delay: float, factor: float, most: float, attempts: int
) -> None:
    policy = Retry(limit=1000, delay_seconds=delay, backoff_factor=factor, max_delay_seconds=most)
    assert 0 <= retry_delay(policy, attempts) <= retry_delay(policy, attempts + 1) <= most
