"""The place where a person tails: it leads to the latest attempt, and nobody's file is touched for it."""

import os
import threading
from pathlib import Path

import pytest

from workers.log_links import documented_paths, link_logs


def prefix(tmp_path: Path, name: str) -> str:
    """An attempt's log files, with something in them."""
    kept = tmp_path / "state"
    kept.mkdir(exist_ok=True)
    for ending in ("out", "err"):
        (kept / f"{name}.{ending}").write_text(f"{name} {ending}")
    return str(kept / name)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "work" / "a")


def test_the_documented_paths() -> None:
    assert documented_paths("/flow/a") == {"stdout": "/flow/a/stdout.log", "stderr": "/flow/a/stderr.log"}


def test_the_documented_paths_lead_to_the_attempt(tmp_path: Path, folder: str) -> None:
    assert link_logs(folder, prefix(tmp_path, "one")) == documented_paths(folder)
    assert Path(folder, "stdout.log").read_text() == "one out"
    assert Path(folder, "stderr.log").read_text() == "one err"


def test_they_follow_to_the_latest_attempt(tmp_path: Path, folder: str) -> None:
    for name in ("one", "two", "two"):
        assert link_logs(folder, prefix(tmp_path, name)) == documented_paths(folder)
        assert Path(folder, "stdout.log").read_text() == f"{name} out"
    assert sorted(os.listdir(folder)) == ["stderr.log", "stdout.log"]


def test_a_file_that_a_person_put_there_stays(tmp_path: Path, folder: str) -> None:
    os.makedirs(folder)
    Path(folder, "stdout.log").write_text("my own")
    one = prefix(tmp_path, "one")
    assert link_logs(folder, one) == {"stdout": f"{one}.out", "stderr": f"{folder}/stderr.log"}
    assert Path(folder, "stdout.log").read_text() == "my own"


def test_where_no_folder_can_be_made_the_files_themselves_are_named(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("in the way")
    one = prefix(tmp_path, "one")
    for folder in (tmp_path / "work", tmp_path / "work" / "a"):
        assert link_logs(str(folder), one) == {"stdout": f"{one}.out", "stderr": f"{one}.err"}
    assert (tmp_path / "work").read_text() == "in the way"


def test_a_link_that_leads_nowhere_is_led_to_the_attempt(tmp_path: Path, folder: str) -> None:
    os.makedirs(folder)
    os.symlink("/nowhere", f"{folder}/stdout.log")
    link_logs(folder, prefix(tmp_path, "one"))
    assert Path(folder, "stdout.log").read_text() == "one out"


def test_what_a_crash_left_behind_is_in_nobodys_way(tmp_path: Path, folder: str) -> None:
    link_logs(folder, prefix(tmp_path, "one"))
    os.symlink("/nowhere", f"{folder}/stdout.log.wattle-new")
    assert link_logs(folder, prefix(tmp_path, "two")) == documented_paths(folder)
    assert Path(folder, "stdout.log").read_text() == "two out"
    assert sorted(os.listdir(folder)) == ["stderr.log", "stdout.log"]


def test_the_path_leads_somewhere_at_every_moment(tmp_path: Path, folder: str) -> None:
    prefixes = [prefix(tmp_path, name) for name in ("one", "two")]
    link_logs(folder, prefixes[0])
    is_over = threading.Event()

    def switch() -> None:
        for number in range(300):
            link_logs(folder, prefixes[number % 2])
        is_over.set()

    switching = threading.Thread(target=switch)
    switching.start()
    while not is_over.is_set():
        assert Path(folder, "stdout.log").read_text() in ("one out", "two out")
    switching.join()
