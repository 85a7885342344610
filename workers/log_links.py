"""`{working_dir}/{worker}/stdout.log`: the place where a person tails, which leads to the latest attempt's bytes."""

from __future__ import annotations

import contextlib
import os
from typing import Final

NAMES: Final = {"stdout": ("stdout.log", ".out"), "stderr": ("stderr.log", ".err")}


def documented_paths(folder: str) -> dict[str, str]:
    """{stream: path} where a worker's logs are to be found."""
    return {stream: f"{folder}/{name}" for stream, (name, _) in NAMES.items()}


def is_log_folder(path: str) -> bool:
    """Whether this is a folder that leads to a worker's logs, which the worker itself did not write."""
    return any(os.path.islink(os.path.join(path, name)) for name, _ in NAMES.values())


def link_logs(folder: str, log_prefix: str) -> dict[str, str]:
    """Let the worker's log folder lead to an attempt's files; returns {stream: the path that really leads there}.

    A person's own file of that name is never replaced, and a folder that cannot be made is no reason to fail: then the
    path is the file in the state directory itself.
    """
    paths = {}
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
    for stream, (name, ending) in NAMES.items():
        target, link = log_prefix + ending, os.path.join(folder, name)
        paths[stream] = link if _point(link, target) else target
    return paths


def _point(link: str, target: str) -> bool:
    """Make `link` lead to `target` by a rename, so that it never leads nowhere in between."""
    try:
        if os.readlink(link) == target:
            return True
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            os.symlink(target, link)
            return True
        return False
    except OSError:
        return False  # a real file: somebody else's
    temporary = f"{link}.wattle-new"
    with contextlib.suppress(OSError):
        os.unlink(temporary)  # left behind by a crash
    with contextlib.suppress(OSError):
        os.symlink(target, temporary)
        os.replace(temporary, link)
        return True
    with contextlib.suppress(OSError):
        os.unlink(temporary)
    return False
