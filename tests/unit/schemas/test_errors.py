import pytest

from schemas import errors
from schemas.errors import (
    CircularDependency,
    DependencyValidationFailed,
    InputMissing,
    ServiceUnavailable,
    ValidationFailed,
    WattleError,
    WorkflowAlreadyExists,
    WorkflowNotFound,
)
from schemas.messages import MESSAGES

STATUS_BY_CODE = {
    "WORKFLOW_NOT_FOUND": 404,
    "WORKER_NOT_FOUND": 404,
    "RUN_NOT_FOUND": 404,
    "ROUTE_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "INVALID_REQUEST": 400,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "PAYLOAD_TOO_LARGE": 413,
    "VALIDATION_ERROR": 422,
    "DEPENDENCY_VALIDATION_FAILED": 422,
    "CIRCULAR_DEPENDENCY": 422,
    "WORKFLOW_ALREADY_EXISTS": 409,
    "WORKFLOW_ALREADY_RUNNING": 409,
    "WORKER_ALREADY_RUNNING": 409,
    "WORKER_NOT_RUNNING": 409,
    "WORKFLOW_NOT_RUNNING": 409,
    "INPUT_MISSING": 409,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "HOST_NOT_ALLOWED": 421,
    "RATE_LIMIT_EXCEEDED": 429,
    "SERVICE_UNAVAILABLE": 503,
    "INTERNAL_ERROR": 500,
}


def all_errors() -> list[type[WattleError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, WattleError)]


def test_every_code_has_one_class_with_the_designed_status() -> None:
    found = {kind.code: kind.status for kind in all_errors() if kind is not WattleError}

    assert found == STATUS_BY_CODE
    assert set(MESSAGES) - {"OK"} == set(STATUS_BY_CODE)


@pytest.mark.parametrize("kind", [kind for kind in all_errors() if kind is not WattleError], ids=lambda kind: kind.code)
def test_every_message_can_be_said_from_the_attributes_alone(kind: type[WattleError]) -> None:
    names = [name for name in kind.__annotations__ if not hasattr(kind, name)]

    error = kind(**{name: f"<{name}>" for name in names})  # type: ignore[arg-type]

    for name in names:
        assert f"<{name}>" in error.message("en")
        assert f"<{name}>" in error.message("zh")


@pytest.mark.parametrize(
    ("error", "chinese"),
    [
        (WorkflowNotFound(name="non-existent"), "工作流 'non-existent' 不存在"),
        (WorkflowAlreadyExists(name="example-workflow"), "工作流 'example-workflow' 已存在"),
        (
            DependencyValidationFailed(worker="processor", dependency="fetcher/output"),
            "依赖验证失败: worker 'processor' 依赖 'fetcher/output' 但该输出不存在",
        ),
        (CircularDependency(), "检测到循环依赖，无法执行工作流"),
    ],
)
def test_the_documented_chinese_messages_are_exact(error: WattleError, chinese: str) -> None:
    assert error.message("zh") == chinese


def test_text_form_is_the_english_message() -> None:
    assert str(WorkflowNotFound(name="x")) == "Workflow 'x' does not exist"


def test_attributes_are_typed_values_beside_details_and_the_retry_time() -> None:
    error = ServiceUnavailable(reason="the disk is full", retry_after_seconds=30, details={"free_bytes": 0})

    assert error.values == {"reason": "the disk is full"}
    assert error.reason == "the disk is full"
    assert error.details == {"free_bytes": 0}
    assert error.retry_after_seconds == 30


def test_a_missing_or_an_unknown_attribute_is_a_mistake_at_once() -> None:
    with pytest.raises(TypeError, match=r"name, nome"):
        WorkflowNotFound(nome="x")  # type: ignore[call-arg]


def test_a_long_list_is_named_only_in_part() -> None:
    error = InputMissing(workflow="w", name="n", missing=[f"/data/{i}" for i in range(7)])

    assert str(error).endswith("missing input: /data/0, /data/1, /data/2, /data/3, /data/4 and 2 more")


def test_a_validation_error_shows_its_first_problem_and_counts_the_rest() -> None:
    problems = [
        {"path": "workers[0].command", "message": "is missing"},
        {"path": "name", "message": "is too long"},
        {"path": "x", "message": "is not known"},
    ]

    assert str(ValidationFailed(details=problems)) == "Validation failed: workers[0].command: is missing (and 2 more)"
    assert str(ValidationFailed(details=[{"path": "", "message": "must be an object"}])).endswith(": must be an object")
    assert str(ValidationFailed()) == "Validation failed: see details"


def test_text_from_users_is_never_read_as_a_template() -> None:
    assert str(WorkflowNotFound(name="{name.__class__} {0} %s")) == "Workflow '{name.__class__} {0} %s' does not exist"


def test_a_class_without_a_docstring_is_refused() -> None:
    with pytest.raises(RuntimeError, match="docstring"):
        type("Silent", (WattleError,), {"__doc__": None})
