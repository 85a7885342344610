"""A worker that says `ready`, waits at a gate, then writes numbered lines with the time of each: RATE COUNT GATE.

Runs alone (`python -I -S line_writer.py`), as the command of a worker.
"""

import os
import sys
import time


def main(rate: int, count: int, gate: str) -> None:
    """One line is `<number> <CLOCK_MONOTONIC in ns>`; each is written by one call, unbuffered."""
    os.write(1, b"ready\n")
    with open(gate):
        pass
    begin = time.monotonic_ns()
    for number in range(count):
        pause = begin + number * 1_000_000_000 // rate - time.monotonic_ns()
        if pause > 0:
            time.sleep(pause / 1e9)
        os.write(1, b"%d %d\n" % (number, time.monotonic_ns()))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
