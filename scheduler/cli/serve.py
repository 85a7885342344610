"""The verb `serve`: reads the settings and hands this process over to the daemon."""

# ruff: noqa: PLC0415  the daemon brings aiohttp and pydantic, which no other verb may pay for

import click

from scheduler.cli.errors import ExitCode
from scheduler.cli.terminal import stderr_screen


@click.command(epilog="Example: wattle serve --port 9240 --state-dir ~/wattle")
@click.option("--host", metavar="ADDRESS", help="Address to listen on; default 127.0.0.1.")
@click.option("--port", metavar="PORT", help="Port to listen on, 0 takes a free one; default 9240.")
@click.option("--state-dir", metavar="DIR", help="Where the database, the logs and the launcher live.")
@click.option("--config", "config_path", metavar="FILE", help="A config.toml; 'wattle config' shows what is in force.")
@click.option("--stop-launcher-on-exit", "stop_launcher", is_flag=True, hidden=True)
def serve(
    host: str | None, port: str | None, state_dir: str | None, config_path: str | None, stop_launcher: bool
) -> int:
    """Run the daemon in this terminal.

    The first Ctrl-C ends the daemon and says which workers live on; the next 'wattle serve' adopts them. A second
    Ctrl-C stops them too.
    """
    from scheduler.config import ConfigError, load_settings

    flags = {"host": host, "port": port, "state_dir": state_dir}
    try:
        loaded = load_settings(flags, config_path=config_path)
    except ConfigError as error:
        return _refuse(error.problems, error.exit_code)
    stderr_screen().lines(f"wattle: {warning}" for warning in loaded.warnings)
    from scheduler.daemon import run

    return int(run(loaded.settings, stop_launcher=stop_launcher))


def _refuse(problems: tuple[str, ...], exit_code: int) -> int:
    """Every reason at once. EX_CONFIG tells systemd not to try again."""
    stderr_screen().lines(f"wattle: {problem}" for problem in problems)
    return exit_code or ExitCode.FAILED
