import json
import re

import pytest

from schemas.envelope import failure, success, utc_timestamp
from schemas.errors import CircularDependency, WorkflowNotFound

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_success_has_the_documented_keys_in_order() -> None:
    answer = json.loads(success([1, {"a": None}]))

    assert list(answer) == ["success", "data", "message", "timestamp"]
    assert answer["success"] is True
    assert answer["data"] == [1, {"a": None}]
    assert answer["message"] == "OK"
    assert TIMESTAMP.fullmatch(answer["timestamp"])


def test_success_speaks_chinese_as_documented() -> None:
    assert json.loads(success(None, language="zh"))["message"] == "操作成功"


def test_pagination_and_what_else_is_given_stand_beside_the_data() -> None:
    answer = json.loads(success([], pagination={"page": 1, "page_size": 50, "total": 0, "pages": 0}, content=["a"]))

    assert answer["pagination"] == {"page": 1, "page_size": 50, "total": 0, "pages": 0}
    assert answer["content"] == ["a"]


def test_failure_has_the_documented_keys_and_no_details_without_any() -> None:
    answer = json.loads(failure(WorkflowNotFound(name="non-existent"), language="zh"))

    assert list(answer) == ["success", "error", "timestamp"]
    assert answer["success"] is False
    assert answer["error"] == {"code": "WORKFLOW_NOT_FOUND", "message": "工作流 'non-existent' 不存在"}
    assert TIMESTAMP.fullmatch(answer["timestamp"])


def test_failure_carries_details() -> None:
    answer = json.loads(failure(CircularDependency(details={"cycle": ["a", "b", "a"]})))

    assert answer["error"]["details"] == {"cycle": ["a", "b", "a"]}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1725021296.789, "2024-08-30T12:34:56.789Z"),
        (1.9999, "1970-01-01T00:00:01.999Z"),
    ],
)
def test_a_timestamp_has_milliseconds_and_is_utc(seconds: float, text: str) -> None:
    assert utc_timestamp(seconds) == text
