"""Paths: from what the definition says to where the file is."""

import pytest

from schemas.paths import (
    check_absolute_path,
    check_path,
    log_dir,
    resolve_path,
)


@pytest.mark.parametrize(
    ("path", "resolved"),
    [
        ("raw.json", "/w/raw.json"),
        ("./raw.json", "/w/raw.json"),
        ("a//b/../c", "/w/a/c"),
        ("../raw.json", "/raw.json"),
        ("../../..", "/"),
        (".", "/w"),
        ("/tmp/x/", "/tmp/x"),
        ("//tmp/x", "/tmp/x"),
        ("数据/文件", "/w/数据/文件"),
    ],
)
def test_a_path_is_absolute_and_normalised(path: str, resolved: str) -> None:
    assert resolve_path(path, "/w") == resolved


def test_logs_are_in_a_directory_named_after_the_worker() -> None:
    assert log_dir("greet", "/flow") == "/flow/greet"


@pytest.mark.parametrize(
    "path", ["a", "/a/b", "./~", "a b", "$HOME/x", "x" * 255, "é" * 127, "/".join(["x" * 254] * 16)]
)
def test_a_possible_path_passes_unchanged(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "is empty"),
        ("~", "not expanded"),
        ("~/data", "not expanded"),
        ("a/" + "x" * 256, "256 bytes; each has at most 255"),
        ("é" * 128, "256 bytes"),
        ("/".join(["x" * 255] * 17), "4351 bytes long; a path has at most 4095"),
    ],
)
def test_a_path_that_no_file_can_have_is_refused(path: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_path(path)


@pytest.mark.parametrize(
    ("path", "said"), [("tmp/x", "'tmp/x' is not absolute"), ("", "is empty"), ("~/x", "expanded")]
)
def test_a_workflow_needs_an_absolute_directory(path: str, said: str) -> None:
    assert check_absolute_path("/tmp/x") == "/tmp/x"
    with pytest.raises(ValueError, match=said):
        check_absolute_path(path)
