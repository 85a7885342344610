"""What handlers find in the application, each under a typed key: `request.app[SETTINGS]`."""

import asyncio
from typing import Final

from aiohttp import web

from scheduler.api.middleware.limits import StreamSlots
from scheduler.bus import Bus
from scheduler.config import Settings
from scheduler.engine.engine import Engine
from scheduler.engine.sampler import Sampler
from scheduler.store.database import Database
from workers.logs import LogHub

SETTINGS: Final = web.AppKey("settings", Settings)
STREAM_SLOTS: Final = web.AppKey("stream_slots", StreamSlots)
STOPPING: Final = web.AppKey("stopping", asyncio.Event)
"""Set when the server is about to end: a stream that is open says goodbye and returns."""
STORE: Final = web.AppKey("store", Database)
ENGINE: Final = web.AppKey("engine", Engine)
BUS: Final = web.AppKey("bus", Bus)
SAMPLER: Final = web.AppKey("sampler", Sampler)
LOGS: Final = web.AppKey("logs", LogHub)
STARTED_AT: Final = web.AppKey("started_at", float)
