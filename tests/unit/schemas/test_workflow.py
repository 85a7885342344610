"""The door for definitions: what comes in, and what is said of what does not."""

import datetime as dt
import json
from typing import Any

import pytest
import yaml

from schemas.errors import ValidationFailed
from schemas.neighbours import MAX_ARGUMENT_BYTES, MAX_EXEC_BYTES
from schemas.problems import MAX_PROBLEMS
from schemas.workflow import MAX_WORKERS, Retry, Worker, Workflow, parse_workflow

# The first example of the reference, as printed there.
EXAMPLE = json.loads("""
{
  "name": "example-workflow",
  "working_dir": "/tmp/example-workflow",
  "workers": [
    {
      "name": "data_fetcher",
      "workflow_name": "example-workflow",
      "command": "python fetch_data.py",
      "args": ["--source", "database"],
      "working_dir": "/tmp/example-workflow",
      "env_vars": {"DATABASE_URL": "sqlite:///data.db"},
      "inputs": null,
      "outputs": {"raw_data": "/tmp/raw_data.json", "metadata": "/tmp/metadata.json"}
    },
    {
      "name": "data_processor",
      "workflow_name": "example-workflow",
      "command": "python process_data.py",
      "args": ["--input", "/tmp/raw_data.json"],
      "working_dir": "/tmp/example-workflow",
      "env_vars": {"PROCESSING_MODE": "batch"},
      "inputs": {"input_data": "data_fetcher/raw_data", "config": "data_fetcher/metadata"},
      "outputs": {"processed_data": "/tmp/processed_data.json"}
    }
  ]
}
""")


def one(**fields: Any) -> dict[str, Any]:
    """A document with one worker that has these fields besides a name and a command."""
    return {"name": "flow", "workers": [{"name": "a", "command": "true", **fields}]}


def problems_of(data: object) -> list[tuple[str, str]]:
    """(path, message) of every problem; none if the document is accepted."""
    try:
        parse_workflow(data)
    except ValidationFailed as error:
        return told(error.details)
    return []


def told(details: object) -> list[tuple[str, str]]:
    assert isinstance(details, list)
    assert all(set(detail) == {"path", "message"} for detail in details)
    "".join(detail["path"] + detail["message"] for detail in details).encode()  # fails for a lone surrogate
    return [(detail["path"], detail["message"]) for detail in details]


def only_problem(data: object) -> tuple[str, str]:
    (problem,) = problems_of(data)
    return problem


def test_the_example_of_the_reference_is_accepted() -> None:
    workflow = parse_workflow(EXAMPLE)
    assert (workflow.name, workflow.working_dir, workflow.fail_fast) == (
        "example-workflow",
        "/tmp/example-workflow",
        False,
    )
    fetcher, processor = workflow.workers
    assert fetcher.args == ["--source", "database"]
    assert fetcher.inputs is None
    assert processor.inputs == {"input_data": "data_fetcher/raw_data", "config": "data_fetcher/metadata"}
    assert workflow.model_dump(mode="json", exclude_unset=True) == EXAMPLE


def test_a_worker_needs_little_and_may_have_much() -> None:
    assert parse_workflow(one()).workers == [Worker(name="a", command="true")]
    full = one(
        after=["b"],
        shell=True,
        retry={"limit": 3, "delay_seconds": 1, "backoff_factor": 1.5, "max_delay_seconds": 9, "exit_codes": [1, 75]},
        timeout_seconds=1.5,
        stop_grace_seconds=0,
        fail_fast=True,
        on_lost="retry",
    )
    (worker,) = parse_workflow({**full, "fail_fast": True}).workers
    assert worker.retry == Retry(limit=3, delay_seconds=1, backoff_factor=1.5, max_delay_seconds=9, exit_codes=[1, 75])
    assert (worker.timeout_seconds, worker.stop_grace_seconds, worker.on_lost) == (1.5, 0, "retry")


def test_a_number_of_retries_is_a_policy() -> None:
    assert parse_workflow(one(retry=3)).workers[0].retry == Retry(limit=3)
    assert only_problem(one(retry=1001)) == ("workers[0].retry.limit", "must be at most 1,000")
    for wrong in (True, "3", 1.5, [3]):
        path, message = only_problem(one(retry=wrong))
        assert path == "workers[0].retry"
        assert message.startswith("must be a number of retries, or an object")


def test_names_are_stored_composed_wherever_they_stand() -> None:
    decomposed, composed = "e\u0301", "\u00e9"
    worker = {"name": decomposed, "workflow_name": decomposed, "command": "true", "outputs": {decomposed: "x"}}
    workflow = parse_workflow({"name": composed, "workers": [{**worker, "after": [decomposed]}]})
    (stored,) = workflow.workers
    assert (stored.name, stored.workflow_name, stored.outputs, stored.after) == (
        composed,
        composed,
        {composed: "x"},
        [composed],
    )


def test_a_definition_cannot_be_changed() -> None:
    workflow = parse_workflow(EXAMPLE)
    with pytest.raises(ValueError, match="frozen"):
        workflow.name = "other"


def test_every_problem_is_told_at_once_in_the_order_of_the_document() -> None:
    assert problems_of(
        {
            "name": "my flow",
            "working_dir": "tmp",
            "colour": 1,
            "workers": [
                {"name": "a", "comand": "true"},
                {"name": "b", "command": "echo 'x", "args": "--x", "retry": {"limt": 1}},
                "c",
                {"name": "a", "command": 5},
            ],
        }
    ) == [
        (
            "name",
            "'my flow' holds ' ', which a name cannot; use letters, digits, '_', '.' or '-', such as 'my_flow'",
        ),
        ("working_dir", "'tmp' is not absolute; write the whole path, such as '/srv/tmp'"),
        ("colour", "unknown field 'colour'; known are name, working_dir, fail_fast, workers"),
        ("workers[0].command", "is missing"),
        ("workers[0].comand", "unknown field 'comand'; did you mean 'command'?"),
        ("workers[1].args", "must be a list, not a string; put it in [ ]"),
        ("workers[1].retry.limt", "unknown field 'limt'; did you mean 'limit'?"),
        ("workers[1].command", "has a single quote (') that is never closed"),
        ("workers[2]", "must be an object, not a string"),
        (
            "workers[3].command",
            "must be a string, not a number; put it in quotes (YAML reads it as something else without them)",
        ),
        ("workers[3].name", "'a' is the name of workers[0] already; each needs its own"),
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "the body must be an object with the fields name, working_dir, fail_fast, workers"),
        ([], "the body must be an object"),
        ("name: x", "the body must be an object"),
        (7, "the body must be an object"),
    ],
)
def test_what_is_no_object_at_all(data: object, said: str) -> None:
    path, message = only_problem(data)
    assert path == ""
    assert message.startswith(said)


@pytest.mark.parametrize(
    ("fields", "path", "said"),
    [
        ({}, "workers", "is missing"),
        ({"workers": None}, "workers", "must be a list, not null"),
        ({"workers": {}}, "workers", "must be a list, not an object"),
        ({"workers": []}, "workers", "is empty; it needs at least one"),
        ({"workers": [{}] * (MAX_WORKERS + 1)}, "workers", "are 100,001; a workflow has at most 100,000"),
    ],
)
def test_the_list_of_workers(fields: dict[str, Any], path: str, said: str) -> None:
    assert only_problem({"name": "flow", **fields}) == (path, said)


QUOTE_IT = "; put it in quotes (YAML reads it as something else without them)"


@pytest.mark.parametrize(
    ("fields", "place", "said"),
    [
        ({"env_vars": {"PORT": 8080}}, ".env_vars.PORT", "must be a string, not a number" + QUOTE_IT),
        ({"env_vars": {"DEBUG": True}}, ".env_vars.DEBUG", "must be a string, not true" + QUOTE_IT),
        ({"env_vars": {"DAY": dt.date(2026, 1, 1)}}, ".env_vars.DAY", "must be a string, not a date" + QUOTE_IT),
        ({"env_vars": {"X": None}}, ".env_vars.X", "must be a string, not null"),
        ({"env_vars": {1: "x"}}, ".env_vars[1]", "the key must be a string, not a number" + QUOTE_IT),
        ({"env_vars": {"A=B": "x"}}, ".env_vars['A=B']", "'A=B' cannot name a variable; use letters, digits and '_'"),
        ({"env_vars": {"": "x"}}, ".env_vars['']", "'' cannot name a variable; use letters, digits and '_'"),
        ({"env_vars": ["A=B"]}, ".env_vars", "must be an object, not a list"),
        ({"args": [1]}, ".args[0]", "must be a string, not a number" + QUOTE_IT),
        ({"args": ("x",)}, ".args", "must be a list, not a tuple"),
        ({"shell": "true"}, ".shell", "must be true or false, not a string; write it without quotes"),
        ({"timeout_seconds": "5"}, ".timeout_seconds", "must be a number, not a string; write it without quotes"),
        ({"timeout_seconds": 0}, ".timeout_seconds", "must be more than 0"),
        ({"timeout_seconds": True}, ".timeout_seconds", "must be a number, not true"),
        ({"timeout_seconds": float("nan")}, ".timeout_seconds", "must be a finite number"),
        ({"timeout_seconds": float("inf")}, ".timeout_seconds", "must be a finite number"),
        ({"timeout_seconds": 10**400}, ".timeout_seconds", "is too large a number"),
        ({"timeout_seconds": 1e12}, ".timeout_seconds", "must be at most 1,000,000,000"),
        ({"stop_grace_seconds": -1}, ".stop_grace_seconds", "must be at least 0"),
        ({"stop_grace_seconds": 3601}, ".stop_grace_seconds", "must be at most 3,600"),
        ({"retry": {"limit": 1.5}}, ".retry.limit", "must be a whole number, not a number"),
        ({"retry": {"exit_codes": []}}, ".retry.exit_codes", "is empty; it needs at least one"),
        ({"retry": {"exit_codes": [0]}}, ".retry.exit_codes[0]", "must be at least 1"),
        ({"retry": {"backoff_factor": 0.5}}, ".retry.backoff_factor", "must be at least 1"),
        ({"on_lost": "ignore"}, ".on_lost", "must be 'fail' or 'retry'"),
        ({"command": " "}, ".command", "is blank; write the program to run and its words"),
        ({"command": "a\x00b"}, ".command", "holds a NUL character"),
        ({"args": ["\ud800"]}, ".args[0]", "holds half of a surrogate pair"),
        ({"env_vars": {"A": "\x00"}}, ".env_vars.A", "holds a NUL character"),
        ({"working_dir": "/a\x00b"}, ".working_dir", "holds a NUL character"),
        ({"working_dir": ""}, ".working_dir", "is empty; write a path or leave it out"),
        ({"working_dir": "~/x"}, ".working_dir", "begins with '~', which is not expanded here"),
        ({"outputs": {"x": ""}}, ".outputs.x", "is empty"),
        ({"outputs": {"a/b": "x"}}, ".outputs['a/b']", "'a/b' holds '/'"),
        ({"inputs": {"x": "\ud800"}}, ".inputs.x", "holds half of a surrogate pair"),
        ({"inputs": {"": "x"}}, ".inputs['']", "is empty; a name begins with a letter or a digit"),
        ({"after": ["../a"]}, ".after[0]", "'../a' holds '/'"),
        ({"after": "b"}, ".after", "must be a list, not a string; put it in [ ]"),
        ({"name": ".."}, ".name", "'..' begins with '.'"),
        ({"name": "x" * 65}, ".name", "'xxxxxxxxxx"),
        ({"workflow_name": "other"}, ".workflow_name", "is 'other', which is not this workflow; leave it out or"),
        ({"workflow_name": "../x"}, ".workflow_name", "'../x' holds '/'"),
        ({1: "x"}, "[1]", "a field name must be a string, not a number; quote it"),
        ({"\ud800": "x"}, "", "a field name holds half of a surrogate pair"),
        ({"a b": "x"}, "['a b']", "unknown field 'a b'; known are name, workflow_name, command"),
        ({"env": {}}, ".env", "unknown field 'env'; did you mean 'env_vars'?"),
        ({"depends_on": []}, ".depends_on", "unknown field 'depends_on'; did you mean 'after'?"),
        ({"timeout": 5}, ".timeout", "unknown field 'timeout'; did you mean 'timeout_seconds'?"),
        ({"shell": False, "command": "a 'b"}, ".command", "has a single quote (') that is never closed"),
        ({"command": "(a; b)", "args": ["c"]}, ".command", "has args but does not end in a simple command"),
    ],
)
def test_each_problem_says_where_and_what_to_do(fields: dict[Any, Any], place: str, said: str) -> None:
    path, message = only_problem({"name": "flow", "workers": [{"name": "a", "command": "true", **fields}]})
    assert path == "workers[0]" + place
    assert message.startswith(said)


def test_yaml_that_reads_as_something_else_is_explained() -> None:
    text = "name: flow\nworkers:\n- {name: a, command: yes, env_vars: {PORT: 80, DAY: 2026-01-01}}\n"
    assert [path for path, _ in problems_of(yaml.safe_load(text))] == [
        "workers[0].command",
        "workers[0].env_vars.PORT",
        "workers[0].env_vars.DAY",
    ]


def test_what_one_word_may_weigh_and_all_together() -> None:
    assert problems_of(one(args=["x" * MAX_ARGUMENT_BYTES] * 7)) == []
    path, message = only_problem(one(args=["", "é" * (MAX_ARGUMENT_BYTES // 2 + 1)]))
    assert (path, message[:28]) == ("workers[0].args[1]", "is 131,072 bytes long; Linux")
    path, message = only_problem(one(env_vars={"A": "x" * (MAX_ARGUMENT_BYTES - 1)}))
    assert path == "workers[0].env_vars.A"
    path, message = only_problem(one(args=["x" * 100_000] * 11))
    assert (path, message[-29:]) == ("workers[0]", "; at most 1,048,576 are taken")
    assert f"{MAX_EXEC_BYTES:,}" in message


def test_workers_are_checked_in_slices_but_counted_in_one() -> None:
    workers: list[Any] = [{"name": f"w{number}", "command": "true"} for number in range(1001)]
    assert len(parse_workflow({"name": "flow", "workers": workers}).workers) == 1001
    workers[250] = {"name": "w7", "command": "true"}
    workers[500]["command"] = 1
    workers[1000] = None
    assert [(path, message[:20]) for path, message in problems_of({"name": "flow", "workers": workers})] == [
        ("workers[250].name", "'w7' is the name of "),
        ("workers[500].command", "must be a string, no"),
        ("workers[1000]", "must be an object, n"),
    ]


def test_of_very_many_problems_the_first_are_told_and_the_rest_counted() -> None:
    broken = [{"name": f"w{number}", "command": 1, "arg": 1} for number in range(1000)]
    found = problems_of({"name": "flow", "workers": broken})
    assert len(found) == MAX_PROBLEMS + 1
    assert found[MAX_PROBLEMS - 1][0] == "workers[49].arg"
    assert found[-1] == ("", "and 1900 more problems")
    one_over = [{"name": f"w{number}", "command": 1} for number in range(MAX_PROBLEMS + 1)]
    assert problems_of({"name": "flow", "workers": one_over})[-1] == ("", "and 1 more problem")
    assert len(problems_of({"name": "flow", "workers": one_over[:-1]})) == MAX_PROBLEMS


def test_the_values_of_variables_are_not_repeated_in_a_message() -> None:
    for value in (4711_0815, "4711_0815\x00", "4711_0815\ud800"):
        assert "4711" not in str(problems_of(one(env_vars={"SECRET": value})))


def test_the_models_check_by_themselves() -> None:
    with pytest.raises(ValueError, match="begins with"):
        Workflow(name="..", workers=[Worker(name="a", command="true")])
    with pytest.raises(ValueError, match="holds a NUL"):
        Worker(name="a", command="a\x00")


def test_two_inputs_of_one_variable_are_refused() -> None:
    document = {"name": "w", "workers": [{"name": "a", "command": "true", "inputs": {"a-b": "x", "a.b": "y"}}]}
    with pytest.raises(ValidationFailed) as caught:
        parse_workflow(document)
    assert caught.value.details == [
        {
            "path": "workers[0].inputs['a.b']",
            "message": "and 'a-b' would both be $WATTLE_INPUT_A_B for the command; rename one",
        }
    ]


def test_names_of_any_script_keep_their_variables_apart() -> None:
    document = {"name": "w", "workers": [{"name": "a", "command": "true", "outputs": {"数据": "x", "配置": "y"}}]}
    assert parse_workflow(document).workers[0].outputs == {"数据": "x", "配置": "y"}
