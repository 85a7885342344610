"""Draws a workflow's graph with boxes and lines, left to right, where it is small enough to be looked at."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from scheduler.cli.terminal import STATUS_STYLES, Screen, clean_text, display_width, fit, pad

_MOST_WORKERS = 40
_COLUMNS_WITHOUT_TERMINAL = 160
_NAME_COLUMNS = 24
_LABEL_COLUMNS = 16
# Lines that get in each other's way where boxes stand side by side may pass where they stand a row apart.
_SHIFTS = 3
_NORTH, _EAST, _SOUTH, _WEST = 1, 2, 4, 8
_UPRIGHT, _LEVEL = _NORTH | _SOUTH, _EAST | _WEST
# The sign for each set of directions in which a line leaves a cell.
_SIGNS: Final = {
    0: " ", 1: "│", 2: "─", 3: "└", 4: "│", 5: "│", 6: "┌", 7: "├",
    8: "─", 9: "┘", 10: "─", 11: "┴", 12: "┐", 13: "┤", 14: "┬", 15: "┼",
}  # fmt: skip


@dataclass(slots=True, eq=False)
class _Item:
    """A box, or a place where a line passes a column on its way to a later one (`name` is None).

    Its lines leave to the right from its middle `row`; each line into it has a row of its own, so that two never join.
    """

    name: str | None
    status: str = ""
    label: str = ""
    sources: "list[_Item]" = field(default_factory=list)
    targets: "list[_Item]" = field(default_factory=list)
    row: int = 0
    lane: int | None = None

    @property
    def half(self) -> int:
        """Rows above and below the middle one."""
        return 0 if self.name is None else 1 + len(self.sources) // 2

    def entry(self, source: "_Item") -> int:
        """The row of the line from `source`: around the middle, which an even number leaves free."""
        count, at = len(self.sources), self.sources.index(source)
        return self.row - count // 2 + at + (1 if count % 2 == 0 and at >= count // 2 else 0)

    @property
    def ends(self) -> set[int]:
        """The rows in which the lines from this item end."""
        return {target.entry(self) for target in self.targets}

    @property
    def span(self) -> tuple[int, int]:
        """First and last row of the vertical line that leaves this item."""
        rows = self.ends | {self.row}
        return min(rows), max(rows)


def draw_graph(screen: Screen, graph: Mapping[str, Any]) -> list[str]:
    """The lines of the picture of `/graph`'s data; none where it is too large, or where lines would have to lie on
    each other so that one could read an edge that is not there (the list under it has them all)."""
    if not screen.unicode or not 0 < len(graph["nodes"]) <= _MOST_WORKERS:
        return []
    columns = _columns(graph)
    _order(columns)
    if not any(_fits(columns, shift) for shift in range(_SHIFTS)):
        return []
    lines = _paint(screen, columns)
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
        following = [items[name] for name, target_level in reached.items() if target_level == at]
        if any(target_level > at for target_level in reached.values()):
            passage = _Item(None)
            columns[at].append(passage)
            following.append(passage)
        for target in following:
            carrier.targets.append(target)
            target.sources.append(carrier)
        carrier = following[-1]


def _order(columns: list[list[_Item]]) -> None:
    """Sorts each column by where its lines come from."""
    for column, following in pairwise(columns):
        place = {id(item): at for at, item in enumerate(column)}
        for item in following:
            item.sources.sort(key=lambda source, place=place: place[id(source)])  # type: ignore[misc]
        following.sort(key=lambda item, place=place: _middle(item, place))  # type: ignore[misc]


def _middle(item: _Item, place: Mapping[int, int]) -> float:
    return sum(place[id(source)] for source in item.sources) / max(len(item.sources), 1)


def _fits(columns: list[list[_Item]], shift: int) -> bool:
    """Centres the columns, every second one `shift` rows lower, and says whether all lines find their way."""
    tallest = max(sum(2 * item.half + 1 for item in column) for column in columns)
    for number, column in enumerate(columns):
        top = (tallest - sum(2 * item.half + 1 for item in column)) // 2 + shift * (number % 2)
        for item in column:
            item.row = top + item.half
            top += 2 * item.half + 1
    return all(_give_lanes(column) for column in columns)


def _give_lanes(column: Sequence[_Item]) -> bool:
    """Gives every item that needs a vertical line a lane of its own; False where that is not possible.

    Where one item leaves in the row in which a line of another ends, it must turn off before that one turns in.
    """
    bent = [item for item in column if item.ends - {item.row}]
    down = [item for item in bent if max(item.ends) > item.row]
    # going down, the lowest source turns off first, so that the lines do not cross; going up, the highest
    waiting = [*reversed(down), *(item for item in bent if item not in down)]
    for item in column:
        item.lane = None
    for lane in range(len(waiting)):
        free = (item for item in waiting if not any(other.row in item.ends for other in waiting if other is not item))
        first = next(free, None)
        if first is None:
            return False
        first.lane = lane
        waiting.remove(first)
    return True


class _Canvas:
    """Cells with text, or with lines: those of one item join where they meet, those of two items pass each other."""

    def __init__(self) -> None:
        self._text: dict[tuple[int, int], str] = {}
        self._masks: dict[tuple[int, int], dict[int, int]] = {}

    def across(self, item: _Item, row: int, left: int, right: int) -> None:
        """A horizontal line of `item` from column `left` to `right`, both included."""
        for column in range(left, right + 1):
            self._join(item, row, column, (_EAST if column < right else 0) | (_WEST if column > left else 0))

    def down(self, item: _Item, column: int, top: int, bottom: int) -> None:
        """A vertical line."""
        for row in range(top, bottom + 1):
            self._join(item, row, column, (_SOUTH if row < bottom else 0) | (_NORTH if row > top else 0))

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

    def _join(self, item: _Item, row: int, column: int, mask: int) -> None:
        masks = self._masks.setdefault((row, column), {})
        masks[id(item)] = masks.get(id(item), 0) | mask

    def lines(self) -> Iterable[tuple[int, str]]:
        """Every row with its width, from the first that has something in it."""
        cells = {**{at: _sign(masks.values()) for at, masks in self._masks.items()}, **self._text}
        rows = [at[0] for at in cells]
        for row in range(min(rows), max(rows) + 1):
            width = max((at[1] + 1 for at in cells if at[0] == row), default=0)
            yield width, "".join(cells.get((row, column), " ") for column in range(width)).rstrip()


def _sign(masks: Collection[int]) -> str:
    """The sign of a cell. Two lines that only cross are not joined: the vertical one passes in front."""
    whole = 0
    for mask in masks:
        whole |= mask
    if whole == _UPRIGHT | _LEVEL and all(mask in (_UPRIGHT, _LEVEL) for mask in masks):
        whole = _UPRIGHT
    return _SIGNS[whole]


def _paint(screen: Screen, columns: list[list[_Item]]) -> list[tuple[int, str]]:
    """(width, text) of every line."""
    canvas, left = _Canvas(), 0
    for column in columns:
        boxes = [item for item in column if item.name is not None]
        right = left + max(min(display_width(str(item.name)), _NAME_COLUMNS) for item in boxes) + 5
        for item in column:
            _paint_item(screen, canvas, item, left, right)
        label = max(display_width(item.label) for item in column)
        first_lane = right + 1 + (label + 2 if label else 1)
        following = first_lane + 2 * sum(item.lane is not None for item in column) + 2
        for item in column:
            _paint_lines(canvas, item, right, first_lane, following)
        left = following
    return list(canvas.lines())


def _paint_item(screen: Screen, canvas: _Canvas, item: _Item, left: int, right: int) -> None:
    """A box with its sign and name between the columns `left` and `right`, or the line that passes there."""
    if item.name is None:
        canvas.across(item, item.row, left, right)
        return
    top, bottom = item.row - item.half, item.row + item.half
    for row in (top, bottom):
        canvas.across(item, row, left, right)
    for side in (left, right):
        canvas.down(item, side, top, bottom)
    canvas.decorate(item.row, left + 2, screen.mark(item.status))
    canvas.write(item.row, left + 4, fit(clean_text(item.name), _NAME_COLUMNS))


def _paint_lines(canvas: _Canvas, item: _Item, right: int, first_lane: int, following: int) -> None:
    """The lines from `item`, whose column ends at `right`, to its targets in the column that starts at `following`."""
    if not item.targets:
        return
    lane = first_lane + 2 * (item.lane or 0)
    canvas.across(item, item.row, right, lane)
    if item.lane is not None:
        canvas.down(item, lane, *item.span)
    for target in item.targets:
        row = target.entry(item)
        if target.name is None:
            canvas.across(item, row, lane, following)
        else:
            canvas.across(item, row, lane, following - 1)
            canvas.write(row, following - 1, "▶")
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
