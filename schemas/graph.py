"""The DAG of a workflow: its edges, an order, its levels, and how it is drawn as text."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.errors import CircularDependency, ValidationFailed
from schemas.references import References, Upstream
from schemas.workflow import Workflow

MAX_EDGES = 1_000_000


@dataclass(frozen=True, slots=True)
class Edge:
    """`downstream` waits for `upstream` (indices); `label` is the output's name or path, None for `after`."""

    upstream: int
    downstream: int
    label: str | None


@dataclass(frozen=True, slots=True)
class Graph:
    """A workflow as indices into `names`, which stand in the order of the definition.

    `upstream[i]` and `downstream[i]` are the neighbours of i, each once; `levels[k]` holds those whose longest
    path from a worker without upstream has k edges; `order` is topological and, as far as that allows, the
    order of the definition.
    """

    names: tuple[str, ...]
    upstream: tuple[tuple[int, ...], ...]
    downstream: tuple[tuple[int, ...], ...]
    edges: tuple[Edge, ...]
    levels: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]


def build_graph(workflow: Workflow, default_dir: str) -> Graph:
    """The DAG of `workflow`; `default_dir` (absolute) is its directory where it names none. No I/O, no recursion.

    ValidationFailed if two outputs are the same file or there are over 1,000,000 edges,
    DependencyValidationFailed for what does not resolve, CircularDependency with one cycle in `details`.
    """
    found = References(workflow, workflow.working_dir or default_dir).resolve()
    _check_size(found)
    upstream = tuple(tuple(sorted(each)) for each in found)
    downstream = _reversed(upstream)
    names = tuple(worker.name for worker in workflow.workers)
    order = _order(upstream, downstream)
    if len(order) < len(names):
        cycle = _find_cycle(upstream, set(range(len(names))).difference(order))
        raise CircularDependency(details={"cycle": [names[index] for index in cycle]})
    return Graph(
        names=names,
        upstream=upstream,
        downstream=downstream,
        edges=tuple(Edge(up, down, label) for down, each in enumerate(found) for up, label in each.items()),
        levels=_levels(order, downstream),
        order=tuple(order),
    )


def to_mermaid(graph: Graph) -> str:
    """The graph as a mermaid flowchart."""
    lines = ["flowchart LR"]
    lines += [f'    n{index}["{name}"]' for index, name in enumerate(graph.names)]
    for edge in graph.edges:
        label = "" if edge.label is None else f'|"{_mermaid_text(edge.label)}"|'
        lines.append(f"    n{edge.upstream} -->{label} n{edge.downstream}")
    return "\n".join(lines) + "\n"


def to_dot(graph: Graph) -> str:
    """The graph in the DOT language of Graphviz."""
    lines = ["digraph workflow {", "    rankdir=LR;", "    node [shape=box];"]
    lines += [f'    "{name}";' for name in graph.names]
    for edge in graph.edges:
        label = "" if edge.label is None else f' [label="{_dot_text(edge.label)}"]'
        lines.append(f'    "{graph.names[edge.upstream]}" -> "{graph.names[edge.downstream]}"{label};')
    return "\n".join([*lines, "}"]) + "\n"


def _check_size(found: Sequence[Upstream]) -> None:
    count = sum(map(len, found))
    if count > MAX_EDGES:
        message = f"have {count:,} dependencies; a workflow has at most {MAX_EDGES:,}"
        raise ValidationFailed(details=[{"path": "workers", "message": message}])


def _reversed(upstream: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    downstream: list[list[int]] = [[] for _ in upstream]
    for index, each in enumerate(upstream):
        for other in each:
            downstream[other].append(index)
    return tuple(map(tuple, downstream))


def _order(upstream: Sequence[Sequence[int]], downstream: Sequence[Sequence[int]]) -> list[int]:
    """Kahn's algorithm, always the first defined of those that are ready; what is in or behind a cycle is left out."""
    waits_for = [len(each) for each in upstream]
    ready = [index for index, count in enumerate(waits_for) if count == 0]
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for other in downstream[index]:
            waits_for[other] -= 1
            if waits_for[other] == 0:
                heapq.heappush(ready, other)
    return order


def _levels(order: Sequence[int], downstream: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    level = [0] * len(order)
    for index in order:
        for other in downstream[index]:
            level[other] = max(level[other], level[index] + 1)
    levels: list[list[int]] = [[] for _ in range(max(level, default=-1) + 1)]
    for index, each in enumerate(level):
        levels[each].append(index)
    return tuple(map(tuple, levels))


def _find_cycle(upstream: Sequence[Sequence[int]], left: set[int]) -> list[int]:
    """A cycle among `left` (each has an upstream in it), from its first defined member downstream back to itself."""
    walked: dict[int, None] = {}
    index = min(left)
    while index not in walked:
        walked[index] = None
        index = next(other for other in upstream[index] if other in left)
    path = list(walked)
    cycle = path[path.index(index) :][::-1]
    start = cycle.index(min(cycle))
    return [*cycle[start:], *cycle[:start], cycle[start]]


def _mermaid_text(text: str) -> str:
    """What mermaid would read as syntax is written as its entity codes."""
    return "".join(c if c.isalnum() or c in " _./-" else f"#{ord(c)};" for c in text)


def _dot_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
