"""Draws a workflow's graph with boxes and lines, left to right, where it is small enough to be looked at."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from scheduler.cli.terminal import STATUS_STYLES, Screen, clean_text, display_width, fit, pad

_MOST_WORKERS = 40
_COLUMNS_WITHOUT_TERMINAL = 160
_NAME_COLUMNS = 24
_LABEL_COLUMNS = 16
_NORTH, _EAST, _SOUTH, _WEST = 1, 2, 4, 8
# The sign for each set of directions in which a line leaves a cell.
_SIGNS: Final = {
    0: " ", 1: "│", 2: "─", 3: "└", 4: "│", 5: "│", 6: "┌", 7: "├",
    8: "─", 9: "┘", 10: "─", 11: "┴", 12: "┐", 13: "┤", 14: "┬", 15: "┼",
}  # fmt: skip


@dataclass(slots=True, eq=False)
class _Item:
    """A box, or a place where a line passes a column on its way to a later one (`name` is None)."""

    name: str | None
    status: str = ""
    label: str = ""
    targets: "list[_Item]" = field(default_factory=list)
    row: int = 0
    lane: int = -1

    @property
    def height(self) -> int:
        return 3 if self.name is not None else 1

    @property
    def target_rows(self) -> set[int]:
        return {target.row for target in self.targets}

    @property
    def span(self) -> tuple[int, int]:
        """First and last row of the vertical line that leaves this item."""
        rows = self.target_rows | {self.row}
        return min(rows), max(rows)


def draw_graph(screen: Screen, graph: Mapping[str, Any]) -> list[str]:
    """The lines of the picture of `/graph`'s data; none where it is too large, or where lines would lie on
    each other so that one could read an edge that is not there (the list under it has them all)."""
    if not screen.unicode or not 0 < len(graph["nodes"]) <= _MOST_WORKERS:
        return []
    columns = _columns(graph)
    _place_rows(columns)
    gaps = [_lanes(column) for column in columns]
    if any(_misleads(column) for column in columns):
        return []
    lines = _paint(screen, columns, gaps)
    widest = screen.columns if screen.is_terminal else _COLUMNS_WITHOUT_TERMINAL
    return [text for width, text in lines] if all(width <= widest for width, _ in lines) else []


def _columns(graph: Mapping[str, Any]) -> list[list[_Item]]:
    """One column a level: boxes, and passages for the edges that skip levels, every item with its targets."""
    status = {node["name"]: node["status"] for node in graph["nodes"]}
    columns = [[_Item(name, status.get(name, "")) for name in level] for level in graph["levels"]]
    level_of = {item.name: at for at, column in enumerate(columns) for item in column}
    items = {item.name: item for column in columns for item in column}
    for name, item in list(items.items()):
        edges = [edge for edge in graph["edges"] if edge["from"] == name]
        labels = {edge["label"] for edge in edges}
        item.label = _short(labels.pop()) if len(labels) == 1 else ""
        _link(columns, item, level_of[name], {edge["to"]: level_of[edge["to"]] for edge in edges}, items)
    return columns


def _short(label: str | None) -> str:
    return fit(clean_text(label or "").rpartition("/")[2], _LABEL_COLUMNS)


def _link(
    columns: list[list[_Item]], source: _Item, level: int, reached: Mapping[str, int], items: Mapping[Any, _Item]
) -> None:
    """Joins `source` to its targets, with one passage a column for all those that lie further on."""
    carrier = source
    for at in range(level + 1, max(reached.values(), default=level) + 1):
        carrier.targets += [items[name] for name, target_level in reached.items() if target_level == at]
        if any(target_level > at for target_level in reached.values()):
            passage = _Item(None)
            columns[at].append(passage)
            carrier.targets.append(passage)
            carrier = passage


def _place_rows(columns: list[list[_Item]]) -> None:
    """Orders each column by where its lines come from, then centres it."""
    for column, following in pairwise(columns):
        _order(column, following)
    tallest = max(sum(item.height for item in column) for column in columns)
    for column in columns:
        top = (tallest - sum(item.height for item in column)) // 2
        for item in column:
            item.row = top + item.height // 2
            top += item.height


def _order(column: Sequence[_Item], following: list[_Item]) -> None:
    """Sorts the `following` column by the middle of the places that its lines come from."""

    def middle(item: _Item) -> float:
        sources = [at for at, source in enumerate(column) if item in source.targets]
        return sum(sources) / max(len(sources), 1)

    following.sort(key=middle)


def _lanes(column: Sequence[_Item]) -> int:
    """Gives every item that needs a vertical line a lane of its own and returns how many there are.

    Lines that go down: the lowest source nearest to the boxes, so that they do not cross; up: the highest.
    """
    bent = [item for item in column if item.target_rows - {item.row}]
    down = [item for item in bent if max(item.target_rows) > item.row]
    up = [item for item in bent if item not in down]
    for lane, item in enumerate([*reversed(down), *up]):
        item.lane = lane
    return len(bent)


def _misleads(column: Sequence[_Item]) -> bool:
    """Whether a line into a target lies on another source's line so that a false edge could be read."""
    return any(
        _leads_astray(source, other, row)
        for source in column
        for other in column
        if other is not source and other.lane > source.lane
        for row in source.target_rows
        if other.span[0] <= row <= other.span[1]
    )


def _leads_astray(source: _Item, other: _Item, row: int) -> bool:
    """Whether `source`'s line into `row` may be taken for one that follows `other`'s vertical line, or the reverse."""
    if row in other.target_rows:
        return not other.target_rows <= source.target_rows
    return row == other.row


class _Canvas:
    """Cells with text, or with lines that join where they meet."""

    def __init__(self) -> None:
        self._text: dict[tuple[int, int], str] = {}
        self._mask: dict[tuple[int, int], int] = {}

    def across(self, row: int, left: int, right: int) -> None:
        """A horizontal line from column `left` to `right`, both included."""
        for column in range(left, right + 1):
            self._join(row, column, (_EAST if column < right else 0) | (_WEST if column > left else 0))

    def down(self, column: int, top: int, bottom: int) -> None:
        """A vertical line."""
        for row in range(top, bottom + 1):
            self._join(row, column, (_SOUTH if row < bottom else 0) | (_NORTH if row > top else 0))

    def write(self, row: int, column: int, text: str) -> None:
        """Text over whatever is there; wide characters take two cells."""
        for character in text:
            self._text[row, column] = character
            for extra in range(1, display_width(character)):
                self._text[row, column + extra] = ""
            column += display_width(character)

    def decorate(self, row: int, column: int, text: str) -> None:
        """One cell whose text has colours around its one character."""
        self._text[row, column] = text

    def _join(self, row: int, column: int, mask: int) -> None:
        self._mask[row, column] = self._mask.get((row, column), 0) | mask

    def lines(self) -> Iterable[tuple[int, str]]:
        """Every row with its width."""
        cells = {**{at: _SIGNS[mask] for at, mask in self._mask.items()}, **self._text}
        for row in range(max(at[0] for at in cells) + 1):
            width = max((at[1] + 1 for at in cells if at[0] == row), default=0)
            yield width, "".join(cells.get((row, column), " ") for column in range(width)).rstrip()


def _paint(screen: Screen, columns: list[list[_Item]], gaps: Sequence[int]) -> list[tuple[int, str]]:
    """(width, text) of every line."""
    canvas, left = _Canvas(), 0
    for column, lanes in zip(columns, gaps, strict=True):
        boxes = [item for item in column if item.name is not None]
        inner = max(min(display_width(str(item.name)), _NAME_COLUMNS) for item in boxes) + 4
        right = left + inner + 1
        for item in column:
            _paint_item(screen, canvas, item, left, right)
        label = max(display_width(item.label) for item in column)
        first_lane = right + 1 + (label + 2 if label else 1)
        following = first_lane + 2 * lanes + 2
        for item in column:
            _paint_lines(canvas, item, right, first_lane, following)
        left = following
    return list(canvas.lines())


def _paint_item(screen: Screen, canvas: _Canvas, item: _Item, left: int, right: int) -> None:
    """A box with its sign and name between the columns `left` and `right`, or the line that passes there."""
    if item.name is None:
        canvas.across(item.row, left, right)
        return
    canvas.across(item.row - 1, left, right)
    canvas.across(item.row + 1, left, right)
    canvas.down(left, item.row - 1, item.row + 1)
    canvas.down(right, item.row - 1, item.row + 1)
    canvas.decorate(item.row, left + 2, screen.mark(item.status))
    canvas.write(item.row, left + 4, fit(clean_text(item.name), _NAME_COLUMNS))


def _paint_lines(canvas: _Canvas, item: _Item, right: int, first_lane: int, following: int) -> None:
    """The lines from `item`, whose column ends at `right`, to its targets in the column that starts at `following`."""
    if not item.targets:
        return
    lane = first_lane + 2 * max(item.lane, 0)
    canvas.across(item.row, right, lane)
    if item.lane >= 0:
        canvas.down(lane, *item.span)
    for target in item.targets:
        if target.name is None:
            canvas.across(target.row, lane, following)
        else:
            canvas.across(target.row, lane, following - 1)
            canvas.write(target.row, following - 1, "▶")
    if item.label:
        canvas.write(item.row, right + 2, item.label)


def edge_lines(screen: Screen, graph: Mapping[str, Any]) -> list[str]:
    """One line a worker in the order of the levels: sign, name, status, and what it waits for."""
    waits: dict[str, list[str]] = {}
    for edge in graph["edges"]:
        waits.setdefault(edge["to"], []).append(_waits_for(edge))
    status = {node["name"]: node["status"] for node in graph["nodes"]}
    names = [name for level in graph["levels"] for name in level]
    width = max(map(display_width, names), default=0)
    arrow = "←" if screen.unicode else "<-"
    lines = []
    for name in names:
        word = screen.paint(pad(status[name], 9), STATUS_STYLES.get(status[name]))
        after = f"  {arrow} {clean_text(', '.join(waits[name]))}" if name in waits else ""
        lines.append(f"{screen.mark(status[name])} {pad(name, width)}  {word}{after}".rstrip())
    return lines


def _waits_for(edge: Mapping[str, Any]) -> str:
    label = edge.get("label")
    if label is None:
        return f"{edge['from']} (order only)"
    return f"{edge['from']} ({label})" if "/" in label else f"{edge['from']}/{label}"
