"""Deals the lines of a text out to every output that this worker declares."""

import os

TEXT = """\
a workflow is a graph of workers
a worker is a command and its policy
an input is a file that a worker reads
an output is a file that a worker writes
a run is one execution of a workflow
an attempt is one launch of one worker
"""

outputs = sorted(path for name, path in os.environ.items() if name.startswith("WATTLE_OUTPUT_"))
lines = TEXT.splitlines(keepends=True)
for number, path in enumerate(outputs):
    with open(path, "w", encoding="utf-8") as part:
        part.writelines(lines[number :: len(outputs)])
    print(f"wrote {len(lines[number :: len(outputs)])} lines to {os.path.basename(path)}")
