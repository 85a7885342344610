"""Verbs about what a workflow is: create, validate, delete, graph."""

import click

from scheduler.cli.client import api_path
from scheduler.cli.documents import read_document
from scheduler.cli.errors import RequestFailed
from scheduler.cli.output import print_json
from scheduler.cli.picture import draw_graph, edge_lines
from scheduler.cli.session import Session, verb
from scheduler.cli.targets import TARGET, WORKFLOW, Target

_FILE = click.Path(exists=False, allow_dash=True)


@click.command(epilog="Example: wattle example | wattle create -")
@click.argument("file", type=_FILE)
@click.option("--replace", is_flag=True, help="Replace the definition where the workflow exists and does not run.")
@verb
def create(session: Session, file: str, replace: bool) -> None:
    """Create the workflow that FILE describes, JSON or YAML ('-' reads standard input).

    A relative working_dir in FILE is meant relative to FILE's own directory.
    """
    document, body = read_document(file)
    try:
        answer = session.client.post(api_path("workflows"), body)
    except RequestFailed as failure:
        if failure.code != "WORKFLOW_ALREADY_EXISTS":
            raise
        name = str(document.get("name"))
        if not replace:
            failure.hint = f"'wattle create --replace {file}' replaces its definition."
            raise
        answer = session.client.put(api_path("workflows", name), body)
    session.say(answer.data)


@click.command()
@click.argument("file", type=_FILE)
@verb
def validate(session: Session, file: str) -> None:
    """Check FILE as 'create' would: every problem of its fields, else of its dependencies, else the order."""
    _, body = read_document(file)
    data = session.client.post(api_path("workflows", "validate"), body).data
    if session.as_json:
        print_json(data)
        return
    levels = data.get("levels") or []
    session.screen.line(f"{file} is valid: {sum(map(len, levels))} workers in {len(levels)} levels")
    for number, names in enumerate(levels, 1):
        session.screen.line(f"  {number}. {', '.join(names)}")


@click.command()
@click.argument("target", metavar="WORKFLOW[/WORKER]", type=TARGET)
@verb
def delete(session: Session, target: Target) -> None:
    """Delete a workflow, or one worker of it; refused while it runs. The name is free afterwards."""
    session.say(session.client.delete(target.path()).data)


@click.command()
@click.argument("workflow", type=WORKFLOW)
@click.option(
    "--format", "style", type=click.Choice(["text", "mermaid", "dot"]), default="text", show_default=True,
    help="A picture here, or the text for mermaid or Graphviz.",
)  # fmt: skip
@verb
def graph(session: Session, workflow: str, style: str) -> None:
    """Draw which worker waits for which, with the status of each."""
    path = api_path("workflows", workflow, "graph")
    if style != "text" and not session.as_json:
        session.screen.stream.write(session.client.get_text(path, {"format": style}))
        return
    data = session.client.get(path).data
    if session.as_json:
        print_json(data)
        return
    session.screen.lines([*draw_graph(session.screen, data), *edge_lines(session.screen, data)])
