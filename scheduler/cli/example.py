"""The verb `example`: ready workflows that can be printed, piped into `create`, or written out with their scripts."""

import os
from collections.abc import Mapping
from typing import Any

import click

from scheduler.cli.errors import CommandFailed, ExitCode
from scheduler.cli.output import print_json
from scheduler.cli.terminal import stderr_screen, stdout_screen


def examples_dir() -> str:
    """Where the examples are: in the installed package, else beside the packages in a checkout."""
    here = os.path.dirname(os.path.abspath(__file__))
    places = (os.path.join(here, "examples"), os.path.join(here, "..", "..", "examples"))
    for place in places:
        if os.path.isfile(os.path.join(place, "data-pipeline.json")):
            return os.path.normpath(place)
    raise CommandFailed("the examples are not installed here; they are in the 'examples' folder of the sources")


def _example_files() -> Mapping[str, str]:
    """Path of each example by its name: a file in the folder, or a folder whose file carries its name.

    Where an example exists in JSON and YAML the JSON one has the bare name, the other its whole file name.
    """
    folder = examples_dir()
    found: dict[str, str] = {}
    for entry in sorted(os.listdir(folder)):
        stem, extension = os.path.splitext(entry)
        if extension in (".json", ".yaml"):
            found[entry if stem in found else stem] = os.path.join(folder, entry)
        inside = os.path.join(folder, entry, f"{entry}.yaml")
        if os.path.isfile(inside):
            found[entry] = inside
    return found


def read_example(name: str) -> str:
    """The text of the example `name`; raises CommandFailed that names all there are."""
    files = _example_files()
    if name not in files:
        raise CommandFailed(f"there is no example '{name}'", hint=f"There are: {', '.join(files)}")
    with open(files[name], encoding="utf-8") as file:
        return file.read()


@click.command(epilog="Example: wattle example | wattle create - && wattle start data-pipeline --follow")
@click.argument("name", default="data-pipeline")
@click.option("--list", "list_names", is_flag=True, help="Only the names of the examples.")
@click.option("--to", "directory", metavar="DIR", type=click.Path(), help="Write it, with its scripts, into DIR.")
@click.option("--json", "as_json", is_flag=True, help="Print the example as one JSON document.")
def example(name: str, list_names: bool, directory: str | None, as_json: bool) -> int:
    """Print a ready workflow (data-pipeline unless NAME says which)."""
    screen = stdout_screen()
    if list_names:
        names = list(_example_files())
        print_json(names) if as_json else screen.lines(names)
    elif directory is not None:
        screen.lines(_write_example(name, directory))
    elif as_json:
        print_json(_parsed_example(name))
    else:
        screen.stream.write(read_example(name))
        _say_scripts(name)
    return ExitCode.OK


def _parsed_example(name: str) -> dict[str, Any]:
    import yaml  # noqa: PLC0415  only --json reads what it prints

    # every example is YAML, JSON being a part of it
    document = yaml.safe_load(read_example(name))
    return dict(document)


def _scripts(name: str) -> list[str]:
    """The files that belong to an example beside its definition, as paths."""
    definition = _example_files()[name]
    folder = os.path.dirname(definition)
    if folder == examples_dir():
        return []
    return [os.path.join(folder, entry) for entry in sorted(os.listdir(folder)) if entry.endswith(".py")]


def _say_scripts(name: str) -> None:
    if scripts := _scripts(name):
        names = ", ".join(map(os.path.basename, scripts))
        stderr_screen().line(f"This example needs {names} beside it: 'wattle example {name} --to DIR' writes all.")


def _write_example(name: str, directory: str) -> list[str]:
    """Copies the example into `directory` and gives a line for each file; never overwrites."""
    read_example(name)
    sources = [_example_files()[name], *_scripts(name)]
    targets = [os.path.join(directory, os.path.basename(source)) for source in sources]
    if existing := [target for target in targets if os.path.exists(target)]:
        raise CommandFailed(f"{existing[0]} exists already; choose another directory")
    import shutil  # noqa: PLC0415  brings every compressor there is

    try:
        os.makedirs(directory, exist_ok=True)
        for source, target in zip(sources, targets, strict=True):
            shutil.copyfile(source, target)
    except OSError as error:
        raise CommandFailed(f"cannot write to {directory}: {error.strerror}") from error
    return targets
