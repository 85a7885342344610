"""The two shapes every JSON answer has: success and failure, as bytes ready to send."""

from datetime import UTC, datetime
from typing import Any

import orjson

from schemas.errors import WattleError
from schemas.messages import MESSAGES, Language


def utc_timestamp(at: float | None = None) -> str:
    """Now, or `at` in seconds since 1970, in UTC as `YYYY-MM-DDTHH:MM:SS.mmmZ`."""
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def success(
    data: object, *, language: Language = "en", pagination: dict[str, int] | None = None, **beside: object
) -> bytes:
    """The documented success envelope around `data`; `pagination` and `beside` stand next to it when given.

    Raises TypeError (orjson's JSONEncodeError) for what JSON cannot hold: lone surrogates, huge integers.
    """
    envelope: dict[str, Any] = {"success": True, "data": data}
    if pagination is not None:
        envelope["pagination"] = pagination
    envelope.update(beside)
    envelope["message"] = MESSAGES["OK"][language]
    envelope["timestamp"] = utc_timestamp()
    return orjson.dumps(envelope)


def failure(error: WattleError, *, language: Language = "en") -> bytes:
    """The documented error envelope of `error`; `details` only when it has some."""
    shown: dict[str, Any] = {"code": error.code, "message": error.message(language)}
    if error.details is not None:
        shown["details"] = error.details
    return orjson.dumps({"success": False, "error": shown, "timestamp": utc_timestamp()})
