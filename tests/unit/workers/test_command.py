"""From command, args and shell to argv, judged by a real /bin/sh."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.command import build_argv, check_command, needs_shell

# As they stand in the JSON of the reference's example of a DAG.
FETCH = json.loads(r'''"python3 -c \"import json; print(json.dumps({\\\"data\\\": [1,2,3,4,5]}))\""''')
PROCESS = json.loads(
    r'''"python3 -c \"import json; data=json.load(open(\\\"/tmp/data-pipeline/raw.json\\\"));"'''[:-1]
    + r''' result=sum(data[\\\"data\\\"]); print(f\\\"Sum: {result}\\\")\""'''
)

# Prints its arguments, each ended by a NUL. The x is there since printf without arguments prints one all the same.
PRINT = "printf '%s\\0' x "


def words_of_sh(command: str, cwd: Path | str = "/") -> list[str] | None:
    """What /bin/sh makes of the words behind PRINT; None if it refuses the command."""
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, cwd=cwd, check=False)
    return done.stdout.decode().split("\0")[:-1] if done.returncode == 0 else None


def output_of(argv: list[str]) -> str:
    return subprocess.run(argv, capture_output=True, check=True, text=True).stdout


def test_the_commands_of_the_reference_run_without_a_shell() -> None:
    assert build_argv(FETCH, [], None) == [
        "python3",
        "-c",
        'import json; print(json.dumps({"data": [1,2,3,4,5]}))',
    ]
    source = 'import json; data=json.load(open("/tmp/data-pipeline/raw.json")); result=sum(data["data"]);'
    assert build_argv(PROCESS, [], None) == ["python3", "-c", source + ' print(f"Sum: {result}")']
    assert build_argv("echo Hello, Wattle Scheduler!", [], None) == ["echo", "Hello,", "Wattle", "Scheduler!"]


def test_args_are_appended_as_whole_words() -> None:
    assert build_argv("a b", ["$HOME", "c d", "; rm", ""], None) == ["a", "b", "$HOME", "c d", "; rm", ""]


def test_a_command_that_needs_a_shell_gets_one() -> None:
    assert build_argv("a | b", [], None) == ["/bin/sh", "-c", "a | b", "sh"]
    assert build_argv("a | b", ["c d"], None) == ["/bin/sh", "-c", 'a | b "$@"', "sh", "c d"]
    assert build_argv('a "$1" | b', ["c d"], None) == ["/bin/sh", "-c", 'a "$1" | b', "sh", "c d"]


def test_shell_forces_either() -> None:
    assert build_argv("a b", ["c"], True) == ["/bin/sh", "-c", 'a b "$@"', "sh", "c"]
    assert build_argv("a | $b *", ["c"], False) == ["a", "|", "$b", "*", "c"]


@pytest.mark.parametrize(("command", "shell"), [("a 'b", None), ("a 'b", False), ("(a; b)", None)])
def test_what_cannot_be_built_is_an_error_in_words(command: str, shell: bool | None) -> None:
    with pytest.raises(ValueError) as caught:
        build_argv(command, ["x"], shell)
    assert str(caught.value) == check_command(command, shell, ["x"])


@pytest.mark.parametrize("hostile", ["$(echo no)", "`echo no`", "; echo no", "' no", '" no', "\\", "*", "a\nb", "-n"])
@pytest.mark.parametrize("command", ["printf %s", "true | cat; printf %s", "exec printf %s", 'true; printf %s "$1"'])
def test_no_shell_ever_reads_an_arg(command: str, hostile: str) -> None:
    assert output_of(build_argv(command, [hostile], None)) == hostile


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo a # note", "a x y\n"),
        ("echo a;", "a x y\n"),
        ("echo a | xargs echo", "x y a\n"),
        ("cd / && echo", "x y\n"),
        ("echo $2 $1", "y x\n"),
        ('for each in "$@"; do echo "$each"; done', "x\ny\n"),
        ("cat <<END\n$2 it's\nEND", "y it's\n"),
        ("if true; then echo a; fi | cat; echo", "a\nx y\n"),
        ('f() { echo f "$#"; }; f', "f 2\n"),
        ('echo $(echo \')\') "$(echo "(")"', ") ( x y\n"),
        ("case b in (a) ;; b) echo c; esac; echo", "c\nx y\n"),
        ("A=1 printenv A; echo", "1\nx y\n"),
    ],
)
def test_args_arrive_where_a_person_expects_them(command: str, said: str) -> None:
    assert output_of(build_argv(command, ["x", "y"], None)) == said


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
@settings(deadline=None)
def test_quoted_words_come_back_without_a_shell(words: list[str]) -> None:
    command = shlex.join(["program", *words])
    assert not needs_shell(command)
    assert build_argv(command, [], None) == ["program", *words]


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
@settings(deadline=None)
def test_any_quoted_words_come_back_where_the_first_is_no_builtin(words: list[str]) -> None:
    command = shlex.join(words)
    assert build_argv(command, [], False) == words
    if shlex.quote(words[0]) != words[0]:
        assert build_argv(command, [], None) == words


CORPUS = [
    "a b",
    "a   b\tc ",
    "'a b' \"c d\" e\\ f",
    r"""a"b"'c'\d""",
    r'''"\$x \` \" \\ \a \'"''',
    r"""'\$x \n'""",
    "\"\" ''",
    "a\\\nb \\\n c",
    "\"a\\\nb\" 'a\\\nb'",
    "$ a$ \"$\" $/x $'a' $é",
    "x~ a=b",
    "a#b \\# '#'",
    "{ } {a} ! if done",
    "é 数据 'é x'",
    "a\rb \u00a0 \x0b",
    "-n -- -e %s",
    '"a;b|c&d(e)f<g>h*i?j[k]l"',
    '{\\"data\\":1}',
]


@pytest.mark.parametrize("text", CORPUS)
def test_words_are_those_of_a_real_shell(text: str, tmp_path: Path) -> None:
    command = PRINT + text
    assert not needs_shell(command)
    assert build_argv(command, [], None)[2:] == words_of_sh(command, tmp_path)


@given(st.text("ab '\"\\$`{}~#=!\n\t-1@é|&;<*?[.%", max_size=14))
@settings(deadline=None, max_examples=300)
def test_whatever_runs_without_a_shell_is_what_a_real_shell_would_run(text: str) -> None:
    command = PRINT + text
    if needs_shell(command):
        return
    problem = check_command(command, None)
    words = words_of_sh(command)
    if problem is None:
        assert build_argv(command, [], None)[2:] == words
    else:
        assert words is None or "backslash" in problem


@given(st.text("ab '\"\\${}()#\n\t@1|;=", max_size=16))
@settings(deadline=None, max_examples=300)
def test_what_is_refused_is_refused_by_a_real_shell_too(text: str) -> None:
    command = ": | : " + text
    problem = check_command(command, None)
    if problem is not None:
        done = subprocess.run(["/bin/sh", "-nc", command], capture_output=True, cwd="/", check=False)
        assert done.returncode != 0, problem
