"""What handlers find in the application, each under a typed key: `request.app[SETTINGS]`."""

from typing import Final

from aiohttp import web

from scheduler.api.middleware.limits import StreamSlots
from scheduler.config import Settings

SETTINGS: Final = web.AppKey("settings", Settings)
STREAM_SLOTS: Final = web.AppKey("stream_slots", StreamSlots)
