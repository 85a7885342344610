"""What workflows, workers, inputs and outputs may be called, and which name was probably meant."""

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterator

from schemas.text import quote

MAX_NAME_CHARACTERS = 64
MAX_NAME_BYTES = 200

_ASCII_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# NFC of so long a text cannot be a name any more, and normalising a megabyte of accents takes quadratic time
_NORMALISE_AT_MOST = 8 * MAX_NAME_CHARACTERS
_PUNCTUATION = "_.-"

_SIMILAR = 0.6
_COMPARED_AT_MOST = 300
_TYPED_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_.-"


def check_name(text: str) -> str:
    """`text` as a name in NFC; ValueError with a sentence that says what to change.

    Letters and digits of any script (with their marks), `_`, `.` and `-`, first a letter or a digit; at most
    64 characters and 200 bytes of UTF-8. So a name is never a path, an option or empty.
    """
    if _ASCII_NAME.fullmatch(text):
        return text
    if len(text) > _NORMALISE_AT_MOST:
        raise ValueError(_too_long(text))
    name = unicodedata.normalize("NFC", text)
    problem = _name_problem(name)
    if problem:
        raise ValueError(problem)
    return name


def is_name(text: str) -> bool:
    """Whether `check_name` accepts it."""
    try:
        check_name(text)
    except ValueError:
        return False
    return True


def split_reference(text: str) -> tuple[str, str] | None:
    """("worker", "output") of `worker/output`: exactly one slash between two valid names; None for a path."""
    worker, slash, output = text.partition("/")
    if not slash:
        return None
    try:
        return check_name(worker), check_name(output)
    except ValueError:
        return None


def nearest(name: str, candidates: Collection[str]) -> str | None:
    """The candidate that `name` probably meant, None when nothing is like it.

    Pass a set or a dict where there are thousands: one-letter slips are then found by look-up at any size.
    """
    if len(candidates) > _COMPARED_AT_MOST:
        slip = next((edit for edit in _one_letter_edits(name) if edit in candidates), None)
        if slip is not None:
            return slip
    by_folded = {candidate.casefold(): candidate for candidate in reversed(_worth_comparing(name, candidates))}
    close = difflib.get_close_matches(name[:MAX_NAME_BYTES].casefold(), by_folded, n=1, cutoff=_SIMILAR)
    return by_folded[close[0]] if close else None


def _worth_comparing(name: str, candidates: Collection[str]) -> list[str]:
    """All of a few candidates; of many, the first 300 that begin or end like `name`."""
    if len(candidates) <= _COMPARED_AT_MOST:
        return list(candidates)
    half = max(1, len(name) // 2)
    alike = (c for c in candidates if c.startswith(name[:half]) or c.endswith(name[-half:]))
    return [candidate for candidate, _ in zip(alike, range(_COMPARED_AT_MOST), strict=False)]


def _one_letter_edits(name: str) -> Iterator[str]:
    """Every text one letter left out, put in, replaced or swapped away from `name`."""
    if len(name) > MAX_NAME_CHARACTERS:
        return
    for at in range(len(name) + 1):
        before, after = name[:at], name[at:]
        if after:
            yield before + after[1:]
        if len(after) > 1:
            yield before + after[1] + after[0] + after[2:]
        for letter in _TYPED_LETTERS:
            yield before + letter + after
            yield before + letter + after[1:]


def _is_letter_or_digit(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "L" or category == "Nd"


def _may_stand_in_name(character: str) -> bool:
    # marks are the vowels of many scripts, which have no composed form in NFC
    return character in _PUNCTUATION or _is_letter_or_digit(character) or unicodedata.category(character)[0] == "M"


def _name_problem(name: str) -> str | None:
    if not name:
        return "is empty; a name begins with a letter or a digit"
    wrong = next((character for character in name if not _may_stand_in_name(character)), None)
    if wrong is not None:
        advice = "use letters, digits, '_', '.' or '-'" + _example(name)
        return f"{quote(name)} holds {quote(wrong)}, which a name cannot; {advice}"
    if not _is_letter_or_digit(name[0]):
        return f"{quote(name)} begins with {quote(name[0])}; a name begins with a letter or a digit"
    if len(name) > MAX_NAME_CHARACTERS or len(name.encode()) > MAX_NAME_BYTES:
        return _too_long(name)
    return None


def _example(name: str) -> str:
    """A valid name like the wrong one, as the end of a sentence; empty if there is none."""
    mended = "".join(c if _may_stand_in_name(c) else "_" for c in name).strip(_PUNCTUATION)
    return f", such as {quote(mended)}" if _ASCII_NAME.fullmatch(mended) else ""


def _too_long(name: str) -> str:
    size = f"{len(name)} characters long"
    if len(name) <= MAX_NAME_CHARACTERS:
        size = f"{len(name.encode())} bytes long in UTF-8"
    return f"{quote(name)} is {size}; a name has at most {MAX_NAME_CHARACTERS} characters and {MAX_NAME_BYTES} bytes"


def variable_name(name: str) -> str:
    """An input's or output's name as the end of a variable's: upper case; what is no letter or digit becomes `_`."""
    return "".join(character if character.isalnum() else "_" for character in name.upper())
