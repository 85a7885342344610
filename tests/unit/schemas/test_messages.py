import pytest

import schemas.errors  # noqa: F401  fills in the English of the error codes
from schemas.messages import MESSAGES, choose_language, data_text


@pytest.mark.parametrize("key", sorted(MESSAGES))
def test_every_message_is_there_in_both_languages_with_the_same_names(key: str) -> None:
    english, chinese = MESSAGES[key]["en"], MESSAGES[key]["zh"]

    assert english != chinese
    assert _names(english) == _names(chinese)


def _names(template: str) -> set[str]:
    return {part.partition("}")[0] for part in template.split("{")[1:]}


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("ZH-Hant", "zh"),
        ("en-GB,zh;q=0.9", "en"),
        ("zh;q=0.3, en;q=0.7", "en"),
        ("fr, zh;q=0.1", "zh"),
        ("zh;q=0", "en"),
        ("zh;q=nonsense", "en"),
        ("de,*", "en"),
        (";;,,=", "en"),
    ],
)
def test_the_language_is_the_best_ranked_of_the_two(header: str | None, language: str) -> None:
    assert choose_language(header) == language


def test_data_texts_read_as_in_the_reference() -> None:
    assert data_text("workflow_created", name="example-workflow") == "Workflow 'example-workflow' created successfully"
    assert data_text("workflow_started", name="example-workflow") == "Workflow 'example-workflow' started successfully"
    worker = {"workflow": "example-workflow", "name": "data_fetcher"}
    assert data_text("worker_started", **worker) == "Worker 'example-workflow/data_fetcher' started"
    assert data_text("worker_stopped", **worker) == "Worker 'example-workflow/data_fetcher' stopped"
    assert data_text("worker_restarted", **worker) == "Worker 'example-workflow/data_fetcher' restarted"
    assert data_text("worker_deleted", **worker) == "Worker 'example-workflow/data_fetcher' deleted successfully"
