"""Random DAGs whose workers tell the truth about themselves, and the check of what Wattle says about them.

Each worker appends one line to a file when it starts and one before it ends, in one O_APPEND write. That file is what
happened; the API's answers are compared with it and with the planned ends.
"""

import random
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CODES = (1, 3, 7, 143)
SIGNALS = (signal.SIGTERM, signal.SIGSEGV, signal.SIGKILL)
SCRIPT = """\
for path in $NEEDED; do [ -s "$path" ] || echo "missing $WATTLE_WORKER_NAME $path" >> "$EFFECTS"; done
echo "start $WATTLE_RUN_ID $WATTLE_WORKER_NAME $WATTLE_ATTEMPT" >> "$EFFECTS"
sleep $SECONDS_LONG
[ -z "$WATTLE_OUTPUT_DATA" ] || echo "$WATTLE_WORKER_NAME" > "$WATTLE_OUTPUT_DATA"
echo "end $WATTLE_RUN_ID $WATTLE_WORKER_NAME $WATTLE_ATTEMPT" >> "$EFFECTS"
$HOW_IT_ENDS
"""


@dataclass(frozen=True)
class Node:
    """One worker: whom it waits for, how long it takes, and how it ends (0, a code, or a negative signal number)."""

    name: str
    upstream: tuple[str, ...]
    seconds: float
    end: int


@dataclass
class Dag:
    """Workers in an order in which every one stands behind its upstreams."""

    nodes: list[Node] = field(default_factory=list)

    @classmethod
    def random(cls, rng: random.Random, size: int, longest_seconds: float = 0.25, failing: float = 0.15) -> "Dag":
        """`size` workers in random layers, each with one to three upstreams in layers before; some fail."""
        dag = cls()
        layers: list[list[str]] = [[]]
        for number in range(size):
            if len(layers[-1]) >= rng.randint(3, 12):
                layers.append([])
            before = [name for layer in layers[:-1] for name in layer]
            close = layers[-2] if len(layers) > 1 else []
            chosen = {*rng.sample(close, min(1, len(close))), *rng.sample(before, min(rng.randint(0, 2), len(before)))}
            name = f"w{number:03}"
            # most of those that fail stand late, so that they do not take all the others with them
            fails = rng.random() < (failing * 2 if number > size * 0.6 else failing / 6)
            end = rng.choice((*CODES, *(-each for each in SIGNALS))) if fails else 0
            dag.nodes.append(Node(name, tuple(sorted(chosen)), round(rng.uniform(0, longest_seconds), 3), end))
            layers[-1].append(name)
        return dag

    def workers(self, effects: Path) -> list[dict[str, Any]]:
        """As the API takes them; every second edge is a file by its name, the others by `after` or by path."""
        return [self._worker(node, effects) for node in self.nodes]

    def _worker(self, node: Node, effects: Path) -> dict[str, Any]:
        by_name = [name for name in node.upstream if int(name[1:]) % 3 == 0]
        by_path = [name for name in node.upstream if int(name[1:]) % 3 == 1]
        after = [name for name in node.upstream if int(name[1:]) % 3 == 2]
        variables = {
            "EFFECTS": str(effects),
            "SECONDS_LONG": str(node.seconds),
            "NEEDED": " ".join(f"{name}.data" for name in (*by_name, *by_path, *after)),
            "HOW_IT_ENDS": f"exit {node.end}" if node.end >= 0 else f"kill -{-node.end} $$",
        }
        return {
            "name": node.name,
            "command": "sh",
            "args": ["-c", SCRIPT.replace("$HOW_IT_ENDS", variables.pop("HOW_IT_ENDS"))],
            "env_vars": variables,
            "inputs": {**{name: f"{name}/data" for name in by_name}, **{name: f"{name}.data" for name in by_path}}
            or None,
            "outputs": {"data": f"{node.name}.data"},
            "after": after or None,
        }


@dataclass(frozen=True)
class Line:
    """One thing that happened."""

    kind: str
    run: str
    worker: str
    attempt: int


def read_effects(path: Path) -> list[Line]:
    """What has happened, in order."""
    if not path.exists():
        return []
    words = [line.split() for line in path.read_text().splitlines()]
    wrong = [line for line in words if line[0] not in ("start", "end") or len(line) != 4]
    assert not wrong, f"a worker started without its inputs, or wrote a torn line: {wrong}"
    return [Line(kind, run, worker, int(attempt)) for kind, run, worker, attempt in words]


def is_lost(worker: dict[str, Any]) -> bool:
    """Whether Wattle says that nobody saw the end."""
    return str(worker["reason"] or "").startswith("lost: ")


def violations(dag: Dag, run_id: str, told: dict[str, dict[str, Any]], effects: list[Line]) -> Iterator[str]:
    """Everything that is not as it must be, one sentence each. `told`: the run's workers as the API shows them."""
    happened = [line for line in effects if line.run == run_id]
    starts = Counter(line.worker for line in happened if line.kind == "start")
    ends = Counter(line.worker for line in happened if line.kind == "end")
    yield from _out_of_order(dag, happened)
    for node in dag.nodes:
        worker = told[node.name]
        said = f"{node.name} ({worker['status']}, {worker['reason']})"
        if starts[node.name] > 1 or ends[node.name] > 1 or worker["attempts"] > 1:
            yield f"{said} ran {starts[node.name]} times in {worker['attempts']} attempts"
        blocked = [name for name in node.upstream if told[name]["status"] != "completed"]
        if blocked:
            if worker["status"] != "cancelled" or starts[node.name]:
                yield f"{said} should be cancelled because of {blocked}"
        elif is_lost(worker):
            if worker["exit_code"] is not None or worker["signal"] is not None:
                yield f"{said} is lost and yet has an end"
        else:
            yield from _wrong_end(node, worker, said)
            if (starts[node.name], ends[node.name]) != (1, 1):
                yield f"{said} ended, but started {starts[node.name]} and ended {ends[node.name]} times"


def _wrong_end(node: Node, worker: dict[str, Any], said: str) -> Iterator[str]:
    status = "completed" if node.end == 0 else "failed"
    end = (None, -node.end) if node.end < 0 else (node.end, None)
    if worker["status"] != status or (worker["exit_code"], worker["signal"]) != end:
        yield f"{said} with {worker['exit_code']}, {worker['signal']} should be {status} with {end}"


def _out_of_order(dag: Dag, happened: Iterable[Line]) -> Iterator[str]:
    upstream = {node.name: node.upstream for node in dag.nodes}
    ended: set[str] = set()
    for line in happened:
        if line.kind == "end":
            ended.add(line.worker)
        else:
            missing = [name for name in upstream[line.worker] if name not in ended]
            if missing:
                yield f"{line.worker} started before {missing} had ended"
