"""Finds who waits for whom: resolves inputs, output paths and `after` of a workflow's workers by name."""

from schemas.errors import DependencyValidationFailed, ValidationFailed
from schemas.locations import resolve_dir, resolve_outputs
from schemas.names import nearest, split_reference
from schemas.paths import log_dir, resolve_path
from schemas.problems import Problems, format_path
from schemas.text import quote
from schemas.workflow import Worker, Workflow

# upstream index -> output name or path that leads there (None for `after`), for one worker
Upstream = dict[int, str | None]


class References:
    """The workers of one workflow by name, and their declared output paths by path."""

    def __init__(self, workflow: Workflow, workflow_dir: str) -> None:
        self._workers = workflow.workers
        self._dirs = [resolve_dir(worker, workflow_dir) for worker in workflow.workers]
        self._index = {worker.name: index for index, worker in enumerate(workflow.workers)}
        self._producer: dict[str, tuple[int, str]] = {}
        self._problems = Problems()
        self._first_missing: tuple[str, str] | None = None

    def resolve(self) -> list[Upstream]:
        """What each worker waits for, in the order of the definition; the first label of an edge is kept.

        ValidationFailed if two outputs are the same file, else DependencyValidationFailed for what does not resolve;
        both with every problem of both kinds in `details`.
        """
        self._collect_outputs()
        has_collisions = bool(self._problems)
        upstream = [self._resolve_worker(index, worker) for index, worker in enumerate(self._workers)]
        if has_collisions:
            raise ValidationFailed(details=self._problems.details())
        if self._first_missing:
            worker, dependency = self._first_missing
            raise DependencyValidationFailed(worker=worker, dependency=dependency, details=self._problems.details())
        return upstream

    def _collect_outputs(self) -> None:
        for index, worker in enumerate(self._workers):
            for name, path in resolve_outputs(worker, self._dirs[index]).items():
                owner, other = self._producer.setdefault(path, (index, name))
                if (owner, other) != (index, name):
                    written = f"{path!r} is the output {quote(other)} of {quote(self._workers[owner].name)} already"
                    self._add((index, "outputs", name), f"{written}; each output needs a file of its own")
        for worker, working_dir in zip(self._workers, self._dirs, strict=True):
            self._check_log_dir(worker, log_dir(worker.name, working_dir))

    def _check_log_dir(self, worker: Worker, path: str) -> None:
        if path in self._producer:
            index, name = self._producer[path]
            why = f"{path!r} is the directory of the logs of worker {quote(worker.name)}"
            self._add((index, "outputs", name), f"{why}; name the file otherwise, such as {quote(name + '.out')}")

    def _resolve_worker(self, index: int, worker: Worker) -> Upstream:
        upstream: Upstream = {}
        for input_name, value in (worker.inputs or {}).items():
            found = self._resolve_input(index, worker, input_name, value)
            if found is not None:
                upstream.setdefault(found[0], found[1])
        for at, name in enumerate(worker.after or ()):
            other = self._index.get(name)
            if other is None:
                self._miss(worker, name, (index, "after", at), self._unknown_worker(worker, name))
            else:
                upstream.setdefault(other, None)
        return upstream

    def _resolve_input(self, index: int, worker: Worker, input_name: str, value: str) -> tuple[int, str] | None:
        """(upstream index, label), None for a file that no other worker writes or for a problem."""
        reference = split_reference(value)
        if reference is None:
            # a worker may read and rewrite one file of its own: that is no dependency
            owner, _ = self._producer.get(resolve_path(value, self._dirs[index]), (index, ""))
            return None if owner == index else (owner, value)
        other = self._index.get(reference[0])
        if other is not None and reference[1] in (self._workers[other].outputs or {}):
            return other, reference[1]
        self._miss(worker, value, (index, "inputs", input_name), self._unknown_output(worker, value, *reference))
        return None

    def _miss(self, worker: Worker, dependency: str, place: tuple[str | int, ...], message: str) -> None:
        self._first_missing = self._first_missing or (worker.name, dependency)
        self._add(place, message)

    def _add(self, place: tuple[str | int, ...], message: str) -> None:
        self._problems.add(format_path(["workers", *place]), message)

    def _unknown_worker(self, worker: Worker, name: str) -> str:
        meant = nearest(name, self._index)
        advice = _did_you_mean(meant) if meant else ""
        return f"worker '{worker.name}' comes after '{name}' but there is no such worker{advice}"

    def _unknown_output(self, worker: Worker, value: str, other: str, output: str) -> str:
        advice = f"{self._nearest_output(other, output)} If a file is meant, write './{value}'"
        return f"worker '{worker.name}' depends on '{value}' but that output does not exist{advice}"

    def _nearest_output(self, other: str, output: str) -> str:
        meant = other if other in self._index else nearest(other, self._index)
        if meant is None:
            return f": there is no worker '{other}'."
        outputs = list(self._workers[self._index[meant]].outputs or ())
        if output in outputs:
            return _did_you_mean(f"{meant}/{output}")
        closest = nearest(output, outputs) or (outputs[0] if len(outputs) == 1 else None)
        if closest:
            return _did_you_mean(f"{meant}/{closest}")
        return f": '{meant}' declares " + (f"only {_listed(outputs)}." if outputs else "no outputs.")


def _did_you_mean(name: str) -> str:
    return f"; did you mean '{name}'?"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"'{name}'" for name in names[:5]) + more
