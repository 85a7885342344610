"""What a workflow and its workers are, and the one door through which a definition comes in: `parse_workflow`."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails

from schemas.errors import ValidationFailed
from schemas.names import check_name
from schemas.neighbours import Neighbours
from schemas.paths import check_absolute_path, check_path
from schemas.problems import Problems, explain, format_path
from schemas.text import check_text, quote

MAX_WORKERS = 100_000
MAX_RETRIES = 1000
MAX_SECONDS = 1_000_000_000

# Workers are validated so many at a time: pydantic holds the interpreter while it works, and the event loop of
# the daemon must not wait for 10,000 of them.
_SLICE = 250


def check_variable(text: str) -> str:
    """`text` unchanged; ValueError if it cannot be the name of an environment variable."""
    if not text or "=" in text:
        raise ValueError(f"{quote(text)} cannot name a variable; use letters, digits and '_'")
    return check_text(text)


def _expand_retry(value: object) -> object:
    if type(value) is int:
        return {"limit": value}
    if value is None or isinstance(value, dict | BaseModel):
        return value
    raise ValueError("must be a number of retries, or an object with the fields limit, delay_seconds...")


Text = Annotated[str, AfterValidator(check_text)]
# As near as a pattern that reads the same in every dialect comes to `check_name`.
Name = Annotated[
    str, AfterValidator(check_name), WithJsonSchema({"type": "string", "pattern": r"^[^\s/_.-][^\s/]{0,63}$"})
]
FilePath = Annotated[Text, AfterValidator(check_path), WithJsonSchema({"type": "string", "minLength": 1})]
AbsolutePath = Annotated[Text, AfterValidator(check_absolute_path)]
Variable = Annotated[str, AfterValidator(check_variable)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
RetryLimit = Annotated[int, Field(ge=0, le=MAX_RETRIES)]


class _Strict(BaseModel):
    """No coercion, no unknown fields, no change after the check."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Retry(_Strict):
    """When and how often a failed worker is launched again. A plain number N stands for {"limit": N}."""

    limit: RetryLimit = Field(default=0, description="launches after the first one, at most")
    delay_seconds: Seconds = Field(default=1.0, description="pause before the second launch")
    backoff_factor: float = Field(default=2.0, ge=1, le=MAX_SECONDS, description="each pause is so much longer")
    max_delay_seconds: Seconds = Field(default=3600.0, description="no pause is longer")
    exit_codes: list[Annotated[int, Field(ge=1, le=255)]] | None = Field(
        default=None, min_length=1, description="only these are tried again; null: every failure"
    )


class Worker(_Strict):
    """A node of a workflow: a command, its files and its policy."""

    name: Name = Field(description="letters and digits of any script, '_', '.', '-'; unique in the workflow")
    workflow_name: Name | None = Field(default=None, description="may be left out; must match if given")
    command: Text = Field(
        description="program and words, run without a shell unless they need one", json_schema_extra={"minLength": 1}
    )
    args: list[Text] | None = Field(default=None, description="words appended to the command, never read by a shell")
    working_dir: FilePath | None = Field(default=None, description="absolute, or relative to the workflow's")
    env_vars: dict[Variable, Text] | None = Field(
        default=None,
        description="added to the environment",
        json_schema_extra={"propertyNames": {"pattern": "^[^=]+$"}},
    )
    inputs: dict[Name, FilePath] | None = Field(
        default=None, description="'worker/output' of another worker, or a path that must exist at the start"
    )
    outputs: dict[Name, FilePath] | None = Field(default=None, description="files that must exist after exit code 0")
    after: list[Name] | None = Field(default=None, description="workers to wait for without reading a file of theirs")
    shell: bool | None = Field(default=None, description="force or forbid /bin/sh; null: only if the command needs it")
    retry: Annotated[
        Retry | None,
        BeforeValidator(_expand_retry, json_schema_input_type=RetryLimit | Retry | None),
    ] = Field(default=None, description="a number of retries, or the whole policy")
    timeout_seconds: Annotated[float, Field(gt=0, le=MAX_SECONDS)] | None = Field(
        default=None, description="an attempt that runs longer is stopped and has failed"
    )
    stop_grace_seconds: Annotated[float, Field(ge=0, le=3600)] | None = Field(
        default=None, description="time between TERM and KILL"
    )
    fail_fast: bool | None = Field(default=None, description="its failure stops the run; null: as the workflow says")
    on_lost: Literal["fail", "retry"] = Field(default="fail", description="what an attempt with an unseen end becomes")


class Workflow(_Strict):
    """A named definition: workers that form a DAG through their inputs, outputs and `after`."""

    name: Name
    working_dir: AbsolutePath | None = None
    fail_fast: bool = False
    workers: Annotated[list[Worker], Field(min_length=1, max_length=MAX_WORKERS)]


_WORKERS = TypeAdapter(list[Worker])
_STAND_IN = Worker(name="stand-in", command="true")
_FIELDS = {model: list(model.model_fields) for model in (Workflow, Worker, Retry)}


def parse_workflow(data: object) -> Workflow:
    """The definition in `data`, which comes from JSON or YAML; safe in any thread, does no I/O.

    ValidationFailed with every problem at once in `details`, each with its path (`workers[3].command`), the
    first 100 in the order of the document. What the workers say of each other is for `build_graph`.
    """
    problems = Problems()
    if not isinstance(data, dict):
        problems.add("", "the body must be an object with the fields " + ", ".join(_FIELDS[Workflow]))
        raise ValidationFailed(details=problems.details())
    head = _parse_head(data, problems)
    workers = list(_parse_workers(data, problems))
    if head is None or problems:
        raise ValidationFailed(details=problems.details())
    return head.model_copy(update={"workers": workers})


def _parse_head(data: dict[Any, Any], problems: Problems) -> Workflow | None:
    """Everything but the workers; a list of them is left to `_parse_workers`."""
    workers = data.get("workers")
    if isinstance(workers, list) and workers:
        data = {**data, "workers": [_STAND_IN]}
    try:
        return Workflow.model_validate(data)
    except ValidationError as error:
        for found in error.errors(include_url=False):
            problems.add(format_path(found["loc"]), explain(found, _FIELDS[Workflow]))
    return None


def _parse_workers(data: dict[Any, Any], problems: Problems) -> Iterator[Worker]:
    raw = data.get("workers")
    if not isinstance(raw, list):
        return
    if len(raw) > MAX_WORKERS:
        problems.add("workers", f"are {len(raw):,}; a workflow has at most {MAX_WORKERS:,}")
        return
    beside = Neighbours(data.get("name"))
    for first in range(0, len(raw), _SLICE):
        yield from _parse_slice(raw[first : first + _SLICE], first, beside, problems)


def _parse_slice(raw: list[Any], first: int, beside: Neighbours, problems: Problems) -> list[Worker]:
    workers: list[Worker] = []
    found: list[tuple[int, Sequence[str | int], str]] = []
    try:
        workers = _WORKERS.validate_python(raw)
    except ValidationError as error:
        if problems.is_full:
            problems.count_more(error.error_count())
        else:
            found = [_explain_worker(each, first) for each in error.errors(include_url=False)]
    for index, worker in enumerate(raw, first):
        if isinstance(worker, dict):
            found += [(index, *problem) for problem in beside.check(worker, index)]
    for index, place, message in sorted(found, key=lambda problem: problem[0]):
        problems.add(format_path(["workers", index, *place]), message)
    return workers


def _explain_worker(error: ErrorDetails, first: int) -> tuple[int, Sequence[str | int], str]:
    at, *place = error["loc"]
    model = Retry if place[:1] == ["retry"] else Worker
    return first + int(at), place, explain(error, _FIELDS[model])
