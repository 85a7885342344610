"""The verb `version`: which wattle this is, and which daemon answers."""

# ruff: noqa: PLC0415  reading the installed version costs half a verb

from typing import Any

import click

from scheduler.cli.client import api_path
from scheduler.cli.errors import CommandFailed
from scheduler.cli.output import print_json, show_duration
from scheduler.cli.session import Session, verb


@click.command()
@verb
def version(session: Session) -> None:
    """Print the version of this command and of the daemon."""
    daemon = _daemon(session)
    if session.as_json:
        print_json({"version": installed_version(), "daemon": daemon})
        return
    session.screen.line(f"wattle {installed_version()}")
    if daemon is None:
        session.screen.line(f"no daemon at {session.client.url}")
        return
    uptime = show_duration(daemon["uptime_seconds"])
    session.screen.line(f"daemon {daemon['version']} at {session.client.url}, pid {daemon['pid']}, up {uptime}")


def _daemon(session: Session) -> dict[str, Any] | None:
    """The daemon's health, None where none answers; its version is told even while it is degraded."""
    try:
        return dict(session.client.get(api_path("health")).data)
    except CommandFailed:
        return None


def installed_version() -> str:
    """The version of the installed distribution."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as distribution_version

    try:
        return distribution_version("wattle-scheduler")
    except PackageNotFoundError:
        return "unknown (not installed)"
