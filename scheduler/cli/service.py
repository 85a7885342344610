"""The verb `install-service`: writes the systemd unit for this installation and says what to type next."""

# ruff: noqa: PLC0415  only this verb needs the unit

import os
import sys
from pathlib import Path

import click

from scheduler.cli.errors import CommandFailed
from scheduler.cli.output import print_json
from scheduler.cli.terminal import stdout_screen


@click.command("install-service")
@click.option("--user", "user_mode", is_flag=True, help="For this user's own systemd instead of the system's.")
@click.option("--run-as", metavar="NAME", help="The user that the system service runs as; default wattle.")
@click.option("--print", "only_print", is_flag=True, help="Print the unit, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print where it was written as one JSON document.")
def install_service(user_mode: bool, run_as: str | None, only_print: bool, as_json: bool) -> None:
    """Write wattle.service for systemd: for the system (needs root), or with --user for yourself."""
    from scheduler.service_unit import render_unit, unit_path

    if user_mode and run_as:
        raise click.UsageError("--run-as is for the system's service; a user's own runs as that user")
    try:
        text = render_unit(_command(), user_mode=user_mode, run_as=run_as)
    except (ValueError, FileNotFoundError) as error:
        raise CommandFailed(str(error)) from error
    path = unit_path(user_mode=user_mode)
    screen = stdout_screen()
    if only_print:
        screen.stream.write(text)
        return
    _write(path, text)
    if as_json:
        print_json({"path": str(path)})
    else:
        screen.lines([f"Wrote {path}", *_what_next(user_mode, run_as or "wattle")])


def _command() -> list[str]:
    """How the unit starts the daemon: the script beside this interpreter, else the module."""
    script = os.path.join(os.path.dirname(os.path.abspath(sys.executable)), "wattle")
    if os.access(script, os.X_OK):
        return [script, "serve"]
    return [os.path.abspath(sys.executable), "-m", "scheduler.cli.main", "serve"]


def _write(path: Path, text: str) -> None:
    """Whole or not at all: systemd may read the unit at any moment."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except PermissionError as error:
        hint = "'sudo' writes it for the system, '--user' for yourself."
        raise CommandFailed(f"not allowed to write {path}", hint=hint) from error
    except OSError as error:
        raise CommandFailed(f"cannot write {path}: {error.strerror}") from error


def _what_next(user_mode: bool, user: str) -> list[str]:
    if user_mode:
        return ["Next: systemctl --user daemon-reload && systemctl --user enable --now wattle"]
    return [
        f"Next: id {user} || useradd --system --home-dir /var/lib/wattle --shell /usr/sbin/nologin {user}",
        "      systemctl daemon-reload && systemctl enable --now wattle",
    ]
