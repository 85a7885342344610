"""The verb `config`: every setting, its value, and where that came from."""

# ruff: noqa: PLC0415  only this verb needs the settings

import dataclasses
from typing import TYPE_CHECKING

import click

from scheduler.cli.errors import CommandFailed
from scheduler.cli.output import Cell, print_json, print_table
from scheduler.cli.terminal import stderr_screen, stdout_screen

if TYPE_CHECKING:
    from scheduler.config import LoadedSettings


@click.command(epilog="Settings come from flags of 'wattle serve', then WATTLE_* variables, then config.toml.")
@click.option("--config", "config_path", metavar="FILE", help="Read this config.toml, as 'serve --config' would.")
@click.option("--state-dir", metavar="DIR", help="As for 'serve'.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document: {name: {value, source, ...}}.")
def config(config_path: str | None, state_dir: str | None, as_json: bool) -> None:
    """Show each setting that 'wattle serve' would use here, and where its value comes from."""
    from scheduler.config import ConfigError, load_settings

    try:
        loaded = load_settings({"state_dir": state_dir}, config_path=config_path)
    except ConfigError as error:
        raise CommandFailed("the settings are not usable", details=error.problems) from error
    stderr_screen().lines(f"wattle: {warning}" for warning in loaded.warnings)
    if as_json:
        print_json(_document(loaded))
    else:
        _print_settings(loaded)


def _document(loaded: "LoadedSettings") -> dict[str, dict[str, object]]:
    from scheduler.config import SETTINGS

    values = dataclasses.asdict(loaded.settings)
    return {
        name: {
            "value": values[name],
            "source": loaded.sources[name],
            "default": setting.default,
            "env": setting.env,
            "help": setting.help,
        }
        for name, setting in SETTINGS.items()
    }


def _print_settings(loaded: "LoadedSettings") -> None:
    screen = stdout_screen()
    rows: list[list[Cell | str]] = [
        [name, _value(entry["value"]), Cell(str(entry["source"]), _style(entry["source"])), str(entry["help"])]
        for name, entry in _document(loaded).items()
    ]
    print_table(screen, ("SETTING", "VALUE", "SOURCE", "MEANING"), rows)


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value) or "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _style(source: object) -> str | None:
    """What somebody has set stands out."""
    return "dim" if source == "default" else "bold"
