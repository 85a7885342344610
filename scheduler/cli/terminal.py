"""What a terminal needs: cleaned text, display widths, colours only where they are wanted."""

import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final, TextIO

_CSI: Final = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
# An unfinished sequence goes too: the next line would finish it.
# OSC, DCS, SOS, PM and APC run to their terminator; an unfinished one takes the rest of the line, as in a terminal.
_STRING: Final = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
_ESCAPE: Final = r"\x1b[ -/]*[0-~]?"
_CONTROL: Final = r"[\x00-\x08\x0a-\x1f\x7f-\x9f]"
_SEQUENCES: Final = re.compile(f"{_CSI}|{_STRING}|{_ESCAPE}|{_CONTROL}")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;:]*m")
_RESET: Final = "\x1b[0m"

STYLES: Final[Mapping[str, str]] = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36",
}  # fmt: skip
STATUS_STYLES: Final[Mapping[str, str]] = {
    "created": "dim", "running": "cyan", "completed": "green", "failed": "red", "cancelled": "yellow",
}  # fmt: skip
_MARKS: Final[Mapping[str, tuple[str, str]]] = {
    "created": ("○", "."),
    "running": ("●", "*"),
    "completed": ("✔", "+"),
    "failed": ("✘", "x"),
    "cancelled": ("⊘", "-"),
}


def clean_text(text: str, *, keep_colours: bool = False) -> str:
    """`text` without anything that moves the cursor, retitles the window or answers back; tabs stay.

    With `keep_colours` SGR sequences stay and are switched off at the end, so that none leaks into what follows.
    """
    if text.isprintable():
        return text
    if not keep_colours:
        return _SEQUENCES.sub("", text)
    kept = _SEQUENCES.sub(lambda match: match[0] if _COLOUR.fullmatch(match[0]) else "", text)
    return kept + _RESET if "\x1b" in kept else kept


def display_width(text: str) -> int:
    """How many columns `text` takes: wide CJK characters and most emoji two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    return 0 if unicodedata.category(character) in ("Mn", "Me", "Cf") else 1


def fit(text: str, columns: int) -> str:
    """`text`, cut with an ellipsis where it is wider than `columns`."""
    if display_width(text) <= columns:
        return text
    kept, used = [], 1
    for character in text:
        used += _character_width(character)
        if used > columns:
            break
        kept.append(character)
    return "".join(kept) + "…"


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """`text` with spaces up to `columns`, on its left when `right` (numbers align there)."""
    gap = " " * (columns - display_width(text))
    return gap + text if right else text + gap


class Screen:
    """One output stream and what it can show: a terminal or not, its width, colours or not, Unicode or not."""

    def __init__(self, stream: TextIO, environment: Mapping[str, str] = os.environ) -> None:
        self.stream = stream
        dumb = environment.get("TERM") == "dumb"
        self.is_terminal = stream.isatty()
        self.can_redraw = self.is_terminal and not dumb
        self.colours = self.can_redraw and not environment.get("NO_COLOR")
        self.unicode = (getattr(stream, "encoding", None) or "").lower().replace("-", "").startswith("utf8")

    @property
    def columns(self) -> int:
        """The terminal's width now (people resize it), 80 where there is none to ask."""
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def line(self, text: str = "") -> None:
        """One line, flushed: what follows a live process must be seen when it is true."""
        self.stream.write(text + "\n")
        self.stream.flush()

    def lines(self, lines: Iterable[str]) -> None:
        """Several lines in one write."""
        self.stream.write("".join(f"{line}\n" for line in lines))
        self.stream.flush()

    def paint(self, text: str, style: str | None) -> str:
        """`text` in one of STYLES, plain where colours are not wanted."""
        if not style or not self.colours or not text:
            return text
        return f"\x1b[{STYLES[style]}m{text}{_RESET}"

    def log_text(self, content: str) -> str:
        """A line of a worker's log: cleaned on a terminal, byte for byte elsewhere."""
        return clean_text(content, keep_colours=self.colours) if self.is_terminal else content

    def mark(self, status: str) -> str:
        """A one-column sign for a status, coloured."""
        fancy, plain = _MARKS.get(status, ("?", "?"))
        return self.paint(fancy if self.unicode else plain, STATUS_STYLES.get(status))

    def status(self, status: str) -> str:
        """The status word in its colour."""
        return self.paint(status, STATUS_STYLES.get(status))


def stdout_screen() -> Screen:
    """The screen of standard output."""
    return Screen(sys.stdout)


def stderr_screen() -> Screen:
    """The screen of standard error, where what is not the answer goes."""
    return Screen(sys.stderr)
