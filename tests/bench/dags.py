"""The graphs that are run, once for all: the same commands as a workflow, as build.ninja and as a Makefile."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Node:
    """One command; `reads` names the nodes whose outputs it needs, `writes` the file that it makes."""

    name: str
    command: str
    reads: tuple[str, ...] = ()
    writes: str | None = None


@dataclass(frozen=True, slots=True)
class Dag:
    """Commands in an order in which they could run."""

    nodes: tuple[Node, ...]

    def __len__(self) -> int:
        return len(self.nodes)


def wide(count: int) -> Dag:
    """Commands that do nothing and know nothing of each other."""
    return Dag(tuple(Node(f"w{number}", "/bin/true") for number in range(count)))


def layered(layers: int, width: int, reads: Literal["one", "all"]) -> Dag:
    """Layers of commands, each of which needs the file of one, or the files of all, in the layer before."""
    nodes = []
    for layer in range(layers):
        for place in range(width):
            above = [place] if reads == "one" else range(width)
            needed = tuple(f"l{layer - 1}w{each}" for each in above) if layer else ()
            nodes.append(_touching(f"l{layer}w{place}", needed))
    return Dag(tuple(nodes))


def chain(length: int) -> Dag:
    """Commands of which each needs the file of the one before."""
    names = [f"c{number}" for number in range(length)]
    return Dag((_touching(names[0], ()), *(_touching(name, (above,)) for above, name in itertools.pairwise(names))))


def _touching(name: str, reads: tuple[str, ...]) -> Node:
    return Node(name, f"touch {name}.out", reads, f"{name}.out")


def as_workflow(dag: Dag, name: str, working_dir: Path) -> dict[str, Any]:
    """The document for POST /api/workflows."""
    return {"name": name, "working_dir": str(working_dir), "workers": [_as_worker(node) for node in dag.nodes]}


def _as_worker(node: Node) -> dict[str, Any]:
    worker: dict[str, Any] = {"name": node.name, "command": node.command}
    if node.reads:
        worker["inputs"] = {above: f"{above}/out" for above in node.reads}
    if node.writes:
        worker["outputs"] = {"out": node.writes}
    return worker


def as_ninja(dag: Dag) -> str:
    """The text of build.ninja; nothing is up to date in a new directory, so everything runs."""
    files = {node.name: node.writes or node.name for node in dag.nodes}
    lines = ["rule run", "  command = $cmd"]
    for node in dag.nodes:
        needed = " ".join(files[above] for above in node.reads)
        lines += [f"build {files[node.name]}: run {needed}".rstrip(), f"  cmd = {node.command}"]
    return "\n".join(lines) + "\n"


def as_make(dag: Dag) -> str:
    """The text of a Makefile."""
    files = {node.name: node.writes or node.name for node in dag.nodes}
    everything = " ".join(files.values())
    phony = " ".join(node.name for node in dag.nodes if not node.writes)
    lines = [f"all: {everything}", f".PHONY: all {phony}"]
    for node in dag.nodes:
        needed = " ".join(files[above] for above in node.reads)
        lines += [f"{files[node.name]}: {needed}".rstrip(), f"\t{node.command}"]
    return "\n".join(lines) + "\n"
