"""The picture of a graph shows every edge and none that is not there, or there is no picture."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scheduler.cli.picture import draw_graph, edge_lines
from scheduler.cli.terminal import display_width
from tests.unit.cli.screens import pipe, terminal

Edges = list[tuple[str, str, str | None]]


def graph(levels: list[list[str]], edges: Edges, status: str = "created") -> dict[str, Any]:
    """The data of `/graph`."""
    names = [(name, at) for at, level in enumerate(levels) for name in level]
    return {
        "nodes": [{"name": name, "status": status, "level": at} for name, at in names],
        "edges": [{"from": start, "to": end, "label": label} for start, end, label in edges],
        "levels": levels,
    }


def drawn(levels: list[list[str]], edges: Edges) -> list[str]:
    return draw_graph(pipe()[0], graph(levels, edges))


def test_a_chain_is_a_line_with_the_name_of_the_file() -> None:
    assert drawn([["fetch"], ["process"]], [("fetch", "process", "raw_data")]) == [
        "┌─────────┐            ┌───────────┐",
        "│ ○ fetch ├─raw_data──▶│ ○ process │",
        "└─────────┘            └───────────┘",
    ]


def test_fan_out_and_in_with_an_edge_that_skips_a_level() -> None:
    edges: Edges = [("a", "b", None), ("a", "c", None), ("b", "d", None), ("c", "d", None), ("a", "d", None)]
    assert drawn([["a"], ["b", "c"], ["d"]], edges) == [
        "            ┌─────┐",
        "        ┌──▶│ ○ b ├─┐       ┌─────┐",
        "┌─────┐ │   └─────┘ └──────▶│     │",
        "│ ○ a ├─┤   ┌─────┐   ┌────▶│ ○ d │",
        "└─────┘ ├──▶│ ○ c ├───┘ ┌──▶│     │",
        "        │   └─────┘     │   └─────┘",
        "        └───────────────┘",
    ]


def test_wide_characters_keep_the_box_closed() -> None:
    lines = drawn([["数据抓取"], ["处理"]], [("数据抓取", "处理", "原始")])
    assert len({display_width(line) for line in lines}) == 1
    assert "数据抓取 ├─原始──▶│ ○ 处理 │" in lines[1]


def test_lines_that_cross_are_not_joined() -> None:
    edges: Edges = [("a", "c", None), ("a", "d", None), ("b", "c", None), ("b", "d", None)]
    assert drawn([["a", "b"], ["c", "d"]], edges) == [
        "              ┌─────┐",
        "┌─────┐   ┌──▶│     │",
        "│ ○ a ├───┤   │ ○ c │",
        "└─────┘ ┌─│──▶│     │",
        "┌─────┐ │ │   └─────┘",
        "│ ○ b ├─┤ │   ┌─────┐",
        "└─────┘ │ └──▶│     │",
        "        │     │ ○ d │",
        "        └────▶│     │",
        "              └─────┘",
    ]


def test_no_picture_that_is_wider_than_the_terminal() -> None:
    levels = [[f"worker_{at}"] for at in range(12)]
    edges: Edges = [(start[0], end[0], "file") for start, end in pairwise(levels)]
    assert draw_graph(terminal()[0], graph(levels, edges)) == []


def test_no_picture_of_many_workers() -> None:
    assert drawn([[f"w{at}" for at in range(41)]], []) == []


def test_the_list_has_every_edge() -> None:
    shown = edge_lines(
        pipe()[0],
        graph([["a"], ["数据"]], [("a", "数据", "out"), ("a", "数据", "/tmp/x"), ("a", "数据", None)], "completed"),
    )
    assert shown == [
        "✔ a     completed",
        "✔ 数据  completed  ← a/out, a (/tmp/x), a (order only)",
    ]


@st.composite
def layered(draw: st.DrawFn) -> tuple[list[list[str]], Edges]:
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    levels = [[f"n{at}_{number}" for number in range(size)] for at, size in enumerate(sizes)]
    edges: Edges = []
    for at, level in enumerate(levels[1:], 1):
        for name in level:
            # a level is one more than the highest upstream, as the daemon computes it
            edges.append((draw(st.sampled_from(levels[at - 1])), name, None))
            others = [earlier for before in levels[:at] for earlier in before if (earlier, name, None) not in edges]
            more = draw(st.lists(st.sampled_from(others), unique=True, max_size=2)) if others else []
            edges += [(start, name, None) for start in more]
    return levels, edges


@given(layered())
def test_following_the_lines_finds_the_edges_and_no_other(made: tuple[list[list[str]], Edges]) -> None:
    levels, edges = made
    lines = drawn(levels, edges)
    if lines:
        names = [name for level in levels for name in level]
        assert _read_edges(lines, names) == {(start, end) for start, end, _ in edges}, "\n".join(lines)


def _read_edges(lines: list[str], names: list[str]) -> set[tuple[str, str]]:
    """Every (from, to) that an eye finds that follows the lines from the right side of each box, never leftwards."""
    signs = {(row, column): sign for row, line in enumerate(lines) for column, sign in enumerate(line)}
    boxes = {
        name: next((row, line.index(f"○ {name} ")) for row, line in enumerate(lines) if f"○ {name} " in line)
        for name in names
    }
    arrows = _arrows(signs, boxes)
    found = set()
    for name, (row, column) in boxes.items():
        side = next(at for at in range(column, len(lines[row])) if lines[row][at] in "├│")
        if signs[row, side] == "├":
            found |= {(name, arrows[end]) for end in _ends(signs, (row, side + 1), set(arrows))}
    return found


def _arrows(signs: dict[tuple[int, int], str], boxes: dict[str, tuple[int, int]]) -> dict[tuple[int, int], str]:
    """The name behind each arrowhead: its box is the one around the nearest name in the same column of boxes."""
    found = {}
    for (row, column), sign in signs.items():
        if sign == "▶":
            behind = {name: at for name, (at, text) in boxes.items() if text == column + 3}
            found[row, column] = min(behind, key=lambda name: _rows_apart(signs, column + 1, row, behind[name]))
    return found


def _rows_apart(signs: dict[tuple[int, int], str], side: int, row: int, name_row: int) -> int:
    """Rows from an arrowhead to a name, many where the border of a box is between."""
    between = range(min(row, name_row), max(row, name_row))
    return abs(row - name_row) + (1000 if any(signs.get((at, side)) in ("┌", "└") for at in between) else 0)


_OPEN = {
    "│": "NS", "─": "EW", "└": "NE", "┌": "SE", "├": "NSE", "┘": "NW", "┴": "NEW", "┐": "SW", "┤": "NSW", "┬": "SEW",
    "┼": "NESW",
}  # fmt: skip
_MOVES = {"N": (-1, 0), "S": (1, 0), "E": (0, 1)}


def _ends(
    signs: dict[tuple[int, int], str], start: tuple[int, int], arrows: set[tuple[int, int]]
) -> set[tuple[int, int]]:
    """The arrowheads that a line through `start`, on its way to the right, leads to."""
    waiting, seen = [(start, "E")], set()
    while waiting:
        (row, column), heading = waiting.pop()
        if ((row, column), heading) in seen:
            continue
        seen.add(((row, column), heading))
        # a line that meets an upright one goes on behind it
        behind = signs[row, column] == "│" and heading == "E"
        for direction in "E" if behind else _OPEN.get(signs[row, column], ""):
            if direction in _MOVES:
                down, right = _MOVES[direction]
                waiting.append(((row + down, column + right), direction))
    return {at for at, _ in seen} & arrows
