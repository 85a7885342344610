"""Server-sent events as they come over the wire: every frame with its bytes, and whether the stream ended in order."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.helpers.raw_http import request_bytes

WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Event:
    """One frame; `text` is all of it but the empty line at its end. Comments have the type 'comment'."""

    type: str
    data: str
    id: str | None
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def line(self) -> tuple[str, str]:
        """(stream, content) of a log line."""
        assert self.type == "message", self.text
        assert set(self.json) == {"type", "content"}
        return self.json["type"], self.json["content"]


class EventStream:
    """An open stream; made by `following`."""

    def __init__(self, reader: asyncio.StreamReader, status: int, headers: dict[str, str]) -> None:
        self.status, self.headers = status, headers
        self.ended_in_order = False
        """Whether the last chunk of the body came: an answer that breaks off has none."""
        self._reader = reader
        self._pending = b""

    async def next(self) -> Event | None:
        """The next frame; None at the end. AssertionError when nothing comes for 30 s."""
        while b"\n\n" not in self._pending:
            try:
                chunk = await asyncio.wait_for(self._chunk(), WAIT_SECONDS)
            except TimeoutError:
                raise AssertionError(f"{WAIT_SECONDS:g} s passed: the stream goes on") from None
            if not chunk:
                assert not self._pending, f"the stream ended within a frame: {self._pending[-200:]!r}"
                return None
            self._pending += chunk
        frame, _, self._pending = self._pending.partition(b"\n\n")
        return read_event(frame.decode())

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await self.next()) is not None:
            yield event

    async def lines(self, count: int) -> list[tuple[str, str]]:
        """The next `count` log lines as (stream, content); nothing else may come between."""
        events = [await self.next() for _ in range(count)]
        return [event.line for event in events if event is not None]

    async def until_end(self) -> tuple[list[Event], Any]:
        """All lines up to `event: end` and the data of that; behind it the stream must be over."""
        events = [event async for event in self if event.type != "comment"]
        assert events, "nothing came"
        assert events[-1].type == "end", events[-1].text
        assert self.ended_in_order
        return events[:-1], events[-1].json

    async def _chunk(self) -> bytes:
        try:
            size = int((await self._reader.readuntil(b"\r\n")).strip(), 16)
            data = await self._reader.readexactly(size + 2)
        except asyncio.IncompleteReadError:
            return b""
        self.ended_in_order = size == 0
        return data[:-2]


def read_event(text: str) -> Event:
    """A frame from its text."""
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        name, _, value = line.partition(": ")
        assert name not in fields, f"'{name}' is there twice: {text!r}"
        fields[name] = value
    kind = "comment" if "" in fields else fields.get("event", "message")
    return Event(kind, fields.get("data", ""), fields.get("id"), text)


def lines_of(events: list[Event], stream: str = "stdout") -> list[str]:
    """What one stream said."""
    return [content for name, content in (event.line for event in events) if name == stream]


@asynccontextmanager
async def following(port: int, path: str, **headers: str) -> AsyncIterator[EventStream]:
    """A stream that is open inside the block; `Last_Event_ID="..."` becomes the header."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        sent = {"Host": f"localhost:{port}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        writer.write(request_bytes("GET", path, list(sent.items())))
        await writer.drain()
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_SECONDS)).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        received = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        yield EventStream(reader, int(first.split()[1]), received)
    finally:
        writer.close()
