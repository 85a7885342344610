"""What a string from outside must be before it may become an argument, a path or part of an answer."""

_SHOWN_CHARACTERS = 60


def quote(text: str) -> str:
    """`text` in quotes for a sentence: cut at 60 characters, what cannot be printed or encoded is escaped."""
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
    return repr(shown)


def check_text(text: str) -> str:
    """`text` unchanged; ValueError if it holds a NUL or cannot be written as UTF-8.

    Both pass through JSON and YAML and break only later, inside exec, the file system or the answer.
    """
    if "\x00" in text:
        raise ValueError("holds a NUL character, which no argument, path or variable can; take it out")
    if not text.isascii() and _has_lone_surrogate(text):
        raise ValueError("holds half of a surrogate pair, which is no character; write the character itself")
    return text


def _has_lone_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
