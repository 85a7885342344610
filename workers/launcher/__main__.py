"""Start the launcher by its path, `python -I -S .../workers/launcher STATE_DIRECTORY`: nothing of ours importable."""

import importlib
import os
import sys

if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    sys.path.append(os.path.dirname(here))
    importlib.import_module(os.path.basename(here) + ".loop").main(sys.argv[1])
