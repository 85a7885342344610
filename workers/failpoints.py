"""The daemon's planned deaths, for tests; see `workers/launcher/failpoint.py`, whose every word holds here too."""

from __future__ import annotations

import os

from workers.launcher.failpoint import Failpoint

failpoint = Failpoint(os.environ.pop("WATTLE_FAILPOINT", ""))
