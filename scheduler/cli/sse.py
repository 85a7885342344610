"""Reads server-sent events from bytes as they arrive: the client's half of the log streams."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `id` is where to resume, `kind` the event's name (`message` when it has none), `data` its text."""

    id: str
    kind: str
    data: str


def read_events(read: Callable[[], bytes]) -> Iterator[Event]:
    """Events from `read`, which gives the next bytes and b"" at the end. Comments (pings) are skipped.

    An event that the end of the stream cut off is dropped, as the standard wants: it will be sent again.
    """
    last_id, kind = "", ""
    data: list[str] = []
    for line in _lines(read):
        if not line:
            if data:
                yield Event(last_id, kind or "message", "\n".join(data))
            kind, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id":
            last_id = value


def _lines(read: Callable[[], bytes]) -> Iterator[str]:
    """Whole lines without their end, which is LF or CRLF (the daemon sends no lone CR)."""
    pending = b""
    while chunk := read():
        *whole, pending = (pending + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")
