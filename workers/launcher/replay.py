"""What the journal's records say of attempts: written by one launcher, read by the next."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from .attempt import EXITED, QUEUED, Attempt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def intent_record(attempt: Attempt) -> str:
    """It may run from now on; its deadlines are kept for a launcher that adopts it."""
    return f"I {attempt.id} {attempt.timeout or 0.0} {attempt.grace}"


def pid_record(attempt: Attempt) -> str:
    """It runs."""
    return f"P {attempt.id} {attempt.pid} {attempt.ticks} {attempt.started_at}"


def end_record(attempt_id: str, end: dict[str, object]) -> str:
    """It has ended."""
    return f"X {attempt_id} {json.dumps(end, separators=(',', ':'))}"


def records_of(attempts: Iterable[Attempt]) -> Iterator[str]:
    """All that has to be kept of these."""
    for attempt in attempts:
        if attempt.state == QUEUED:
            continue
        yield intent_record(attempt)
        if attempt.started_at is not None:
            yield pid_record(attempt)
        if attempt.end is not None:
            yield end_record(attempt.id, attempt.end)


def read_begun(records: Iterable[str]) -> tuple[str | None, str, dict[str, Attempt]]:
    """(boot id of the last launcher, the journal's id, attempts by id); a new journal gets a new id.

    They were begun and not acknowledged. Kinds that a newer launcher may write are passed over.
    """
    boot_id: str | None = None
    journal_id = os.urandom(8).hex()
    begun: dict[str, Attempt] = {}
    for record in records:
        kind, name, *fields = record.split(" ")
        if kind == "G":
            boot_id, journal_id = fields[0], fields[1]
        elif kind == "I":
            begun[name] = _read_intent(name, fields)
        elif kind in "NA":
            begun.pop(name, None)
        elif name in begun:
            _continue(begun[name], kind, fields)
    return boot_id, journal_id, begun


def _read_intent(name: str, fields: list[str]) -> Attempt:
    attempt = Attempt(name)
    if len(fields) >= 2:
        attempt.timeout, attempt.grace = float(fields[0]) or None, float(fields[1])
    return attempt


def _continue(attempt: Attempt, kind: str, fields: list[str]) -> None:
    if kind == "P":
        attempt.pid, attempt.ticks, attempt.started_at = map(int, fields)
    elif kind == "X":
        attempt.state, attempt.end = EXITED, json.loads(" ".join(fields))
