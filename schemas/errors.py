"""Every way a request can fail: one exception tree that knows its code, its HTTP status and its sentence.

The first line of a docstring is the English message; `{names}` in it are attributes of the exception,
declared as annotations and given by keyword. Raise them anywhere; one middleware makes the error envelope.
"""

# ruff: noqa: N818  the class names are the error codes, which carry no "Error" either

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, dataclass_transform

from schemas.messages import MESSAGES, Language

Details = list[dict[str, Any]] | dict[str, Any] | None

# A message names at most so many items of a list; the whole list travels in `details`.
_NAMED_AT_MOST = 5


@dataclass_transform(kw_only_default=True)
class _KeywordError(Exception):
    """Gives every subclass a keyword-only constructor over its annotations, for mypy and at run time."""

    _required: ClassVar[frozenset[str]] = frozenset()
    _optional: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        fields = {
            name
            for name, kind in inspect.get_annotations(cls).items()
            if getattr(kind, "__origin__", None) is not ClassVar
        }
        optional = {name for name in fields if hasattr(cls, name)}
        cls._optional |= optional
        cls._required |= fields - optional

    def __init__(self, **given: object) -> None:
        wrong = (self._required - given.keys()) | (given.keys() - self._required - self._optional)
        if wrong:
            raise TypeError(f"{type(self).__name__}: missing or unknown: {', '.join(sorted(wrong))}")
        super().__init__()
        for name, value in given.items():
            setattr(self, name, value)


class WattleError(_KeywordError):
    """Something went wrong"""

    code: ClassVar[str] = "INTERNAL_ERROR"
    status: ClassVar[int] = 500

    details: Details = None
    retry_after_seconds: int | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # -OO strips docstrings, and with them every English message: fail at import, not in the first error
        if not cls.__doc__:
            raise RuntimeError(f"{cls.__name__} has no docstring, which is its message (is python -OO in use?)")
        MESSAGES[cls.code]["en"] = cls.__doc__.partition("\n")[0]

    @property
    def values(self) -> dict[str, object]:
        """The attributes by name, without `details` and `retry_after_seconds`."""
        names = sorted((self._required | self._optional) - {"details", "retry_after_seconds"})
        return {name: getattr(self, name) for name in names}

    def message(self, language: Language = "en") -> str:
        """The sentence for a person, in `language`."""
        return MESSAGES[self.code][language].format_map(self._shown())

    def __str__(self) -> str:
        return self.message("en")

    def _shown(self) -> Mapping[str, object]:
        """What the message may name; lists are joined and cut short."""
        shown = {**self.values, "retry_after_seconds": self.retry_after_seconds}
        return {name: _joined(value) if isinstance(value, list) else value for name, value in shown.items()}


def _joined(items: list[Any]) -> str:
    more = len(items) - _NAMED_AT_MOST
    text = ", ".join(str(item) for item in items[:_NAMED_AT_MOST])
    return f"{text} and {more} more" if more > 0 else text


class WorkflowNotFound(WattleError):
    """Workflow '{name}' does not exist"""

    code = "WORKFLOW_NOT_FOUND"
    status = 404
    name: str


class WorkerNotFound(WattleError):
    """Worker '{workflow}/{name}' does not exist"""

    code = "WORKER_NOT_FOUND"
    status = 404
    workflow: str
    name: str


class RunNotFound(WattleError):
    """Run '{run_id}' does not exist"""

    code = "RUN_NOT_FOUND"
    status = 404
    run_id: str


class RouteNotFound(WattleError):
    """There is nothing at '{path}'"""

    code = "ROUTE_NOT_FOUND"
    status = 404
    path: str


class MethodNotAllowed(WattleError):
    """'{path}' does not answer {method}"""

    code = "METHOD_NOT_ALLOWED"
    status = 405
    method: str
    path: str
    allowed: list[str] = []  # noqa: RUF012  a default of the constructor, never changed


class InvalidRequest(WattleError):
    """The request is not valid: {reason}"""

    code = "INVALID_REQUEST"
    status = 400
    reason: str


class UnsupportedMediaType(WattleError):
    """Content-Type '{given}' is not accepted, send application/json or application/yaml"""

    code = "UNSUPPORTED_MEDIA_TYPE"
    status = 415
    given: str = ""


class PayloadTooLarge(WattleError):
    """The body is larger than {limit_bytes} bytes"""

    code = "PAYLOAD_TOO_LARGE"
    status = 413
    limit_bytes: int


class ValidationFailed(WattleError):
    """Validation failed: {summary}

    `details` is a list of {"path", "message"}, every problem at once; the message shows the first.
    """

    code = "VALIDATION_ERROR"
    status = 422

    def _shown(self) -> Mapping[str, object]:
        return {"summary": _first_problem(self.details)}


def _first_problem(details: Details) -> str:
    """'path: message' of the first problem and how many more there are."""
    if not isinstance(details, list) or not details:
        return "see details"
    path, message = details[0].get("path", ""), details[0].get("message", "")
    first = f"{path}: {message}" if path else str(message)
    return f"{first} (and {len(details) - 1} more)" if len(details) > 1 else first


class DependencyValidationFailed(WattleError):
    """Dependency check failed: worker '{worker}' depends on '{dependency}' but that output does not exist"""

    code = "DEPENDENCY_VALIDATION_FAILED"
    status = 422
    worker: str
    dependency: str


class CircularDependency(WattleError):
    """Circular dependency detected, the workflow cannot be executed

    `details` is {"cycle": [...]}, names from a worker back to itself.
    """

    code = "CIRCULAR_DEPENDENCY"
    status = 422


class WorkflowAlreadyExists(WattleError):
    """Workflow '{name}' already exists"""

    code = "WORKFLOW_ALREADY_EXISTS"
    status = 409
    name: str


class WorkflowAlreadyRunning(WattleError):
    """Workflow '{name}' is already running, stop it first"""

    code = "WORKFLOW_ALREADY_RUNNING"
    status = 409
    name: str


class WorkflowNotRunning(WattleError):
    """Workflow '{name}' is not running"""

    code = "WORKFLOW_NOT_RUNNING"
    status = 409
    name: str


class WorkerAlreadyRunning(WattleError):
    """Worker '{workflow}/{name}' is already running, or waits for its turn in a run in progress, stop it first"""

    code = "WORKER_ALREADY_RUNNING"
    status = 409
    workflow: str
    name: str


class WorkerNotRunning(WattleError):
    """Worker '{workflow}/{name}' is not running"""

    code = "WORKER_NOT_RUNNING"
    status = 409
    workflow: str
    name: str


class InputMissing(WattleError):
    """Worker '{workflow}/{name}' cannot start, missing input: {missing}"""

    code = "INPUT_MISSING"
    status = 409
    workflow: str
    name: str
    missing: list[str]


class Unauthorized(WattleError):
    """Not authorized: {reason}"""

    code = "UNAUTHORIZED"
    status = 401
    reason: str


class Forbidden(WattleError):
    """The request is refused: {reason}"""

    code = "FORBIDDEN"
    status = 403
    reason: str


class HostNotAllowed(WattleError):
    """This daemon does not answer to the host name '{host}', allowed_hosts adds one"""

    code = "HOST_NOT_ALLOWED"
    status = 421
    host: str = ""


class RateLimitExceeded(WattleError):
    """Too many requests, try again in {retry_after_seconds} s"""

    code = "RATE_LIMIT_EXCEEDED"
    status = 429


class ServiceUnavailable(WattleError):
    """Not available at the moment: {reason}"""

    code = "SERVICE_UNAVAILABLE"
    status = 503
    reason: str


class InternalError(WattleError):
    """Internal error, report it with the request id '{request_id}'"""

    code = "INTERNAL_ERROR"
    status = 500
    request_id: str
