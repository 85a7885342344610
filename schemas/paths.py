"""What a path from outside must be, and its absolute form, without touching the disk."""

import posixpath

from schemas.text import quote

# What Linux takes; longer ones fail only when the worker starts.
MAX_PATH_BYTES = 4095
MAX_PART_BYTES = 255


def check_path(text: str) -> str:
    """`text` unchanged; ValueError if no file can have this path."""
    if not text:
        raise ValueError("is empty; write a path or leave it out")
    if text == "~" or text.startswith("~/"):
        raise ValueError("begins with '~', which is not expanded here; write the whole path")
    if len(text) > MAX_PART_BYTES // 4:
        _check_path_length(text)
    return text


def check_absolute_path(text: str) -> str:
    """`text` unchanged; ValueError if it is not an absolute path."""
    check_path(text)
    if not text.startswith("/"):
        raise ValueError(f"{quote(text)} is not absolute; write the whole path, such as '/srv/{text[:20]}'")
    return text


def resolve_path(path: str, working_dir: str) -> str:
    """The absolute, normalised form of `path` as seen from `working_dir` (absolute). Symlinks stay as they are."""
    whole = path if path.startswith("/") else f"{working_dir}/{path}"
    # POSIX lets two leading slashes mean something else, and normpath keeps them; on Linux they mean nothing
    return "/" + posixpath.normpath(whole).lstrip("/")


def log_dir(worker_name: str, working_dir: str) -> str:
    """The directory in which a person tails `stdout.log` and `stderr.log` of a worker with this `working_dir`."""
    return resolve_path(worker_name, working_dir)


def _check_path_length(text: str) -> None:
    size = len(text.encode())
    if size > MAX_PATH_BYTES:
        raise ValueError(f"is {size} bytes long; a path has at most {MAX_PATH_BYTES}")
    part = max(text.split("/"), key=lambda part: len(part.encode()))
    if len(part.encode()) > MAX_PART_BYTES:
        raise ValueError(f"has the part {quote(part)} of {len(part.encode())} bytes; each has at most {MAX_PART_BYTES}")
