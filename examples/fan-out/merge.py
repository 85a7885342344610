"""Adds up the counts of all inputs and writes the words, most frequent first."""

import collections
import json
import os

total: collections.Counter[str] = collections.Counter()
for name, path in sorted(os.environ.items()):
    if name.startswith("WATTLE_INPUT_"):
        with open(path, encoding="utf-8") as counts:
            total.update(json.load(counts))

with open(os.environ["WATTLE_OUTPUT_WORDS"], "w", encoding="utf-8") as words:
    json.dump(dict(total.most_common()), words, indent=2)
print(f"{total.total()} words, {len(total)} different, most often '{total.most_common(1)[0][0]}'")
