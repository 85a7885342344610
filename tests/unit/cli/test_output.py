"""Tables line up, numbers read well, and JSON is one document."""

import json

import pytest

from scheduler.cli.output import (
    Cell,
    number_cell,
    print_facts,
    print_json,
    print_table,
    runtime_seconds,
    show_duration,
    show_exit,
    show_size,
    show_time,
    status_cell,
)
from tests.unit.cli.contract_server import WORKFLOW
from tests.unit.cli.screens import pipe, terminal


def test_columns_line_up_in_every_script() -> None:
    screen, written = pipe()
    rows: list[list[Cell | str]] = [
        ["数据管道", status_cell("completed"), number_cell("1.00 s"), "echo"],
        ["e\u0301tl", status_cell("running"), number_cell("12.0 s"), "sleep 1"],
    ]
    print_table(screen, ("NAME", "STATUS", "RUNTIME", "COMMAND"), rows)
    assert written.getvalue().splitlines() == [
        "NAME      STATUS     RUNTIME  COMMAND",
        "数据管道  completed   1.00 s  echo",
        "e\u0301tl       running     12.0 s  sleep 1",
    ]


def test_a_cell_cannot_break_its_row_or_steer_the_terminal() -> None:
    screen, written = terminal(NO_COLOR="1")
    print_table(screen, ("A", "B"), [["x\ny", "\x1b[2Jz\tw"]])
    assert written.getvalue().splitlines() == ["A    B", "x y  z w"]


def test_the_last_column_is_cut_on_a_terminal_only() -> None:
    long = "x" * 200
    for (screen, written), width in ((terminal(NO_COLOR="1"), 80), (pipe(), 207)):
        print_table(screen, ("NAME", "COMMAND"), [["abcde", long]])
        assert len(written.getvalue().splitlines()[1]) == width


def test_colours_do_not_shift_columns() -> None:
    screen, written = terminal()
    print_table(screen, ("A", "B"), [[status_cell("failed"), "x"]])
    assert written.getvalue().splitlines()[1] == "\x1b[31mfailed\x1b[0m  x"


def test_facts_leave_out_what_is_not_known() -> None:
    screen, written = pipe()
    print_facts(screen, {"name": "数据", "phase": None, "directory": "/tmp"})
    assert written.getvalue() == "name       数据\ndirectory  /tmp\n"


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([WORKFLOW, "数据"])
    assert json.loads(capsys.readouterr().out) == [WORKFLOW, "数据"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0, "0.00 s"),
        (0.042, "0.04 s"),
        (12.34, "12.3 s"),
        (59.99, "60.0 s"),
        (245, "4:05"),
        (3723.9, "1:02:03"),
    ],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert show_duration(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (64 * 1024**2, "64.0 MiB"), (2**50, "1024.0 TiB")],
)
def test_sizes(size: int | None, shown: str) -> None:
    assert show_size(size) == shown


@pytest.mark.parametrize(
    ("entity", "shown"),
    [
        ({"exit_code": 0, "signal": None}, "0"),
        ({"exit_code": None, "signal": 9}, "SIGKILL"),
        ({"exit_code": None, "signal": 99}, "signal 99"),
        ({}, "-"),
    ],
)
def test_exits(entity: dict[str, object], shown: str) -> None:
    assert show_exit(entity) == shown


def test_runtimes() -> None:
    assert runtime_seconds(WORKFLOW) == pytest.approx(12.345)
    assert runtime_seconds({"started_at": None}) is None
    assert runtime_seconds({"runtime_seconds": 1.5, "started_at": None}) == 1.5
    running = runtime_seconds({**WORKFLOW, "completed_at": None})
    assert running is not None
    assert running > 0


def test_times_are_local_to_the_second() -> None:
    assert show_time(None) == "-"
    assert len(show_time("2026-08-30T10:00:00.123Z")) == len("2026-08-30 10:00:00")
