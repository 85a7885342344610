"""How the text of a command is read: into words as a POSIX shell splits them, or as a text that needs a shell.

Most commands are a program and its words, and run without a shell: one process less, and no surprises. What only
a shell can do (an unquoted operator, glob or variable, a builtin...) runs through `/bin/sh`, as make does it.
"""

import re
from collections.abc import Sequence

from schemas.shell_text import append_args, check_shell_text

# Shell builtins that have no file of their own, as GNU make lists them.
_BUILTIN = re.compile(
    r"[.:]|alias|bg|break|cd|command|continue|eval|exec|exit|export|fc|fg|getopts|hash|jobs|read|readonly|return|set"
    r"|shift|times|trap|type|ulimit|umask|unalias|unset|wait"
)
# Words that begin a compound command; in quotes they are words like any other.
_RESERVED = re.compile(r"[!{]|case|for|if|until|while")

_DOUBLE_QUOTED = r'"[^"\\]*(?:\\[\s\S][^"\\]*)*"'
_WORDS_ONLY = re.compile(r"[A-Za-z0-9_./,:@%+= \t-]*")
_BLANKS = " \t\n"

# The first thing in a text that only a shell understands (`special`), or that ends the reading (`stray`).
_TELLING = re.compile(
    r"(?P<special>[|&;<>()*?\[`]|\$[A-Za-z0-9_({@*#?$!-]|(?:\A|[ \t])[~#])"
    r"|(?P<newline>\n[ \t\n]*)"
    r"|\\[\s\S]|'[^']*'"
    rf"|(?P<double>{_DOUBLE_QUOTED})"
    r"|(?P<stray>['\"\\])"
)
_EXPANDED_IN_DOUBLE = re.compile(r"\\[\s\S]|(?P<special>`|\$[A-Za-z0-9_({@*#?$!-])")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_QUOTING = re.compile(r"['\"\\]")

_PIECE = re.compile(
    r"(?P<blank>[ \t\n]+)|(?P<plain>[^ \t\n'\"\\]+)|'(?P<single>[^']*)'"
    rf"|(?P<double>{_DOUBLE_QUOTED})|\\(?P<escaped>[\s\S])|(?P<stray>['\"\\])"
)
_ESCAPE_IN_DOUBLE = re.compile(r'\\([$`"\\])')
_QUOTED = re.compile(rf"'[^']*'|{_DOUBLE_QUOTED}|\\[\s\S]")
_CONTINUED_IN_DOUBLE = re.compile(r"\\(?:\n|([\s\S]))")

_STRAY = {
    "'": "has a single quote (') that is never closed",
    '"': 'has a double quote (") that is never closed',
    "\\": "ends in a backslash that escapes nothing; write it twice if it is meant",
}


def needs_shell(command: str) -> bool:
    """Whether `command` has something in it, outside of quotes, that only a shell can do."""
    text = _join_continued_lines(command).lstrip(_BLANKS)
    if not _WORDS_ONLY.fullmatch(text):
        for found in _TELLING.finditer(text):
            if found["stray"]:
                return False
            if found["special"] or _is_telling(found, text):
                return True
    return _first_word_needs_shell(text)


def split_words(command: str) -> list[str]:
    """The words of `command` as a shell would split them, operators and `$` being characters like any other.

    ValueError, with a sentence, for a quote that is not closed.
    """
    if _WORDS_ONLY.fullmatch(command):
        return command.split()
    words: list[str] = []
    word: str | None = None
    for piece in _PIECE.finditer(_join_continued_lines(command)):
        if piece["stray"]:
            raise ValueError(_STRAY[piece["stray"]])
        if piece["blank"] is None:
            word = (word or "") + _unquoted(piece)
        elif word is not None:
            words.append(word)
            word = None
    return words if word is None else [*words, word]


def runs_in_shell(command: str, shell: bool | None) -> bool:
    """Whether `command` is run by `/bin/sh`: as `shell` says, and where that is None, if it needs one."""
    return needs_shell(command) if shell is None else shell


def check_command(command: str, shell: bool | None, args: Sequence[str] = ()) -> str | None:
    """What is wrong with a worker's `command` (with these `shell` and `args`), as a sentence; None if nothing is."""
    if not command.strip():
        return "is blank; write the program to run and its words"
    try:
        if runs_in_shell(command, shell):
            (append_args if args else check_shell_text)(command)
        elif not split_words(command)[0]:
            return "begins with an empty word; write the program to run first"
    except ValueError as error:
        return str(error)
    return None


def _is_telling(found: re.Match[str], text: str) -> bool:
    """Whether a newline stands between two commands, or a double-quoted text expands something."""
    if found["newline"]:
        return found.end() < len(text)
    return found["double"] is not None and any(
        inner["special"] for inner in _EXPANDED_IN_DOUBLE.finditer(found["double"])
    )


def _first_word_needs_shell(text: str) -> bool:
    written = re.split(r"[ \t\n]", text, maxsplit=1)[0]
    if _RESERVED.fullmatch(written) or _ASSIGNMENT.match(written):
        return True
    # quotes do not make a builtin another program; no builtin has a blank in its name
    return _BUILTIN.fullmatch(_QUOTING.sub("", written)) is not None


def _unquoted(piece: re.Match[str]) -> str:
    kind = piece.lastgroup
    if kind == "double":
        return _ESCAPE_IN_DOUBLE.sub(r"\1", piece[0][1:-1])
    return piece[kind] if kind else ""


def _join_continued_lines(command: str) -> str:
    """Takes out every backslash-newline, as a shell does before it looks for words; single quotes keep theirs."""
    if "\\\n" not in command:
        return command
    return _QUOTED.sub(_joined, command)


def _joined(quoted: re.Match[str]) -> str:
    text = quoted[0]
    if text == "\\\n":
        return ""
    if text[0] != '"':
        return text
    return _CONTINUED_IN_DOUBLE.sub(lambda escape: escape[0] if escape[1] else "", text)
