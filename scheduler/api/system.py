"""The daemon itself over HTTP: how it is, and why if it is not well."""

from __future__ import annotations

import os
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from scheduler.api.app_keys import ENGINE, LOGS, SETTINGS, STARTED_AT
from scheduler.api.envelope import answer
from scheduler.api.query import read_query

if TYPE_CHECKING:
    from aiohttp import web


async def get_health(request: web.Request) -> web.Response:
    """How the daemon is: `ok`, or `degraded` with the reasons in words."""
    read_query(request)
    engine, settings = request.app[ENGINE], request.app[SETTINGS]
    identity = engine.launcher
    reasons = list(engine.complaints())
    if (sweeping := request.app[LOGS].reason) is not None:
        reasons.append(sweeping)
    running = len(engine.running_attempts())
    health: dict[str, Any] = {
        "status": "degraded" if reasons else "ok",
        "reasons": reasons,
        "version": version("wattle-scheduler"),
        "uptime_seconds": round(time.monotonic() - request.app[STARTED_AT], 3),
        "pid": os.getpid(),
        "state_dir": settings.state_dir,
        "runs": {"running": len(engine.runners)},
        "workers": {"running": running, "queued": engine.queued},
        "slots": engine.window.slots,
        "launcher": identity
        and {"pid": identity.pid, "generation": identity.generation, "protocol": identity.protocol},
        "disk": {"free_bytes": engine.guard.room.free_bytes, "low": engine.guard.is_low},
        "auth": settings.auth,
    }
    return answer(request, health)
