"""What was measured as rows of one table, for people and as JSON; and how many numbers become one."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

Met = Literal["yes", "MISSED", "VOID", "absent", "-"]
HEAD = ("measure", "Wattle", "rival", "ratio or bar", "met?")


class VoidError(Exception):
    """What ran did not do what it should have done, so how long it took means nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `note` is printed below it, `samples` are every single number in the JSON."""

    measure: str
    wattle: str
    rival: str = ""
    verdict: str = ""
    met: Met = "-"
    note: str = ""
    samples: dict[str, list[float]] = field(default_factory=dict)


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that so many percent of them do not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def spread(samples: Sequence[float], unit: str, scale: float = 1.0) -> str:
    """`1.81 to 2.04 s`."""
    return f"{_number(min(samples) * scale)} to {_number(max(samples) * scale)} {unit}"


def amount(value: float, unit: str) -> str:
    """`1.83 s`."""
    return f"{_number(value)} {unit}"


def _number(value: float) -> str:
    """With three digits that mean something."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def against_bar(measure: str, value: float, bar: float, unit: str, **others: Any) -> Row:
    """A row for a value that may be at most `bar`, both in `unit`."""
    met: Met = "yes" if value <= bar else "MISSED"
    return Row(measure, amount(value, unit), verdict=f"bar {bar:g} {unit}", met=met, **others)


@dataclass(frozen=True, slots=True)
class RatioBar:
    """How many times a rival's time may be taken, and what is hoped for."""

    bar: float
    aim: float | None = None

    def judge(self, ratio: float) -> tuple[str, Met]:
        """What stands in the last two columns."""
        text = f"{ratio:.2f}x, bar {self.bar:g}x" + (f", aim {self.aim:g}x" if self.aim else "")
        return text, "yes" if ratio <= self.bar else "MISSED"


def against_rival(
    measure: str, ours: Sequence[float], rival: str, theirs: Sequence[float], bar: RatioBar | None, note: str = ""
) -> Row:
    """A row that compares median seconds; without a bar it is there for information."""
    ratio = median(ours) / median(theirs)
    verdict, met = bar.judge(ratio) if bar else (f"{ratio:.2f}x", "-")
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    note = f"{note}; " if note else ""
    note += f"{len(ours)} rounds, {spread(ratios, 'x')} {rival}; Wattle {spread(ours, 's')}"
    samples = {"wattle_seconds": list(ours), f"{rival}_seconds": list(theirs)}
    return Row(
        measure, amount(median(ours), "s"), f"{rival} {amount(median(theirs), 's')}", verdict, met, note, samples
    )


def table(rows: Sequence[Row]) -> str:
    """The table, then a note for each row that has one."""
    cells = [HEAD, *((row.measure, row.wattle, row.rival, row.verdict, row.met) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = [" | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    lines.insert(1, "-+-".join("-" * width for width in widths))
    notes = [f"  {row.measure}: {row.note}" for row in rows if row.note]
    return "\n".join([*lines, *(["", "Notes"] if notes else []), *notes])


def summary(rows: Sequence[Row]) -> str:
    """How many bars were met, and by name those that were not."""
    judged = [row for row in rows if row.met != "-"]
    lines = [f"{sum(row.met == 'yes' for row in judged)} of {len(judged)} bars met."]
    for row in judged:
        if row.met != "yes":
            said = row.note if row.met == "VOID" else f"{row.wattle or row.rival}, {row.verdict}"
            lines.append(f"{row.met}: {row.measure}: {said}")
    return "\n".join(lines)


def as_json(host: dict[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """Everything that was measured."""
    return {"host": host, "rows": [asdict(row) for row in rows]}
