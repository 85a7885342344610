"""What a worker finds in its environment, and what of the daemon's it never sees."""

from workers.environment import attempt_environment, inherited_environment

FACTS: dict[str, object] = {
    "workflow": "资料",
    "worker": "a",
    "run_id": "01RUN",
    "attempt": 3,
    "inputs": {"raw-data": "/flow/raw.json"},
    "outputs": {"result.v2": "/flow/out/r.txt"},
    "own": {},
}


def environment(**changed: object) -> dict[str, str]:
    return attempt_environment(**{**FACTS, **changed})  # type: ignore[arg-type]


def test_the_facts_with_absolute_paths() -> None:
    assert environment() == {
        "WATTLE_WORKFLOW_NAME": "资料",
        "WATTLE_WORKER_NAME": "a",
        "WATTLE_RUN_ID": "01RUN",
        "WATTLE_ATTEMPT": "3",
        "WATTLE_INPUT_RAW_DATA": "/flow/raw.json",
        "WATTLE_OUTPUT_RESULT_V2": "/flow/out/r.txt",
    }


def test_what_the_author_sets_wins() -> None:
    own = {"WATTLE_ATTEMPT": "mine", "PATH": "/opt/bin", "EMPTY": ""}
    assert environment(own=own).items() >= own.items()


def test_names_become_variables() -> None:
    inputs = {"raw": "/1", "raw-data.csv": "/2", "数据": "/3", "größe": "/4"}
    found = environment(inputs=inputs, outputs={})
    assert {name: path for name, path in found.items() if name.startswith("WATTLE_INPUT_")} == {
        "WATTLE_INPUT_RAW": "/1",
        "WATTLE_INPUT_RAW_DATA_CSV": "/2",
        "WATTLE_INPUT_数据": "/3",
        "WATTLE_INPUT_GRÖSSE": "/4",
    }


def test_only_what_is_allowed_is_inherited() -> None:
    daemon = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "https_proxy": "http://proxy",
        "WATTLE_API_KEY": "secret",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "LISTEN_FDS": "1",
        "CREDENTIALS_DIRECTORY": "/run/credentials",
        "PYTHONPATH": "/ours",
        "VIRTUAL_ENV": "/ours/.venv",
        "LD_PRELOAD": "/x.so",
        "LCX": "no prefix of ours",
    }
    assert inherited_environment(daemon) == {
        "PATH": "/bin",
        "HOME": "/home/me",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "https_proxy": "http://proxy",
        "PYTHONUNBUFFERED": "1",
    }


def test_there_is_always_a_path() -> None:
    assert inherited_environment({})["PATH"] == "/usr/local/bin:/usr/bin:/bin"


def test_prints_are_seen_at_once_unless_the_author_wants_otherwise() -> None:
    assert inherited_environment({"PYTHONUNBUFFERED": ""})["PYTHONUNBUFFERED"] == "1"
    assert environment(own={"PYTHONUNBUFFERED": ""})["PYTHONUNBUFFERED"] == ""
