"""How fast many small commands run: a wide graph, two layered ones, a chain, each beside its rivals."""

from statistics import median

from tests.bench import dags
from tests.bench.dags import Dag
from tests.bench.place import Bench
from tests.bench.report import RatioBar, Row, against_bar, against_rival, amount
from tests.bench.rivals import MAKE, NINJA, XARGS, Rival
from tests.bench.runs import TimedRun, time_run

WIDE_BAR = RatioBar(bar=1.5, aim=0.8)
LAYERED_BAR = RatioBar(bar=1.5)
LINK_BAR_MS = 5.0


def measure_wide(bench: Bench) -> list[Row]:
    """No-op commands that know nothing of each other."""
    dag = dags.wide(bench.pick(2000, 60))
    title = f"wide: {len(dag):,} x /bin/true"
    ours, theirs = _rounds(bench, dag, (NINJA, MAKE, XARGS), bench.pick(5, 2))
    return [*_compare(title, ours, theirs, WIDE_BAR), *_cpu_rows(title, ours, len(dag))]


def measure_layered(bench: Bench) -> list[Row]:
    """Layers joined by files: one input each, which lets layers overlap; and all, which does not."""
    layers, width = bench.pick((20, 50), (3, 10))
    rows = []
    for reads in ("one", "all"):
        dag = dags.layered(layers, width, "one" if reads == "one" else "all")
        title = f"layered: {layers} x {width}, {reads} of the layer above"
        ours, theirs = _rounds(bench, dag, (NINJA, MAKE), bench.pick(5, 2))
        rows += _compare(title, ours, theirs, LAYERED_BAR)
    return rows


def measure_chain(bench: Bench) -> list[Row]:
    """Each command needs the file of the one before: what one link costs."""
    dag = dags.chain(bench.pick(200, 20))
    ours, theirs = _rounds(bench, dag, (NINJA, MAKE), bench.pick(5, 2))
    links = [run.wall_seconds * 1000 / len(dag) for run in ours]
    title = f"chain of {len(dag)}, joined by files"
    beside = {rival.name: [each * 1000 / len(dag) for each in walls] for rival, walls in theirs.items() if walls}
    said = ", ".join(f"{name} {amount(median(each), 'ms')}" for name, each in beside.items())
    samples = {"wattle_ms": links, **{f"{name}_ms": each for name, each in beside.items()}}
    row = against_bar(title + ", a link", median(links), LINK_BAR_MS, "ms", rival=said, samples=samples)
    return [row, *_absent(title, theirs)]


Walls = dict[Rival, list[float]]
"""Seconds of each round; none for a rival that is not installed."""


def _rounds(bench: Bench, dag: Dag, rivals: tuple[Rival, ...], count: int) -> tuple[list[TimedRun], Walls]:
    """A B A B: each round runs everybody once, so that what happens to the machine happens to all."""
    ours: list[TimedRun] = []
    theirs: Walls = {rival: [] for rival in rivals}
    with bench.daemon() as daemon:
        for number in range(1, count + 1):
            ours.append(time_run(bench, daemon, dag))
            said = [f"Wattle {ours[-1].wall_seconds:.3f} s"]
            for rival in (each for each in rivals if each.is_here):
                theirs[rival].append(rival.seconds(dag, bench.directory(rival.name)))
                said.append(f"{rival.name} {theirs[rival][-1]:.3f} s")
            bench.say(f"round {number} of {count}: {', '.join(said)}")
    return ours, theirs


def _compare(title: str, ours: list[TimedRun], theirs: Walls, bar: RatioBar) -> list[Row]:
    """The bar is for ninja; the others are there for information."""
    walls = [run.wall_seconds for run in ours]
    rows = [
        against_rival(title, walls, rival.name, seconds, bar if rival is NINJA else None)
        for rival, seconds in theirs.items()
        if seconds
    ]
    return [*rows, *_absent(title, theirs)]


def _absent(title: str, theirs: Walls) -> list[Row]:
    return [
        Row(title, "", rival.name, f"not installed: {rival.how_to_install}", "absent" if rival is NINJA else "-")
        for rival, seconds in theirs.items()
        if not seconds
    ]


def _cpu_rows(title: str, ours: list[TimedRun], count: int) -> list[Row]:
    """What an attempt costs our two processes; the polling is in it, the commands themselves are not."""
    daemon = [run.cpu.daemon * 1000 / count for run in ours]
    launcher = [run.cpu.launcher * 1000 / count for run in ours]
    later = [run.cpu_until_quiet.daemon * 1000 / count for run in ours]
    name = title.partition(":")[0]
    note = f"{amount(median(later), 'ms')} of the daemon once the log links are made too, which it puts off until then"
    samples = {"daemon_ms": daemon, "daemon_until_quiet_ms": later, "launcher_ms": launcher}
    return [
        Row(f"{name}: CPU an attempt, daemon", amount(median(daemon), "ms"), note=note, samples=samples),
        Row(f"{name}: CPU an attempt, launcher", amount(median(launcher), "ms")),
    ]
