"""Prints answers: tables and facts for people, one JSON document for programs; sizes, durations and times in words."""

import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from scheduler.cli.terminal import STATUS_STYLES, Screen, clean_text, display_width, fit, pad

_GAP = "  "
# A column is never cut below this: a name that cannot be read is no name.
_NARROWEST = 12


class Cell(NamedTuple):
    """A cell of a table: its text, its style, and whether it sits on the right as numbers do."""

    text: str
    style: str | None = None
    right: bool = False


def status_cell(status: str) -> Cell:
    """A status in its colour."""
    return Cell(status, STATUS_STYLES.get(status))


def number_cell(text: str) -> Cell:
    """Text that aligns on its right."""
    return Cell(text, right=True)


def print_json(data: object) -> None:
    """One JSON document, indented for eyes that look at it after all."""
    text = orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    sys.stdout.write(text.decode())


def print_table(screen: Screen, headers: Sequence[str], rows: Iterable[Sequence[Cell | str]]) -> None:
    """Aligned columns under dim headers; on a terminal the last column is cut to the width."""
    table = [[_cleaned(cell) for cell in row] for row in rows]
    widths = [
        max([display_width(header), *(display_width(row[at].text) for row in table)])
        for at, header in enumerate(headers)
    ]
    if screen.is_terminal:
        used = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(screen.columns - used, _NARROWEST))
    heading = [Cell(header, "dim", _column_right(table, at)) for at, header in enumerate(headers)]
    screen.lines(_row_line(screen, row, widths) for row in [heading, *table])


def print_facts(screen: Screen, facts: Mapping[str, Cell | str | None]) -> None:
    """`name   value` lines; facts that are None are left out."""
    known = {name: _cleaned(value) for name, value in facts.items() if value is not None}
    width = max((display_width(name) for name in known), default=0)
    screen.lines(
        screen.paint(pad(name, width), "dim") + _GAP + screen.paint(value.text, value.style)
        for name, value in known.items()
    )


def _cleaned(cell: Cell | str) -> Cell:
    """What came from the daemon was once typed by somebody: nothing in it may steer the terminal or break the row."""
    if isinstance(cell, str):
        cell = Cell(cell)
    flat = cell.text.replace("\r", " ").replace("\n", " ").replace("\t", " ")
    return cell._replace(text=clean_text(flat))


def _column_right(table: Sequence[Sequence[Cell]], at: int) -> bool:
    return any(row[at].right for row in table)


def _row_line(screen: Screen, row: Sequence[Cell], widths: Sequence[int]) -> str:
    last = len(row) - 1
    parts = []
    for at, (cell, width) in enumerate(zip(row, widths, strict=True)):
        text = fit(cell.text, width)
        # no spaces after the last column: they wrap in narrow terminals and stain diffs
        text = text if at == last and not cell.right else pad(text, width, right=cell.right)
        parts.append(screen.paint(text, cell.style))
    return _GAP.join(parts).rstrip()


def show_duration(seconds: float | None) -> str:
    """0.42 s, 12.3 s, 4:05, 1:02:03; `-` for None."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def show_size(size_bytes: int | None) -> str:
    """20 B, 1.5 KiB, 3.0 GiB; `-` for None."""
    if size_bytes is None:
        return "-"
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def show_time(timestamp: str | None) -> str:
    """An API timestamp as local time to the second; `-` for None."""
    if not timestamp:
        return "-"
    return _parse_time(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def runtime_seconds(entity: Mapping[str, Any]) -> float | None:
    """Seconds from `started_at` to `completed_at`, or to now while it runs; None before the start."""
    if entity.get("runtime_seconds") is not None:
        return float(entity["runtime_seconds"])
    if not entity.get("started_at"):
        return None
    end = _parse_time(entity["completed_at"]) if entity.get("completed_at") else datetime.now(UTC)
    return max((end - _parse_time(entity["started_at"])).total_seconds(), 0.0)


def show_output(output: Mapping[str, Any]) -> str:
    """`raw_data: raw.json (26 B)` of an attempt's output."""
    return f"{output['name']}: {os.path.basename(output['path'])} ({show_size(output['size_bytes'])})"


def show_exit(entity: Mapping[str, Any]) -> str:
    """`0`, `1`, `SIGKILL` (or `signal 9` for a number without a name), `-` while there is none."""
    number = entity.get("signal")
    if number is None:
        return "-" if entity.get("exit_code") is None else str(entity["exit_code"])
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _parse_time(timestamp: str) -> datetime:
    return datetime.fromisoformat(timestamp)
