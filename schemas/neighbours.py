"""The checks of a worker that need more than one field, or more than one worker, to be seen together.

They read the raw document, so that they find their problems also where another field is wrong.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from schemas.command import check_command
from schemas.names import check_name, is_name, variable_name
from schemas.text import quote

# What Linux takes as one argument or one variable (128 KiB with the NUL at its end), whatever the rest is.
MAX_ARGUMENT_BYTES = 131_071
MAX_EXEC_BYTES = 1024 * 1024

Place = tuple[str | int, ...]
Problem = tuple[Place, str]


class Neighbours:
    """Sees the workers of one document one after the other and remembers their names."""

    def __init__(self, workflow_name: object) -> None:
        self._workflow_name = _name(workflow_name)
        self._first_with: dict[str, int] = {}

    def check(self, worker: Mapping[Any, Any], index: int) -> Iterator[Problem]:
        """The problems of the raw `worker` at `index`, each with its place inside the worker."""
        yield from self._check_names(worker, index)
        yield from _check_command(worker)
        yield from _check_size(worker)
        yield from _check_variables(worker)

    def _check_names(self, worker: Mapping[Any, Any], index: int) -> Iterator[Problem]:
        name = _name(worker.get("name"))
        first = index if name is None else self._first_with.setdefault(name, index)
        if name is not None and first != index:
            yield ("name",), f"{quote(name)} is the name of workers[{first}] already; each needs its own"
        workflow = _name(worker.get("workflow_name"))
        if workflow and self._workflow_name and workflow != self._workflow_name:
            advice = f"leave it out or write {quote(self._workflow_name)}"
            yield ("workflow_name",), f"is {quote(workflow)}, which is not this workflow; {advice}"


def _name(raw: object) -> str | None:
    return check_name(raw) if isinstance(raw, str) and is_name(raw) else None


def _check_command(worker: Mapping[Any, Any]) -> Iterator[Problem]:
    command, shell, args = worker.get("command"), worker.get("shell"), worker.get("args")
    if not isinstance(command, str) or not isinstance(shell, bool | None):
        return
    problem = check_command(command, shell, args if isinstance(args, list) else ())
    if problem:
        yield ("command",), problem


def _check_variables(worker: Mapping[Any, Any]) -> Iterator[Problem]:
    """Whether each input and output has a WATTLE_INPUT_<NAME> or WATTLE_OUTPUT_<NAME> of its own."""
    for field in ("inputs", "outputs"):
        names = worker.get(field)
        first_with: dict[str, str] = {}
        for name in names if isinstance(names, dict) else ():
            variable = variable_name(name) if isinstance(name, str) else ""
            first = first_with.setdefault(variable, name)
            if first != name and variable:
                full = f"WATTLE_{field[:-1].upper()}_{variable}"
                yield (field, name), f"and {quote(first)} would both be ${full} for the command; rename one"


def _check_size(worker: Mapping[Any, Any]) -> Iterator[Problem]:
    """Whether Linux can execute it: each word and variable for itself, and all of them together."""
    strings = list(_exec_strings(worker))
    # no character has more than 4 bytes: nearly every worker is done here
    if 4 * sum(len(text) for _, text in strings) <= MAX_ARGUMENT_BYTES:
        return
    sizes = [len(text.encode("utf-8", "replace")) for _, text in strings]
    for (place, _), size in zip(strings, sizes, strict=True):
        if size > MAX_ARGUMENT_BYTES:
            yield place, f"is {size:,} bytes long; Linux takes at most {MAX_ARGUMENT_BYTES:,}; put it into a file"
    if sum(sizes) > MAX_EXEC_BYTES:
        yield (), f"command, args and env_vars are {sum(sizes):,} bytes together; at most {MAX_EXEC_BYTES:,} are taken"


def _exec_strings(worker: Mapping[Any, Any]) -> Iterator[tuple[Place, str]]:
    command, args, variables = worker.get("command"), worker.get("args"), worker.get("env_vars")
    if isinstance(command, str):
        yield ("command",), command
    for at, word in enumerate(args if isinstance(args, list) else ()):
        if isinstance(word, str):
            yield ("args", at), word
    for name, value in (variables if isinstance(variables, dict) else {}).items():
        if isinstance(name, str) and isinstance(value, str):
            yield ("env_vars", name), f"{name}={value}"
