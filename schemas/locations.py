"""Where a worker works and where its files are, as absolute paths."""

from collections.abc import Mapping

from schemas.names import split_reference
from schemas.paths import resolve_path
from schemas.workflow import Worker


def resolve_dir(worker: Worker, workflow_dir: str) -> str:
    """The absolute working directory of `worker`; `workflow_dir` is the workflow's, absolute."""
    return resolve_path(worker.working_dir or ".", workflow_dir)


def resolve_outputs(worker: Worker, working_dir: str) -> dict[str, str]:
    """Absolute, normalised path of every declared output, by output name; `working_dir` is the worker's."""
    return {name: resolve_path(path, working_dir) for name, path in (worker.outputs or {}).items()}


def resolve_inputs(worker: Worker, working_dir: str, outputs: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Absolute, normalised path of every input, by input name; `working_dir` is the worker's.

    `outputs` holds `resolve_outputs` of the workers by worker name. KeyError for a reference that does not
    resolve, which `build_graph` has reported before.
    """
    paths = {}
    for name, value in (worker.inputs or {}).items():
        reference = split_reference(value)
        paths[name] = outputs[reference[0]][reference[1]] if reference else resolve_path(value, working_dir)
    return paths
