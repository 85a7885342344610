"""Texts for /bin/sh: what is never closed, and where args go."""

import pytest

from schemas.shell_text import append_args, check_shell_text


@pytest.mark.parametrize(
    ("text", "with_args"),
    [
        ("a | b", 'a | b "$@"'),
        ("cd x", 'cd x "$@"'),
        ("a && b\n", 'a && b "$@"\n'),
        ("a 2>&1", 'a 2>&1 "$@"'),
        ("a >| x", 'a >| x "$@"'),
        ("a;", 'a "$@";'),
        ("a &", 'a "$@" &'),
        ("a # it's \"", 'a "$@" # it\'s "'),
        ("a b\\ ", 'a b\\  "$@"'),
        ("awk '{print $1}' | sort", "awk '{print $1}' | sort \"$@\""),
        (r"a \$1 | b", r'a \$1 | b "$@"'),
        ("a $# $0 $x ${y} | b", 'a $# $0 $x ${y} | b "$@"'),
        ("a | tee done", 'a | tee done "$@"'),
        ("if a; then b; fi | c", 'if a; then b; fi | c "$@"'),
        ("f() { a; }; f", 'f() { a; }; f "$@"'),
        ("(a); b", '(a); b "$@"'),
        ("case x in a) b;; esac; c", 'case x in a) b;; esac; c "$@"'),
        ("a $(b | c) 'd", None),
        ("a $(b 'x)' \")\" | c) d", 'a $(b \'x)\' ")" | c) d "$@"'),
        ('a "$(b "c" `d "e"`)" f', 'a "$(b "c" `d "e"`)" f "$@"'),
        ('a "${x:-it\'s}" b', 'a "${x:-it\'s}" b "$@"'),
        ("a ${x#y} b#c", 'a ${x#y} b#c "$@"'),
        ("a $((1 + 2))", 'a $((1 + 2)) "$@"'),
        ("a `b # c` d", 'a `b # c` d "$@"'),
        ("x=1", 'x=1 "$@"'),
    ],
)
def test_args_go_behind_the_last_word(text: str, with_args: str | None) -> None:
    if with_args is None:
        with pytest.raises(ValueError, match="single quote"):
            append_args(text)
    else:
        assert append_args(text) == with_args


@pytest.mark.parametrize(
    "text",
    [
        'a "$@" | b',
        "a $* | b",
        "a $1; b",
        "a ${1}; b",
        "a ${12}; b",
        "a ${2:-x} | b",
        "a ${@} | b",
        "a $(b $1)",
        "a `b $1`",
        'for x in "$@"; do a; done',
        "cat <<END\nit's $1\nEND",
        "cat <<END | b $1\nx\nEND",
    ],
)
def test_a_text_that_uses_its_args_is_left_alone(text: str) -> None:
    assert append_args(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "for x in a; do b; done",
        "for x; do a $x; done",
        "while a; do b; done > out",
        "if a; then b; fi",
        "case x in a) b;; esac",
        "{ a; b; }",
        "(a; b)",
        "(a; b) > out",
        "f() { a; }",
        "cat <<END\na\nEND\n",
        "$(case x in a) b;; esac)",
        "# only a comment",
    ],
)
def test_args_without_a_place_are_refused(text: str) -> None:
    check_shell_text(text)
    with pytest.raises(ValueError, match=r'write "\$@"'):
        append_args(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a | 'b", "single quote"),
        ('a | "b', "double quote"),
        ("a `b", "backquote"),
        ("a $(b", r"a '\$\('"),
        ("(a", r"a '\('"),
        ('a "$(b', r"a '\$\('"),
        ('a "$(b)', "double quote"),
    ],
)
def test_what_is_never_closed_is_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_shell_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "cat <<END\nit's (\nEND",
        "a # it's",
        "case x in a) b;; esac",
        "a ${x:-'} \"}",
        'a "${x#\'"\'}"',
        "a \\' \\\" \\(",
        "a b\\",
        "a }",
        'a `b "c`',
    ],
)
def test_doubtful_texts_are_left_to_the_shell(text: str) -> None:
    check_shell_text(text)
