import json
import logging
import sys
from collections.abc import Iterator

import pytest

from scheduler.log_config import JsonFormatter, TextFormatter, configure_logging


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards as pytest had it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: str, *args: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("scheduler.daemon", logging.WARNING, "file", 1, message, args, None)
    made.__dict__.update(fields)
    made.created = 1725021296.789
    return made


def with_traceback(made: logging.LogRecord) -> logging.LogRecord:
    try:
        raise KeyError("lost")
    except KeyError:
        made.exc_info = sys.exc_info()
    return made


def test_text_is_one_line_with_the_known_fields() -> None:
    line = TextFormatter().format(record("saw %d", 3, run_id="r1", request_id="q1", password="x"))

    assert line == "2024-08-30T12:34:56.789Z warning scheduler.daemon: saw 3  request_id=q1  run_id=r1"


def test_text_from_users_cannot_make_up_a_line_or_move_the_cursor() -> None:
    line = TextFormatter().format(record("no workflow %r or %s", "a\nb", "c\nerror forged\x1b[2J\x9b"))

    assert "\n" not in line
    assert "\x1b" not in line
    assert r"c\x0aerror forged\x1b[2J\x9b" in line


def test_text_has_the_traceback_below() -> None:
    lines = TextFormatter().format(with_traceback(record("failed"))).split("\n")

    assert lines[0].endswith("scheduler.daemon: failed")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "KeyError: 'lost'"


def test_json_is_one_object_with_the_known_fields() -> None:
    line = JsonFormatter().format(with_traceback(record("saw %s", "a\nb", workflow="w", worker="n", attempt_id=None)))

    entry = json.loads(line)
    assert "\n" not in line
    assert entry.pop("traceback").endswith("KeyError: 'lost'")
    assert entry == {
        "timestamp": "2024-08-30T12:34:56.789Z",
        "level": "warning",
        "logger": "scheduler.daemon",
        "message": "saw a\nb",
        "workflow": "w",
        "worker": "n",
    }


def test_json_holds_what_no_json_can_by_its_escape() -> None:
    entry = json.loads(JsonFormatter().format(record("file %s", "\udcff", run_id=object())))

    assert entry["message"] == r"file \udcff"
    assert "object" in entry["run_id"]


def test_configuring_sets_the_level_and_writes_to_stderr(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("warning", "json")

    logging.getLogger("a").info("quiet")
    logging.getLogger("a").warning("loud")

    out, err = capsys.readouterr()
    assert out == ""
    assert [json.loads(line)["message"] for line in err.splitlines()] == ["loud"]


def test_configuring_twice_does_not_double_the_lines(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging()
    configure_logging()

    logging.getLogger("a").info("once")

    assert capsys.readouterr().err.count("once") == 1
