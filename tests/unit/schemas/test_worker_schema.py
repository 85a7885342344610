"""The JSON Schema of a worker: the documented shape, and the same verdict as the door."""

import json
from typing import Any

import pytest

from schemas.errors import ValidationFailed
from schemas.worker_schema import worker_json_schema
from schemas.workflow import Worker, parse_workflow
from tests.unit.schemas.test_workflow import EXAMPLE

# `properties` as the reference shows them.
DOCUMENTED: dict[str, dict[str, Any]] = {
    "name": {"type": "string"},
    "workflow_name": {"type": "string"},
    "command": {"type": "string"},
    "args": {"type": "array", "items": {"type": "string"}},
    "working_dir": {"type": "string"},
    "env_vars": {"type": "object", "additionalProperties": {"type": "string"}},
}


def test_the_documented_properties_have_the_documented_shape() -> None:
    schema = worker_json_schema()
    assert schema["type"] == "object"
    assert list(schema)[:2] == ["type", "properties"]
    for name, documented in DOCUMENTED.items():
        assert documented.items() <= schema["properties"][name].items()


def test_the_schema_is_that_of_the_model_and_stands_alone() -> None:
    schema = worker_json_schema()
    assert list(schema["properties"]) == list(Worker.model_fields)
    assert schema["required"] == ["name", "command"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["outputs"]["additionalProperties"] is False
    text = json.dumps(schema)
    assert "$ref" not in text
    assert "$defs" not in text
    assert worker_json_schema() is not worker_json_schema()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"args": ["a"], "env_vars": {"A": "b"}, "working_dir": "x", "workflow_name": "flow"},
        {"inputs": None, "outputs": {"数据.json": "x"}, "after": ["b"]},
        {"retry": 3},
        {"retry": {"limit": 3, "exit_codes": [1]}},
        {"timeout_seconds": 0.5, "stop_grace_seconds": 0, "shell": False, "on_lost": "retry", "fail_fast": None},
    ],
)
def test_what_the_door_lets_in_fits_the_schema(fields: dict[str, Any]) -> None:
    worker = {"name": "a", "command": "true", **fields}
    parse_workflow({"name": "flow", "workers": [worker]})
    assert problems(worker) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ".."},
        {"name": "a/b"},
        {"name": "a b"},
        {"command": ""},
        {"comand": "x"},
        {"args": "x"},
        {"args": [1]},
        {"env_vars": {"A": 1}},
        {"env_vars": {"A=B": "c"}},
        {"outputs": {"a/b": "c"}},
        {"inputs": {"a": ""}},
        {"retry": 1001},
        {"retry": {"limt": 1}},
        {"timeout_seconds": 0},
        {"stop_grace_seconds": 3601},
        {"on_lost": "x"},
        {"shell": 1},
    ],
)
def test_what_the_schema_refuses_the_door_refuses(fields: dict[str, Any]) -> None:
    worker = {"name": "a", "command": "true", **fields}
    assert problems(worker) != []
    with pytest.raises(ValidationFailed):
        parse_workflow({"name": "flow", "workers": [worker]})


def test_the_workers_of_the_reference_fit() -> None:
    assert [problems(worker) for worker in EXAMPLE["workers"]] == [[], []]


def problems(worker: dict[str, Any]) -> list[str]:
    # comes with Ray, which Wattle depends on
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(worker_json_schema())
    return [error.message for error in validator.iter_errors(worker)]
