"""The status line is drawn where it can be redrawn, and never mixed up with the lines above it."""

from scheduler.cli.progress import StatusLine, counts_text, progress_text
from scheduler.cli.terminal import Screen
from tests.unit.cli.screens import Terminal, pipe, terminal


def test_lines_scroll_above_the_status_line() -> None:
    screen, written = terminal()
    with StatusLine(screen) as line:
        line.show("1/2")
        line.print("a ended")
        line.show("2/2")
    assert written.getvalue() == "\r\x1b[K1/2" + "\r\x1b[Ka ended\n1/2" + "\r\x1b[K2/2" + "\r\x1b[K"


def test_a_pipe_gets_only_the_lines() -> None:
    for screen, written in (pipe(), terminal(TERM="dumb")):
        with StatusLine(screen) as line:
            line.show("1/2")
            line.print("a ended")
        assert written.getvalue() == "a ended\n"


def test_the_line_never_wraps() -> None:
    screen, written = terminal()
    StatusLine(screen).show("数" * 100)
    assert written.getvalue() == "\r\x1b[K" + "数" * 39 + "…"


def test_how_far_a_run_has_come() -> None:
    screen, _ = pipe()
    counts = {"created": 1, "running": 2, "completed": 2, "failed": 1, "cancelled": 0}
    assert progress_text(screen, counts, 61) == "[████████████░░░░░░░░░░░░] 3/6  2 running, 1 failed  1:01"
    assert progress_text(screen, {}, 0) == "[░░░░░░░░░░░░░░░░░░░░░░░░] 0/0  0.00 s"


def test_a_bar_without_unicode() -> None:
    class Latin(Terminal):
        encoding = "iso-8859-1"

    text = progress_text(Screen(Latin(), {}), {"completed": 1, "running": 1}, 1)
    assert text == "[############............] 1/2  1 running  1.00 s"


def test_counts_in_words() -> None:
    assert counts_text({"created": 0, "running": 1, "completed": 3, "failed": 0}) == "3 completed, 1 running"
    assert counts_text({}) == "no workers"
