"""Reads a text that goes to `/bin/sh`: are its quotes closed, and where do a worker's args belong in it?

The shell itself is the judge of its language. This reader follows quotes and substitutions just far enough to
refuse what certainly cannot run, and to put `"$@"` behind the last command.
"""

import re

_CLOSERS = frozenset(["fi", "done", "esac", "}"])

_DOLLAR = r"(?P<dollar>\$(?:\(|\{#?(?:\w+|[@*#?$!-])\}|\{|[A-Za-z_]\w*|[0-9@*#?$!-])?)"
_MARK = r"(?P<mark>[\"`}])"
_IN_WORDS = re.compile(
    r"(?P<heredoc><<)|(?P<redirect>[<>][&|>]?)|(?P<operator>[|&;()\n])"
    r"|(?P<blank>[ \t]+)|(?P<comment>(?:\A|(?<=[\s|&;()<>`]))\#[^\n]*)"
    rf"|(?P<text>\\[\s\S]?|'[^']*'|[^ \t\n\\'\"$`|&;<>()}}#]+|\#)|(?P<stray>')|{_DOLLAR}|{_MARK}",
    re.ASCII,
)
_IN_DOUBLE = re.compile(rf"(?P<text>\\[\s\S]?|[^\\\"$`}}]+)|{_DOLLAR}|{_MARK}", re.ASCII)
_BETWEEN_WORDS = ("blank", "comment", "redirect", "operator", "heredoc")
_USES_ARGS = re.compile(r"\$(?:[@*1-9]|\{(?:[@*]|[1-9][0-9]*)\W)", re.ASCII)

_ADVICE = 'write "$@" in the command where the args belong'
_NAMES = {'"': 'a double quote (")', "`": "a backquote (`)", "(": "a '('", "$(": "a '$('"}


def check_shell_text(text: str) -> None:
    """ValueError, with a sentence, if a quote or a substitution in `text` is never closed."""
    _Reader(text).read()


def append_args(text: str) -> str:
    """`text` with the shell's args in it: as it is if it uses them already, else `"$@"` behind its last word.

    ValueError, with a sentence, where that place would be a guess (after `done`, `)`, a here-document...), since
    args that vanish silently are worse than a refusal; and for what `check_shell_text` refuses.
    """
    reader = _Reader(text)
    reader.read()
    if reader.uses_args:
        return text
    if reader.args_at is None:
        raise ValueError(f"has args but does not end in a simple command that could take them; {_ADVICE}")
    return text[: reader.args_at] + ' "$@"' + text[reader.args_at :]


class _Reader:
    """One pass over a text from left to right, with a stack of what is open (no recursion).

    Words are followed only outside of every construct: there the last one may be where the args belong.
    """

    def __init__(self, text: str) -> None:
        self.uses_args = False
        self.args_at: int | None = None
        self._text = text
        self._at = 0
        self._open: list[str] = []
        self._word_from: int | None = None
        self._begins_command = True
        # the text of ${name:-...} has quoting rules of its own: what seems open after one may be closed
        self._sure = True

    def read(self) -> None:
        """Reads to the end; ValueError for what is never closed."""
        while self._at < len(self._text):
            in_double = self._open and self._open[-1] in ('"', '"${')
            found = (_IN_DOUBLE if in_double else _IN_WORDS).match(self._text, self._at)
            if found is None:  # each set of rules has one for every character
                raise AssertionError(f"no rule for {self._text[self._at :][:10]!r}")
            self._take(found)
        self._end_word()
        if self._open and self._sure:
            raise ValueError(f"has {_NAMES[self._open[-1]]} that is never closed")

    def _take(self, found: re.Match[str]) -> None:
        kind = found.lastgroup
        if kind in _BETWEEN_WORDS:
            self._end_word()
        elif self._word_from is None and not self._open:
            self._word_from = self._at
        self._at = found.end()
        if kind == "operator":
            self._on_operator(found[0])
        elif kind == "dollar":
            self._on_dollar(found)
        elif kind == "mark":
            self._on_mark(found[0])
        elif kind == "comment":
            self._on_comment(found)
        elif kind == "heredoc":
            self._on_heredoc()
        elif kind == "stray" and self._sure:
            raise ValueError("has a single quote (') that is never closed")

    def _on_operator(self, operator: str) -> None:
        inside = self._open[-1] if self._open else None
        if operator == "(":
            self._open.append("(")
        elif operator == ")" and inside in ("(", "$("):
            self._open.pop()
            if inside == "(" and not self._open:
                self._end_compound()
        elif not self._open:
            self._begins_command = True

    def _on_dollar(self, found: re.Match[str]) -> None:
        self.uses_args = self.uses_args or _USES_ARGS.match(self._text, found.start()) is not None
        if found[0] == "$(":
            self._open.append("$(")
        elif found[0] == "${":
            in_double = self._open and self._open[-1] in ('"', '"${')
            self._open.append('"${' if in_double else "${")
            self._sure = False

    def _on_mark(self, mark: str) -> None:
        inside = self._open[-1] if self._open else None
        if mark == "}":
            if inside in ("${", '"${'):
                self._open.pop()
        elif mark == "`" and mark in self._open:
            # a shell finds the closing backquote first, whatever is open inside
            del self._open[self._open.index(mark) :]
        elif mark == inside:
            self._open.pop()
        else:
            self._open.append(mark)

    def _on_comment(self, found: re.Match[str]) -> None:
        if "`" in self._open:
            self._at = found.start() + len(found[0].partition("`")[0])

    def _on_heredoc(self) -> None:
        """The rest is text with an end of its own choice: it cannot be followed, and nothing can be put behind it."""
        self.uses_args = self.uses_args or _USES_ARGS.search(self._text, self._at) is not None
        self._at = len(self._text)
        self._open.clear()
        self._end_compound()

    def _end_word(self) -> None:
        if self._open or self._word_from is None:
            return
        word = self._text[self._word_from : self._at]
        self._word_from = None
        if not self._begins_command:
            self.args_at = None if self.args_at is None else self._at
        elif word in _CLOSERS:
            self._end_compound()
        else:
            self.args_at = self._at
            self._begins_command = False

    def _end_compound(self) -> None:
        self.args_at = None
        self._begins_command = False
