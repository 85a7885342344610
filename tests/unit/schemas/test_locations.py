"""Locations: where a worker works and where its files are."""

import pytest

from schemas.locations import resolve_dir, resolve_inputs, resolve_outputs
from schemas.workflow import Worker


@pytest.mark.parametrize(
    ("given", "resolved"), [(None, "/flow"), ("/else/where", "/else/where"), ("sub/x", "/flow/sub/x"), ("..", "/")]
)
def test_the_directory_of_a_worker(given: str | None, resolved: str) -> None:
    assert resolve_dir(Worker(name="a", command="true", working_dir=given), "/flow/") == resolved


def test_inputs_and_outputs_become_absolute() -> None:
    worker = Worker(name="b", command="true", inputs={"x": "a/raw", "y": "./dir/file"}, outputs={"sum": "out/sum.txt"})
    assert resolve_outputs(worker, "/flow") == {"sum": "/flow/out/sum.txt"}
    assert resolve_inputs(worker, "/flow", {"a": {"raw": "/tmp/raw.json"}}) == {
        "x": "/tmp/raw.json",
        "y": "/flow/dir/file",
    }
    bare = Worker(name="c", command="true")
    assert resolve_outputs(bare, "/flow") == resolve_inputs(bare, "/flow", {}) == {}
