"""A worker's files: made ready before it starts, looked at when it has ended. Synchronous; callers use a thread."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from schemas.names import nearest
from workers.log_links import is_log_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

LISTED_NEIGHBOURS = 5
ABSENT = "absent"
CAPTURED_AFTER_NS = 1


@dataclass(frozen=True, slots=True)
class WorkerFiles:
    """Absolute paths of one worker: its directory, the files it reads, the files it writes."""

    working_dir: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def only_output(self) -> str | None:
        """The path of the output, if there is exactly one: it is the one that standard output may become."""
        return next(iter(self.outputs.values())) if len(self.outputs) == 1 else None


@dataclass(frozen=True, slots=True)
class Ready:
    """What was found before a start. `stdout_to` says when standard output becomes the only output: None for never,
    'absent' if that file did not exist, else 'SIZE:MTIME_NS', the version (itself from stdout) that must be unchanged.
    """

    missing_inputs: tuple[str, ...] = ()
    error: str | None = None
    stdout_to: str | None = None


@dataclass(frozen=True, slots=True)
class OutputFact:
    """An output as it was found after the end; `source` is 'command' or 'stdout'."""

    name: str
    path: str
    size_bytes: int
    source: str
    version: str


@dataclass(frozen=True, slots=True)
class Collected:
    """The outputs of an attempt that ended with 0, and what is wrong with them, if anything."""

    outputs: tuple[OutputFact, ...] = ()
    error: str | None = None


def version_of(path: str) -> str | None:
    """'SIZE:MTIME_NS' of a file, None when there is none: enough to tell whether somebody wrote it since."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return f"{found.st_size}:{found.st_mtime_ns}"


def missing_inputs(inputs: Mapping[str, str]) -> list[str]:
    """The paths that do not exist."""
    return [path for path in inputs.values() if not os.path.exists(path)]


def make_ready(files: WorkerFiles, version_from_stdout: str | None = None) -> Ready:
    """Make the directories, look for the inputs, remember the only output's version.

    `version_from_stdout` is the recorded version of the only output if its last writer was our own capture.
    """
    try:
        os.makedirs(files.working_dir, exist_ok=True)
    except FileExistsError:
        return Ready(error=f"working directory '{files.working_dir}' cannot be made: a file of that name is there")
    except OSError as error:
        return Ready(error=f"working directory '{files.working_dir}' cannot be made: {error.strerror}")
    try:
        for folder in {os.path.dirname(path) for path in files.outputs.values()}:
            os.makedirs(folder, exist_ok=True)
    except OSError as error:
        return Ready(error=f"output directory '{error.filename}' cannot be made: {error.strerror}")
    missing = tuple(missing_inputs(files.inputs))
    stdout_to = None
    if files.only_output is not None:
        version = version_of(files.only_output)
        if version is None:
            stdout_to = ABSENT
        elif version == version_from_stdout:
            stdout_to = version
    return Ready(missing_inputs=missing, stdout_to=stdout_to)


def collect(files: WorkerFiles, stdout_to: str | None, stdout_log: str, started_at_ms: int) -> Collected:
    """Look at the outputs after exit 0; let standard output become the only one where that was agreed at the start."""
    source = "command"
    if files.only_output is not None and stdout_to is not None:
        version = version_of(files.only_output)
        if version in (None, stdout_to):  # not written; a command that only removed an earlier print wrote nothing
            error = capture_stdout(stdout_log, files.only_output)
            if error is not None:
                return Collected(error=error)
            source = "stdout"
        elif version == captured_version(stdout_log):  # by a daemon that died before it could say so
            source = "stdout"
    facts: list[OutputFact] = []
    missing: dict[str, str] = {}
    for name, path in files.outputs.items():
        version = version_of(path)
        if version is None:
            missing[name] = path
        else:
            facts.append(OutputFact(name, path, int(version.partition(":")[0]), source, version))
    return Collected(tuple(facts), explain_missing(missing, started_at_ms) if missing else None)


def capture_stdout(stdout_log: str, path: str) -> str | None:
    """Copy a log to an output, by a temporary name and a rename; returns a problem in words or None.

    The copy gets a time by which it is known again after a crash, see `captured_version`.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{os.fsdecode(os.fsencode(name)[:200])}.wattle-part")  # at most 255 bytes
    try:
        with open(stdout_log, "rb") as log:
            times = os.fstat(log.fileno())
            size = times.st_size
            if size and os.lseek(log.fileno(), 0, os.SEEK_HOLE) < size:
                return (
                    f"standard output was to become '{path}', but it passed the log size cap and part of it was"
                    " dropped; write the file in the command, or raise log_max_bytes"
                )
            log.seek(0)
            with open(temporary, "wb") as copy:
                shutil.copyfileobj(log, copy, 1 << 20)
            os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns + CAPTURED_AFTER_NS))
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        return f"standard output could not become '{path}': {error.strerror}"
    return None


def captured_version(stdout_log: str) -> str | None:
    """The version of our own copy of a log: as long, a nanosecond younger; no other writer would leave such a file."""
    try:
        log = os.stat(stdout_log)
    except OSError:
        return None
    return f"{log.st_size}:{log.st_mtime_ns + CAPTURED_AFTER_NS}"


def explain_missing(missing: Mapping[str, str], started_at_ms: int) -> str:
    """One sentence for each declared output that is not there: where, what was written beside it, what was meant."""
    return "; ".join(_explain_one(name, path, started_at_ms) for name, path in missing.items())


def _explain_one(name: str, path: str, started_at_ms: int) -> str:
    sentence = f"output '{name}' was not written: '{path}' does not exist"
    written = _written_since(os.path.dirname(path), started_at_ms)
    if not written:
        return sentence
    shown = ", ".join(f"'{other}'" for other in written[:LISTED_NEIGHBOURS])
    more = f" and {len(written) - LISTED_NEIGHBOURS} more" if len(written) > LISTED_NEIGHBOURS else ""
    sentence += f" (written beside it: {shown}{more}"
    close = nearest(os.path.basename(path), written)
    return f"{sentence}; is '{close}' meant?)" if close else f"{sentence})"


def _written_since(folder: str, started_at_ms: int) -> list[str]:
    """Names in a folder that changed since the start (with 10 ms for coarse clocks), newest first; none of ours."""
    try:
        with os.scandir(folder) as entries:
            others = (entry for entry in entries if not (entry.is_dir() and is_log_folder(entry.path)))
            times = {entry.name: entry.stat(follow_symlinks=False).st_mtime_ns for entry in others}
    except OSError:
        return []
    since = (started_at_ms - 10) * 1_000_000
    return sorted((name for name, at in times.items() if at >= since), key=lambda name: -times[name])
