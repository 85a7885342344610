"""Every example is valid, and the verb prints or writes it whole."""

import json
from pathlib import Path

import pytest

from scheduler.cli.documents import read_document
from scheduler.cli.example import examples_dir
from schemas.graph import build_graph
from schemas.workflow import parse_workflow
from tests.unit.cli.conftest import Run

NAMES = ["data-pipeline", "data-pipeline.yaml", "fan-out", "hello-world", "retry-and-timeout"]


def test_the_names(run: Run) -> None:
    assert run("example", "--list").out.split() == NAMES
    assert json.loads(run("example", "--list", "--json").out) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_example_is_valid(run: Run, tmp_path: Path, name: str) -> None:
    path = tmp_path / "example"
    path.write_text(run("example", name).out, encoding="utf-8")
    document, _ = read_document(str(path))
    workflow = parse_workflow(document)
    assert build_graph(workflow, str(tmp_path)).order
    assert json.loads(run("example", name, "--json").out)["name"] == workflow.name


def test_the_first_is_the_references(run: Run) -> None:
    """The JSON file and its YAML twin are the same workflow."""
    printed = json.loads(run("example").out)
    twin, _ = read_document(f"{examples_dir()}/data-pipeline.yaml")
    assert printed == twin
    assert [worker["name"] for worker in printed["workers"]] == ["fetch_data", "process_data"]


def test_an_example_with_scripts_says_so_and_can_be_written(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "new"
    shown = run("example", "fan-out")
    assert "--to DIR" in shown.err
    written = run("example", "fan-out", "--to", str(place))
    assert [Path(line).name for line in written.out.splitlines()] == [
        "fan-out.yaml",
        "count.py",
        "merge.py",
        "split.py",
    ]
    assert sorted(path.name for path in place.iterdir()) == ["count.py", "fan-out.yaml", "merge.py", "split.py"]
    again = run("example", "fan-out", "--to", str(place))
    assert (again.code, "exists already" in again.err) == (1, True)


def test_an_unknown_example_is_answered_with_all(run: Run) -> None:
    shown = run("example", "nothing")
    assert shown.code == 1
    assert shown.err.splitlines() == ["wattle: there is no example 'nothing'", f"  There are: {', '.join(NAMES)}"]


def test_a_place_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shown = run("example", "hello-world", "--to", str(tmp_path / "file" / "x"))
    assert (shown.code, "cannot write to" in shown.err) == (1, True)
