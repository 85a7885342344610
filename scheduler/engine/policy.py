"""Small pure decisions, each with its reason in words: what an end means, whether it is tried again, when."""

from __future__ import annotations

import errno
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.workflow import Retry
from workers.command import build_argv

if TYPE_CHECKING:
    from schemas.workflow import Worker
    from workers.executor import Report


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. `reason` is a sentence, None after success."""

    ok: bool
    reason: str | None = None
    exit_code: int | None = None
    lost: bool = False
    never_started: bool = False
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to launch again, after how many seconds, and why (or why not)."""

    again: bool
    reason: str
    delay_seconds: float = 0.0


def signal_name(number: int) -> str:
    """'SIGTERM' for 15; real-time signals by number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def read_outcome(report: Report, worker: Worker) -> Outcome:
    """What the launcher's report of an end means, before the outputs were looked at."""
    if report.lost is not None:
        return Outcome(ok=False, reason=f"lost: {report.lost}", lost=True, cause=report.cause)
    if report.never_started:
        return Outcome(ok=False, reason="stopped before it started", never_started=True, cause=report.cause)
    if report.error_number is not None:
        return Outcome(ok=False, reason=explain_refusal(report, worker), cause=report.cause)
    if report.cause == "timeout":
        return Outcome(ok=False, reason=f"timed out after {worker.timeout_seconds:g} s", cause="timeout")
    if report.signal is not None:
        return Outcome(ok=False, reason=f"killed by {signal_name(report.signal)}", cause=report.cause)
    if report.exit_code != 0:
        reason = f"exited with code {report.exit_code}"
        return Outcome(ok=False, reason=reason, exit_code=report.exit_code, cause=report.cause)
    return Outcome(ok=True, exit_code=0, cause=report.cause)


def explain_refusal(report: Report, worker: Worker) -> str:
    """Why nothing ran, naming the command or the directory, whichever it was."""
    number, name = report.error_number, build_argv(worker.command, (), worker.shell)[0]
    if report.where == "directory":
        return f"working directory cannot be entered: {report.error}"
    if report.where == "log":
        return f"log file cannot be opened: {report.error}"
    if number == errno.ENOENT:
        if "/" in name:
            return f"command '{name}' was not found, or the interpreter that its first line names does not exist"
        return f"command '{name}' was not found in PATH"
    if number == errno.EACCES:
        return f"command '{name}' is not executable: set its x bit, or call it through its interpreter"
    if number == errno.ENOEXEC:
        return f"command '{name}' is neither a program nor a script with a '#!' line"
    if number == errno.E2BIG:
        return "command line and environment are longer than the system allows"
    return f"command '{name}' cannot be started: {report.error}"


def decide_retry(worker: Worker, attempts: int, outcome: Outcome) -> Decision:
    """Whether a failed attempt, the `attempts`-th, is followed by another."""
    if outcome.lost:
        if worker.on_lost == "retry":
            delay = retry_delay(
                worker.retry or Retry(), attempts
            )  # whoever takes the host down should not do it in a row
            reason = f"{outcome.reason}; launched again in {delay:g} s because on_lost is 'retry'"
            return Decision(again=True, reason=reason, delay_seconds=delay)
        return Decision(again=False, reason=outcome.reason or "lost")
    policy = worker.retry
    reason = outcome.reason or "failed"
    if policy is None or policy.limit == 0:
        return Decision(again=False, reason=reason)
    if policy.exit_codes is not None and outcome.exit_code not in policy.exit_codes:
        return Decision(again=False, reason=f"{reason}; not one of the exit codes that are tried again")
    if attempts > policy.limit:
        return Decision(again=False, reason=f"{reason}; gave up after {attempts} attempts")
    delay = retry_delay(policy, attempts)
    return Decision(
        again=True, reason=f"{reason}; attempt {attempts + 1} of {policy.limit + 1} in {delay:g} s", delay_seconds=delay
    )


def retry_delay(policy: Retry, attempts: int) -> float:
    """Seconds before the next launch after `attempts` of them: delay * factor^(attempts - 1), at most the maximum."""
    try:
        delay = policy.delay_seconds * policy.backoff_factor ** (attempts - 1)
    except OverflowError:
        delay = policy.max_delay_seconds if policy.delay_seconds else 0.0
    return min(delay, policy.max_delay_seconds)
