"""A workflow file is read as it was meant, and what is broken in it is named with its place."""

import io
import json
import os
from pathlib import Path

import pytest

from scheduler.cli.documents import read_document
from scheduler.cli.errors import CommandFailed


def written(tmp_path: Path, name: str, text: str | bytes) -> str:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w.json", '{"name": "x", "workers": []}'),
        ("w.yaml", "name: x\nworkers: []\n"),
        ("w.yml", "{name: x, workers: []}"),
        ("w", '\n {"name": "x", "workers": []}'),
        ("w.txt", "# a comment\nname: x\nworkers: []\n"),
        ("w.json", b'\xef\xbb\xbf{"name": "x", "workers": []}'),
    ],
)
def test_json_and_yaml_are_told_apart(tmp_path: Path, name: str, text: str | bytes) -> None:
    document, body = read_document(written(tmp_path, name, text))
    assert document == {"name": "x", "workers": []} == json.loads(body)


def test_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"name: x\nworking_dir: here\n")))
    assert read_document("-")[0]["working_dir"] == str(tmp_path / "here")


@pytest.mark.parametrize(
    ("given", "expected"),
    [("out", "{dir}/out"), (".", "{dir}"), ("../up", "{parent}/up"), ("/abs", "/abs"), ("~/data", "{home}/data")],
)
def test_a_relative_working_dir_is_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "sub/w.yaml", f"name: x\nworking_dir: {given}\nworkers: [{{name: a, working_dir: b}}]\n")
    document, _ = read_document("sub/w.yaml")
    places = {"dir": tmp_path / "sub", "parent": tmp_path, "home": os.path.expanduser("~")}
    assert document["working_dir"] == expected.format(**places)
    # a worker's is relative to the workflow's, which the daemon knows
    assert document["workers"][0]["working_dir"] == "b"


@pytest.mark.parametrize("value", [None, 5, "", ["x"]])
def test_what_is_no_path_is_left_to_the_daemon(tmp_path: Path, value: object) -> None:
    path = written(tmp_path, "w.json", json.dumps({"name": "x", "working_dir": value}))
    assert read_document(path)[0]["working_dir"] == value


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("w.json", '{"name": "x",}', r"w\.json: broken JSON at line 1 column"),
        ("w.json", '{"name": "x", "name": "y"}', r"the key 'name' is given twice"),
        ("w.json", b'{"name": "\xff"}', r"byte 10 is not valid UTF-8"),
        ("w.json", "[" * 100_000, r"nested deeper than 32 levels"),
        ("w.json", '{"timeout_seconds": NaN}', r"NaN is not a finite number"),
        ("w.yaml", "name: x\n  workers: [", r"w\.yaml: broken YAML at line 2 column"),
        ("w.yaml", "name: x\nname: y\n", r"the key 'name' is given twice at line 2"),
        ("w.yaml", "name: x\n---\nname: y\n", r"more than one document"),
        ("w.yaml", "", r"holds nothing, not a mapping"),
        ("w.yaml", "- name: x\n", r"holds a list"),
        ("w.json", "3", r"holds a number"),
        ("w.json", "true", r"holds true or false"),
    ],
)
def test_what_is_broken_is_named(tmp_path: Path, name: str, text: str | bytes, sentence: str) -> None:
    with pytest.raises(CommandFailed, match=sentence):
        read_document(written(tmp_path, name, text))


def test_aliases_may_not_explode(tmp_path: Path) -> None:
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]" for at in range(1, 9)]
    with pytest.raises(CommandFailed, match="aliases expand to more than"):
        read_document(written(tmp_path, "w.yaml", "\n".join(lines)))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"cannot read .*gone\.json: No such file or directory"):
        read_document(str(tmp_path / "gone.json"))
    with pytest.raises(CommandFailed, match="Is a directory"):
        read_document(str(tmp_path))
