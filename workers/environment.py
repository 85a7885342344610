"""What a worker finds in its environment: an allow-list of the daemon's, Wattle's facts, and what its author set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.names import variable_name

if TYPE_CHECKING:
    from collections.abc import Mapping

ALLOWED = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "HOSTNAME",
        "LD_LIBRARY_PATH",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
    }
)
ALLOWED_PREFIXES = ("LC_",)


def inherited_environment(daemon: Mapping[str, str]) -> dict[str, str]:
    """What every worker inherits: never the daemon's sockets, credentials, keys or import path."""
    chosen = {name: value for name, value in daemon.items() if name in ALLOWED or name.startswith(ALLOWED_PREFIXES)}
    chosen.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
    chosen["PYTHONUNBUFFERED"] = "1"  # a worker's prints should be seen when they are printed
    return chosen


def attempt_environment(
    *,
    workflow: str,
    worker: str,
    run_id: str,
    attempt: int,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    own: Mapping[str, str],
) -> dict[str, str]:
    """What one attempt gets beside the inherited: WATTLE_* facts with absolute paths; the author's own values win."""
    return {
        "WATTLE_WORKFLOW_NAME": workflow,
        "WATTLE_WORKER_NAME": worker,
        "WATTLE_RUN_ID": run_id,
        "WATTLE_ATTEMPT": str(attempt),
        **{f"WATTLE_INPUT_{variable_name(name)}": path for name, path in inputs.items()},
        **{f"WATTLE_OUTPUT_{variable_name(name)}": path for name, path in outputs.items()},
        **own,
    }
