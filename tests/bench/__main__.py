"""`python -m tests.bench [NAME ...] [--quick] [--json FILE] [--dir DIR]`: measure, print one table.

No test: a missed bar is printed and the exit code stays 0. It is 1 when a number is void, because what was timed did
not do what it should.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.bench import host, latency, memory, report, streams, throughput
from tests.bench.place import Bench
from tests.bench.report import Row

MEASURES: dict[str, Callable[[Bench], list[Row]]] = {
    "wide": throughput.measure_wide,
    "layered": throughput.measure_layered,
    "chain": throughput.measure_chain,
    "start": latency.measure_start,
    "large": latency.measure_large,
    "line": streams.measure_line,
    "crowd": streams.measure_crowd,
    "read": latency.measure_read,
    "list": latency.measure_list,
    "ready": memory.measure_ready,
    "idle": memory.measure_idle,
    "history": memory.measure_history,
}


INTERRUPTED = 130


def main() -> int:
    """Run what was asked for, in the order of the table."""
    wishes = _parse_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    root = Path(tempfile.mkdtemp(prefix="wattle-bench-", dir=wishes.dir)).resolve()
    rows: list[Row] = []
    code = 0
    try:
        facts = _say_where(root, wishes.quick)
        for name in wishes.names:
            rows += _measure(name, Bench(root / name, wishes.quick))
        print(host.describe_after(facts, root))
    except KeyboardInterrupt:
        print("\nInterrupted; this is what was measured until then.", file=sys.stderr)
        code = INTERRUPTED
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print(f"\n{report.table(rows)}\n\n{report.summary(rows)}")
    if wishes.json and code == 0:
        wishes.json.write_text(json.dumps(report.as_json(facts, rows), indent=1) + "\n")
    return code or int(any(row.met == "VOID" for row in rows))


def _say_where(root: Path, quick: bool) -> dict[str, Any]:
    facts = host.facts(root)
    print(host.describe(facts), flush=True)
    if quick:
        print("QUICK: small sizes that show whether the bench works. The bars are not meant for them.", flush=True)
    return facts


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure Wattle on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure, default all: {', '.join(MEASURES)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that the bench itself works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single number there too")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="where to work, on the disk that is to be measured")
    wishes = parser.parse_args()
    if unknown := [name for name in wishes.names if name not in MEASURES]:
        parser.error(f"there is no measure {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    wishes.names = [name for name in MEASURES if name in wishes.names or not wishes.names]
    return wishes


def _measure(name: str, bench: Bench) -> list[Row]:
    print(f"{name} ...", file=sys.stderr, flush=True)
    bench.root.mkdir()
    begin = time.monotonic()
    try:
        return MEASURES[name](bench)
    except Exception as error:  # noqa: BLE001 - one measure that breaks must not take the others with it
        return [Row(name, "", met="VOID", note=f"{type(error).__name__}: {error}")]
    finally:
        bench.say(f"{name} took {time.monotonic() - begin:.0f} s")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does: every daemon is ended and the directory removed on the way out."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
