"""Turns the bytes of one log file into lines that know their byte offsets. Pure: no I/O, no clock.

The rules, the same whether a file is followed live or read afterwards:

- A line ends at ``\\n``; one ``\\r`` right before it is dropped, any other ``\\r`` and every escape sequence stay.
- Invalid UTF-8 becomes U+FFFD.
- A line of more than 1 MiB comes in parts of 1 MiB, never cut inside a character. A line of exactly 1 MiB is whole.
- The offset of a line is the one just behind it: reading again from there gives what follows, nothing twice.
- What begins inside a line (after a part, a gap, or at an offset in the middle) is its remainder; an empty
  remainder is no line. So a prompt that was delivered early is not followed by an empty line.
"""

from typing import Final, TypeAlias

Line: TypeAlias = tuple[str, int]
"""The text without its line end, and the offset just behind it in the file."""

MAX_LINE_BYTES: Final = 1 << 20
EMPTIED_TEXT: Final = "[wattle: the log was emptied here by the log size cap]"


def gap_text(dropped_bytes: int) -> str:
    """The line that stands where the log size cap punched a hole."""
    return f"[wattle: {dropped_bytes} bytes dropped here by the log size cap]"


def whole_characters(data: bytes | bytearray, length: int) -> int:
    """The largest cut <= `length` that splits no UTF-8 character of `data`.

    Bytes that are no UTF-8 anyway are cut where asked. `data` may end at `length`: then an unfinished last
    character is left out.
    """
    for back in range(1, min(4, length) + 1):
        byte = data[length - back]
        if byte & 0xC0 == 0x80:
            continue
        return length - back if _character_bytes(byte) > back else length
    return length


def _character_bytes(lead: int) -> int:
    if lead < 0xC2 or lead > 0xF4:
        return 1
    return 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


class LineSplitter:
    """Bytes in, lines out. Holds the unfinished last line, at most `MAX_LINE_BYTES` of it.

    `position` is the offset behind the last delivered byte; `read_offset` the one behind the last byte taken in.
    """

    __slots__ = ("_held", "_mid_line", "position")

    def __init__(self, position: int = 0, *, mid_line: bool = False) -> None:
        self.position = position
        self._held = bytearray()
        self._mid_line = mid_line

    @property
    def read_offset(self) -> int:
        """Where the next bytes for `feed` must come from."""
        return self.position + len(self._held)

    def feed(self, data: bytes) -> list[Line]:
        """Every line that `data`, the bytes at `read_offset`, completes."""
        lines: list[Line] = []
        pieces = data.split(b"\n")
        rest = pieces.pop()
        for piece in pieces:
            self._end_line(piece, lines)
        self._held += rest
        if len(self._held) > MAX_LINE_BYTES:
            self._cut(lines)
        return lines

    def _end_line(self, piece: bytes, lines: list[Line]) -> None:
        if self._held or len(piece) > MAX_LINE_BYTES:
            self._held += piece
            self._cut(lines)
            piece = bytes(self._held)
            self._held.clear()
        self.position += len(piece) + 1
        if piece.endswith(b"\r"):
            piece = piece[:-1]
        if piece or not self._mid_line:
            lines.append((piece.decode("utf-8", "replace"), self.position))
        self._mid_line = False

    def _cut(self, lines: list[Line]) -> None:
        while len(self._held) > MAX_LINE_BYTES:
            self._deliver(whole_characters(self._held, MAX_LINE_BYTES), lines)

    def _deliver(self, length: int, lines: list[Line]) -> None:
        text = self._held[:length].decode("utf-8", "replace")
        del self._held[:length]
        self.position += length
        self._mid_line = True
        lines.append((text, self.position))

    def flush(self) -> list[Line]:
        """The unfinished line as a part, up to its last whole character: for a prompt that waits for an answer."""
        return self.flush_to(self.position + whole_characters(self._held, len(self._held)))

    def flush_to(self, offset: int) -> list[Line]:
        """The unfinished line up to `offset` (between `position` and `read_offset`) as a part; [] if that is empty."""
        lines: list[Line] = []
        if offset > self.position:
            self._deliver(offset - self.position, lines)
        return lines

    def finish(self) -> list[Line]:
        """The unfinished line, whole: nothing more will come before `read_offset`."""
        return self.flush_to(self.read_offset)

    def skip(self, offset: int) -> list[Line]:
        """Go on at `offset`: the bytes between are gone. The unfinished line, then the line that says so."""
        lines = self.finish()
        lines.append((gap_text(offset - self.position), offset))
        self.position = offset
        self._mid_line = True
        return lines

    def restart(self) -> list[Line]:
        """Go on at offset 0: the file was emptied. The unfinished line, then the line that says so."""
        lines = self.finish()
        self.position = 0
        self._mid_line = False
        lines.append((EMPTIED_TEXT, 0))
        return lines
