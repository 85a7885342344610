"""Counts the words of its input file. It prints the counts: a worker's only output gets its stdout."""

import collections
import json
import os
import sys

with open(os.environ["WATTLE_INPUT_TEXT"], encoding="utf-8") as text:
    counts = collections.Counter(text.read().split())
print(f"{counts.total()} words", file=sys.stderr)
print(json.dumps(counts, indent=2))
