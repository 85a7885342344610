"""What an earlier launcher's journal says: which attempts were begun and not acknowledged, and how those stand."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from .attempt import EXITED, Attempt

if TYPE_CHECKING:
    from collections.abc import Iterable


def read_begun(records: Iterable[str]) -> tuple[str | None, str, dict[str, Attempt]]:
    """(boot id of the last launcher, the journal's id, attempts by id); a new journal gets a new id."""
    boot_id: str | None = None
    journal_id = os.urandom(8).hex()
    begun: dict[str, Attempt] = {}
    for record in records:
        kind, name, *fields = record.split(" ")
        if kind == "G":
            boot_id, journal_id = fields[0], fields[1]
        elif kind == "I":
            begun[name] = Attempt(name)
        elif kind in "NA":
            begun.pop(name, None)
        elif name in begun:
            _continue(begun[name], kind, fields)
    return boot_id, journal_id, begun


def _continue(attempt: Attempt, kind: str, fields: list[str]) -> None:
    if kind == "P":
        attempt.pid, attempt.ticks, attempt.started_at = map(int, fields)
    elif kind == "X":
        attempt.state, attempt.end = EXITED, json.loads(" ".join(fields))
