"""Where things are in the state directory. Only ids become names there, never a person's text."""

import os
from typing import Final

RUNS: Final = "runs"
WORK: Final = "work"


def database_path(state_dir: str) -> str:
    """The database."""
    return os.path.join(state_dir, "wattle.db")


def run_dir(state_dir: str, run_id: str) -> str:
    """The flat directory of a run: the logs of all its attempts."""
    return os.path.join(state_dir, RUNS, run_id)


def own_dir(state_dir: str, name: str) -> str:
    """The working directory of a workflow that names none; `name` is an id made for it."""
    return os.path.join(state_dir, WORK, name)


def is_own_dir(state_dir: str, path: str) -> bool:
    """Whether a workflow's directory is below those that are made here."""
    return path.startswith(os.path.join(state_dir, WORK, ""))
