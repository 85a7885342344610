"""What a command is given and what it leaves: words, shell, environment, directories, outputs, logs on disk."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.asking import quiet_daemon
from tests.e2e.watched import Watched
from tests.helpers.daemon import Daemon
from tests.helpers.waiting import wait_until

SECRETS = {"AWS_SECRET_ACCESS_KEY": "s3cret", "CREDENTIALS_DIRECTORY": "/run/s3cret", "PYTHONPATH": "/s3cret"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with things in its environment that are no worker's business."""
    with quiet_daemon(tmp_path_factory.mktemp("running"), {**SECRETS, "LC_TIME": "C.UTF-8"}) as running:
        yield running


COMMANDS: dict[str, tuple[dict[str, Any], str]] = {
    "words": ({"command": "printf [%s] 'a b' c\\ d", "args": ["$HOME", "x y", ";"]}, "[a b][c d][$HOME][x y][;]"),
    "operators": ({"command": "printf '%s\\n' b a | sort | tr '\\n' ' '"}, "a b "),
    "arguments behind operators": ({"command": "true && printf '[%s]'", "args": ["$(id)", "b c"]}, "[$(id)][b c]"),
    "arguments by name": (
        {"command": 'for x in "$@"; do printf \'<%s>\' "$x"; done', "args": ["a b", "*"]},
        "<a b><*>",
    ),
    "a glob": ({"command": "touch 1.x 2.x && echo *.x"}, "1.x 2.x"),
    "a variable": ({"command": "echo $GREETING", "env_vars": {"GREETING": "hello  there"}}, "hello there"),
    "no shell": ({"command": "echo $HOME | cat", "shell": False}, "$HOME | cat"),
    "forced shell": ({"command": "echo hi", "shell": True, "args": ["a  b"]}, "hi a  b"),
    "an empty word": ({"command": "printf [%s]", "args": ["", "x"]}, "[][x]"),
    "unicode": ({"command": "echo 数据", "args": ["é"]}, "数据 é"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_how_a_command_is_read(daemon: Daemon, case: str) -> None:
    worker, expected = COMMANDS[case]
    watched = Watched(daemon, f"command-{case}".replace(" ", "-"), {"name": "w", **worker})
    assert watched.run()["status"] == "completed"
    assert watched.output("w") == [expected]


def test_the_environment_of_a_worker(daemon: Daemon) -> None:
    watched = Watched(
        daemon,
        "environment",
        {"name": "first", "command": "true > made", "outputs": {"made": "made"}},
        {
            "name": "second-one",
            "command": "env",
            "env_vars": {"MINE": "a=b", "LANG": "de_DE.UTF-8"},
            "inputs": {"from.first": "first/made", "plain": "plain.txt"},
            "outputs": {"raw-data": "deep/er/raw.json", "second": "../second"},
            "working_dir": "sub",
        },
    )
    (watched.place / "sub").mkdir()
    (watched.place / "sub" / "plain.txt").touch()
    run = watched.start()
    watched.end()
    seen = dict(line.split("=", 1) for line in watched.output("second-one"))
    place = str(watched.place)
    assert {name: value for name, value in seen.items() if name.startswith("WATTLE_")} == {
        "WATTLE_WORKFLOW_NAME": "environment",
        "WATTLE_WORKER_NAME": "second-one",
        "WATTLE_RUN_ID": run,
        "WATTLE_ATTEMPT": "1",
        "WATTLE_ATTEMPT_ID": watched.attempts("second-one")[0]["id"],
        "WATTLE_INPUT_FROM_FIRST": f"{place}/made",
        "WATTLE_INPUT_PLAIN": f"{place}/sub/plain.txt",
        "WATTLE_OUTPUT_RAW_DATA": f"{place}/sub/deep/er/raw.json",
        "WATTLE_OUTPUT_SECOND": f"{place}/second",
    }
    assert (seen["MINE"], seen["LANG"], seen["PYTHONUNBUFFERED"]) == ("a=b", "de_DE.UTF-8", "1")
    assert (seen["PATH"], seen["LC_TIME"]) == (os.environ["PATH"], "C.UTF-8")
    # nothing else of the daemon's: no secret, no socket, no import path
    assert seen.keys() - {"HOME", "TMPDIR", "PWD"} == {
        *("MINE", "LANG", "PYTHONUNBUFFERED", "PATH", "LC_TIME"),
        *(name for name in seen if name.startswith("WATTLE_")),
    }


def test_the_process_of_a_worker(daemon: Daemon) -> None:
    """A session of its own, nothing on stdin, no descriptor of the daemon, nothing ignored."""
    script = (
        "import os, signal, sys; print(os.getsid(0) == os.getpid(), sys.stdin.read() == '', os.getcwd());"
        "print(sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:4]);"
        "print(signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN, signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)"
    )
    watched = Watched(daemon, "process", {"name": "w", "command": "python3 -c", "args": [script]})
    assert watched.run()["status"] == "completed", watched.output("w", "stderr")
    # 3 is the directory that listdir reads; Python itself ignores SIGPIPE
    assert watched.output("w") == [f"True True {watched.place}", "[0, 1, 2, 3]", "True False"]


# -- outputs --------------------------------------------------------------------------------------------------


def outputs_of(watched: Watched, worker: str) -> dict[str, tuple[int, str]]:
    """{output: (size, who wrote it)} of a worker in the newest run."""
    return {each["name"]: (each["size_bytes"], each["source"]) for each in watched.states()[worker]["outputs"]}


def test_stdout_becomes_the_only_output(daemon: Daemon) -> None:
    watched = Watched(
        daemon,
        "captured",
        {"name": "w", "command": "echo run $WATTLE_RUN_ID; echo no >&2", "outputs": {"o": "deep/o.txt"}},
    )
    for _ in range(2):
        run = watched.start()
        assert watched.end()["status"] == "completed"
        assert (watched.place / "deep" / "o.txt").read_text() == f"run {run}\n"
        assert outputs_of(watched, "w") == {"o": (31, "stdout")}
    assert os.listdir(watched.place / "deep") == ["o.txt"]


def test_a_file_that_a_person_or_the_command_wrote_stays(daemon: Daemon) -> None:
    watched = Watched(
        daemon,
        "kept",
        {"name": "own", "command": "echo chatter; echo result > own.txt", "outputs": {"o": "own.txt"}, "shell": True},
        {"name": "there", "command": "echo chatter", "outputs": {"o": "there.txt"}},
        {"name": "edited", "command": "echo chatter", "outputs": {"o": "edited.txt"}},
    )
    (watched.place / "there.txt").write_text("by hand\n")
    assert watched.run()["status"] == "completed"
    assert (watched.place / "edited.txt").read_text() == "chatter\n"
    (watched.place / "edited.txt").write_text("corrected by hand\n")
    assert watched.run()["status"] == "completed"
    texts = {name: (watched.place / f"{name}.txt").read_text() for name in ("own", "there", "edited")}
    assert texts == {"own": "result\n", "there": "by hand\n", "edited": "corrected by hand\n"}
    assert {outputs_of(watched, name)["o"][1] for name in texts} == {"command"}


def test_no_stdout_where_it_is_not_meant(daemon: Daemon) -> None:
    watched = Watched(
        daemon,
        "not-captured",
        {"name": "two", "command": "echo x", "outputs": {"a": "a.txt", "b": "b.txt"}},
        {"name": "failing", "command": "sh -c 'echo x; exit 1'", "outputs": {"c": "c.txt"}},
        {"name": "silent", "command": "true", "outputs": {"d": "d.txt"}},
    )
    assert watched.run()["status"] == "failed"
    assert watched.statuses == {"two": "failed", "failing": "failed", "silent": "completed"}
    assert [name for name in ("a", "b", "c", "d") if (watched.place / f"{name}.txt").exists()] == ["d"]
    assert outputs_of(watched, "silent") == {"d": (0, "stdout")}


def test_a_workflow_without_a_directory_gets_one_of_its_own(daemon: Daemon) -> None:
    for name in ("homeless-1", "homeless-2"):
        workers = [{"name": "w", "command": "pwd", "outputs": {"o": "o.txt"}}]
        daemon.post("/api/workflows", {"name": name, "workers": workers})
        daemon.start_run(name)
        assert daemon.wait_for_run(name)["status"] == "completed"
    first, second = (Path(daemon.get(f"/api/workflows/homeless-{number}")["working_dir"]) for number in (1, 2))
    assert first != second
    assert (first / "o.txt").read_text() == f"{first}\n"
    assert first.is_relative_to(daemon.state_dir)
    # replaced, it stays where its files are
    workers[0]["command"] = "cat o.txt"
    daemon.ask("PUT", "/api/workflows/homeless-1", {"workers": workers})
    assert daemon.get("/api/workflows/homeless-1")["working_dir"] == str(first)


# -- logs on disk ---------------------------------------------------------------------------------------------


async def test_the_log_on_disk_leads_to_the_latest_attempt(daemon: Daemon) -> None:
    watched = Watched(
        daemon, "linked", {"name": "w", "command": "echo out $(cat say); echo err >&2", "working_dir": "sub"}
    )
    out, err = (watched.place / "sub" / "w" / name for name in ("stdout.log", "stderr.log"))
    (watched.place / "sub").mkdir()
    for said in ("first", "second"):
        (watched.place / "sub" / "say").write_text(said)
        watched.run()
        assert daemon.get(watched.of("w", "logs")) == [f"stdout: {out}", f"stderr: {err}"]
        assert (out.read_text(), err.read_text()) == (f"out {said}\n", "err\n")
    (watched.place / "sub" / "say").write_text("third")
    watched.run()
    # nobody asks this time
    await wait_until(lambda: out.read_text() == "out third\n", on_timeout="the link leads to the third run")


def test_a_persons_own_file_is_no_log(daemon: Daemon) -> None:
    watched = Watched(daemon, "not-ours", {"name": "w", "command": "echo log"}, {"name": "file", "command": "echo log"})
    (watched.place / "w").mkdir()
    (watched.place / "w" / "stdout.log").write_text("precious\n")
    (watched.place / "file").write_text("precious too\n")
    watched.run()
    for worker in ("w", "file"):
        path = Path(daemon.get(watched.of(worker, "logs"))[0].removeprefix("stdout: "))
        assert path.read_text() == "log\n"
        assert path.is_relative_to(daemon.state_dir)
    assert (watched.place / "w" / "stdout.log").read_text() == "precious\n"
    assert (watched.place / "file").read_text() == "precious too\n"


def test_the_last_lines_beside_the_paths(daemon: Daemon) -> None:
    watched = Watched(daemon, "tails", {"name": "w", "command": "seq 1 500; echo bad >&2; printf '\\377\\n' >&2"})
    answer = daemon.ask("GET", watched.of("w", "logs") + "?lines=3")
    assert answer.envelope["content"] == []
    watched.run()
    for query, expected in (
        ("?lines=3&stream=stdout", ["498", "499", "500"]),
        ("?stream=stderr", ["bad", "\ufffd"]),
        ("?lines=1", ["500", "\ufffd"]),
    ):
        answer = daemon.ask("GET", watched.of("w", "logs") + query)
        assert answer.envelope["content"] == expected
        assert len(answer.data) == 2
    assert len(watched.output("w")) == 100
    assert "content" not in daemon.ask("GET", watched.of("w", "logs")).envelope
