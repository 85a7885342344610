"""Commands as text: when is a shell needed, what are the words, what is wrong."""

import re

import pytest

from schemas.command import check_command, needs_shell, runs_in_shell, split_words

BUILTINS = re.findall(
    r"\S+",
    ". : alias bg break case cd command continue eval exec exit export fc fg for getopts hash if jobs read readonly"
    " return set shift times trap type ulimit umask unalias unset until wait while",
)
PLAIN = [
    "echo Hello, Wattle Scheduler!",
    "python fetch_data.py",
    "a 'b | c' \"d ; e\" f\\&g",
    'a \'$HOME\' \\$HOME "\\$HOME" "\\`x\\`"',
    'a $ "$" "a$ b" $. $/ $% 5$ "$"x',
    "a$'b' $é",
    'a "it\'s" \'say "x"\'',
    "a x~ x\\~ \\~ '~' \"~\" b=~",
    "a x#y \\#z '#'",
    "a A=1 --x=2",
    "'A=1' b",
    "A\\=1 b",
    "1A=1 b",
    "a {x} } b{ ! a!",
    "'!' a",
    "'{' a",
    "'if' a",
    "!a",
    "{a",
    "test -f x",
    "printf x",
    "cdx",
    "/usr/bin/cd x",
    "a cd exit",
    "a \\\n  b",
    "\n\t a b \n\n",
    "a]b",
    "a\rb",
    "a\u00a0b",
    "a^b a%b a,b a:b a@b a+b",
    "",
    "   ",
]
NEEDING = [
    *[f"a {operator} b" for operator in ("|", "&", ";", "<", ">", "(", ")", "||", "&&", ">>", "2>&1", "\n")],
    *["a|b", "a&", "a;b", "a>b"],
    *["ls *.txt", "ls a?", "ls [ab]", "a `b`", 'a "`b`"'],
    *["a $HOME", "a $_x", "a ${HOME}", "a $(b)", 'a "$HOME"', 'a "x${HOME}"', 'a "$(b)"', 'a x"y"$z', "a '$x'$y"],
    *[f"a ${parameter}" for parameter in "@*#?$!-0123456789"],
    *[f'a "${parameter}"' for parameter in "@*#?$!-0123456789"],
    *["~/bin/a", "a ~", "a ~/x", "a ~root", "a  ~", "a\t~", "a \\\n~/x", "\\\n~/x", " ~/x"],
    *["a # b", "# a", "a\t# b", "a \\\n# b"],
    *["A=1 b", "A= b", "_x1='a b' c", " A=1 b", "A=1"],
    *["! a", "{ a", " ! a"],
    *[
        f"{builtin} x"
        for builtin in [
            ".",
            ":",
            "alias",
            "bg",
            "break",
            "case",
            "cd",
            "command",
            "continue",
            "eval",
            "exec",
            "exit",
            "export",
        ]
    ],
    *[
        f"{builtin} x"
        for builtin in [
            "fc",
            "fg",
            "for",
            "getopts",
            "hash",
            "if",
            "jobs",
            "read",
            "readonly",
            "return",
            "set",
            "shift",
            "times",
        ]
    ],
    *[f"{builtin} x" for builtin in BUILTINS],
    *["cd", "'cd' x", 'c"d" x', "\\cd x", "c\\\nd x", "\tcd x"],
    *["a\nb", "a $\\\nHOME", 'a "$\\\nHOME"'],
    *["a | grep 'b", "a # it's"],
]


@pytest.mark.parametrize("command", PLAIN)
def test_a_program_and_its_words_need_no_shell(command: str) -> None:
    assert not needs_shell(command)
    assert not runs_in_shell(command, None)
    assert runs_in_shell(command, True)


@pytest.mark.parametrize("command", NEEDING)
def test_what_only_a_shell_can_do_needs_one(command: str) -> None:
    assert needs_shell(command)
    assert runs_in_shell(command, None)
    assert not runs_in_shell(command, False)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", []),
        (" a \t b\n", ["a", "b"]),
        ("a '' \"\" b", ["a", "", "", "b"]),
        ("a'b c'\"d e\"f", ["ab cd ef"]),
        (r"""a "\$ \` \" \\ \x" \x '\x'""", ["a", '$ ` " \\ \\x', "x", r"\x"]),
        ("a \"x\\\ny\" 'x\\\ny' b\\\nc", ["a", "xy", "x\\\ny", "bc"]),
        ('a "x\\\\\ny"', ["a", "x\\\ny"]),
        ("a\\\n", ["a"]),
        ("a \\\n b", ["a", "b"]),
        ("a\\ b", ["a b"]),
        ("a | b > $c `d` *", ["a", "|", "b", ">", "$c", "`d`", "*"]),
        ("a\nb # c", ["a", "b", "#", "c"]),
        ("a\r b\u00a0c", ["a\r", "b\u00a0c"]),
    ],
)
def test_words_are_split_as_a_shell_splits_them(command: str, words: list[str]) -> None:
    assert split_words(command) == words


@pytest.mark.parametrize(
    ("command", "shell", "said"),
    [
        ("", None, "is blank"),
        (" \n\t", True, "is blank"),
        ("echo 'a", None, "single quote"),
        ('echo "a', None, "double quote"),
        ('echo "a\\"', False, "double quote"),
        ("echo a\\", None, "backslash"),
        ("'' a", None, "empty word"),
        ("a | grep 'b", None, "single quote"),
        ('a | grep "b', None, "double quote"),
        ("echo 'a", True, "single quote"),
        ("echo $(a", None, "'$('"),
    ],
)
def test_a_command_that_cannot_run_is_told_why(command: str, shell: bool | None, said: str) -> None:
    problem = check_command(command, shell)
    assert problem is not None
    assert said in problem


@pytest.mark.parametrize(
    ("command", "shell"), [("echo a", None), ("a | b", None), ("a | b", False), ("echo a\\", True), ("a 'b|c'", True)]
)
def test_a_command_that_can_run_is_left_alone(command: str, shell: bool | None) -> None:
    assert check_command(command, shell) is None


def test_args_that_would_have_no_place_are_a_problem() -> None:
    assert check_command("for x in 1 2; do echo $x; done", None) is None
    problem = check_command("for x in 1 2; do echo $x; done", None, ["more"])
    assert problem is not None
    assert 'write "$@"' in problem
    assert check_command('for x in "$@"; do echo $x; done', None, ["more"]) is None


@pytest.mark.parametrize("text", ["\n", " ", "'", '"\\', "\\\n", " #\n", "$(", "`", "x=", "~ "])
def test_reading_a_long_command_takes_linear_steps(text: str) -> None:
    # an expression that backtracks would take minutes here, which the suite's timeout ends
    needs_shell("a" + text * 100_000)
    check_command("a" + text * 100_000, None, ["x"])
