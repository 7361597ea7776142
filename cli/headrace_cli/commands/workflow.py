"""`headrace workflow`: blueprints that are kept under an id, checked, run and changed."""

import asyncio
import json
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from headrace_cli import connection, documents, faults, following, listing
from headrace_cli.client import EdgeClient
from headrace_cli.commands.options import AsJson, File, Inputs, InputsFile, Open, Output, Yes
from headrace_cli.documents import Document
from headrace_cli.errors import CliError, EdgeProblem
from headrace_cli.revisions import Revisions
from headrace_cli.screen import Screen
from headrace_cli.settings import CliSettings

Json = Any

HELP = """Keep blueprints under a name, check them, and run them.

  headrace workflow validate report.yaml             every fault, with its line and what to do
  headrace workflow save class-report report.yaml    again after a change: it replaces what you saw last
  headrace workflow run class-report -i class_id=c-j3b
  headrace workflow show class-report > report.json
  headrace workflow schema > blueprint.schema.json   an editor completes from it
"""
PATH = "/api/workflows"
Id = Annotated[str, typer.Argument(metavar="ID", help="1 to 64 of a-z, 0-9 and -.")]

app = typer.Typer(name="workflow", help=HELP, no_args_is_help=True, rich_markup_mode="rich")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the saved workflows with their inputs."""
    found, more = asyncio.run(_listed())
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    out = listing.console()
    rows = [
        [
            one["workflow_id"],
            str(one["revision"]),
            listing.when(one["updated_at"]),
            _inputs(one),
            one["description"] or one["name"],
        ]
        for one in found
    ]
    out.print(listing.table(["ID", "REVISION", "CHANGED", "INPUTS", "WHAT IT IS FOR"], rows))
    if more:
        out.print(f"[yellow]![/] there are more than these {len(found)}")


@app.command()
def show(workflow_id: Id) -> None:
    """Write a workflow's blueprint to standard output, ready to be changed and saved again."""
    found = asyncio.run(_shown(workflow_id))
    print(json.dumps(found["blueprint"], ensure_ascii=False, indent=2))


@app.command()
def save(
    workflow_id: Id,
    file: File,
    description: Annotated[
        str | None, typer.Option(help="What it is for; the one that it has is kept when not given.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace whatever is there.")] = False,
) -> None:
    """Save a blueprint under an id: a new one, or in place of the revision that you saw or saved last.

    When somebody else has changed it in between, nothing is written: `show` it, or `--force`.
    """
    if not asyncio.run(_saved(workflow_id, documents.read(file), description, force=force)):
        raise typer.Exit(1)


@app.command()
def validate(file: File, inputs: Inputs = None, inputs_file: InputsFile = None) -> None:
    """Check a blueprint with the tools that there are: every fault, with its line and what to do. Exit code 1 for any.

    With inputs these are checked too.
    """
    values, given = documents.inputs(inputs or [], inputs_file)
    blueprint = documents.read(file)
    checked = values if inputs or inputs_file else None
    if not asyncio.run(_validated(blueprint, checked, given)):
        raise typer.Exit(1)


@app.command()
def run(
    workflow_id: Id,
    inputs: Inputs = None,
    inputs_file: InputsFile = None,
    form: Output = None,
    open_page: Open = False,
    session: Annotated[str, typer.Option(help="Go on with this session.")] = "",
) -> None:
    """Run a saved workflow and watch it: phases, nodes and items on standard error, the page's texts on standard output.

    Ctrl-C cancels the run. Exit code 1 when it failed, 4 when it asks back.
    """
    values, _ = documents.inputs(inputs or [], inputs_file)
    body = {"inputs": values, **({"session_id": session} if session else {})}
    outcome = asyncio.run(_run(workflow_id, body, form, open_page=open_page))
    if outcome in following.EXIT_CODES:
        raise typer.Exit(following.EXIT_CODES[outcome])


@app.command()
def delete(workflow_id: Id, yes: Yes = False) -> None:
    """Remove a saved workflow. Runs that have begun go on with their copy."""
    if not yes:
        typer.confirm(f"Remove the workflow {workflow_id}?", abort=True, err=True)
    asyncio.run(_deleted(workflow_id))


@app.command()
def schema() -> None:
    """Write the language's JSON Schema, with the tools that there are, to standard output.

    An editor completes from it: begin a YAML file with `# yaml-language-server: $schema=blueprint.schema.json`.
    """
    print(json.dumps(asyncio.run(_schema()), ensure_ascii=False, indent=2))


async def _listed() -> tuple[list[dict[str, Json]], bool]:
    async with connection.connect() as edge:
        return await listing.everything(edge, PATH)


async def _shown(workflow_id: str) -> dict[str, Json]:
    async with connection.connect() as edge:
        found = await edge.read(f"{PATH}/{workflow_id}")
        _revisions(edge).remember(workflow_id, found.etag)
    workflow: dict[str, Json] = found.value
    return workflow


async def _saved(workflow_id: str, document: Document, description: str | None, *, force: bool) -> bool:
    screen = Screen()
    async with connection.connect() as edge:
        revisions = _revisions(edge)
        if description is None:
            description = await _description(edge, workflow_id)
        body = {"blueprint": document.value, "description": description}
        try:
            etag = await _put(edge, workflow_id, body, based_on="*" if force else revisions.seen(workflow_id), force=force)
        except EdgeProblem as problem:
            if problem.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
            if not (found := await _faults(edge, {"blueprint": document.value, "workflow_id": workflow_id})):
                raise
            _tell(screen.err, found, document, None)
            return False
        revisions.remember(workflow_id, etag)
    screen.line(f"[green]✓[/] {escape(workflow_id)} [dim]revision {escape(etag.strip(chr(34)))}[/]")
    return True


async def _description(edge: EdgeClient, workflow_id: str) -> str:
    """What the saved workflow says that it is for; "" when there is none."""
    try:
        return str((await edge.get(f"{PATH}/{workflow_id}")).get("description") or "")
    except EdgeProblem as problem:
        if problem.status != HTTPStatus.NOT_FOUND:
            raise
        return ""


async def _put(edge: EdgeClient, workflow_id: str, body: dict[str, Json], *, based_on: str, force: bool) -> str:
    """Write it and return its ETag. Raises `CliError` when something else is there than what was seen."""
    path = f"{PATH}/{workflow_id}"
    try:
        return (await edge.put(path, body, based_on=based_on)).etag
    except EdgeProblem as problem:
        if problem.status != HTTPStatus.PRECONDITION_FAILED:
            raise
        if force:  # nothing is there to be replaced
            return (await edge.put(path, body, based_on="")).etag
        raise CliError(
            f"{workflow_id} was not saved: {problem}",
            hint=f"see what is there with `headrace workflow show {workflow_id}`, or replace it with --force",
        ) from problem


async def _validated(blueprint: Document, values: dict[str, Json] | None, given: Document | None) -> bool:
    screen = Screen()
    async with connection.connect() as edge:
        body = {"blueprint": blueprint.value, **({"inputs": values} if values is not None else {})}
        found = await _faults(edge, body)
    if found:
        _tell(Console(highlight=False), found, blueprint, given)
        return False
    screen.line(f"[green]✓[/] {escape(blueprint.name)} is valid")
    return True


async def _faults(edge: EdgeClient, body: dict[str, Json]) -> list[dict[str, Json]]:
    answer = await edge.post(f"{PATH}/validate", body)
    found: list[dict[str, Json]] = answer["faults"]
    return found


def _tell(console: Console, found: list[dict[str, Json]], blueprint: Document, given: Document | None) -> None:
    count = f"{len(found)} fault{'' if len(found) == 1 else 's'}"
    console.print(f"[bold red]✗[/] {escape(blueprint.name)} has {count}", soft_wrap=True)
    faults.show(console, found, documents.places(blueprint, given))


async def _run(workflow_id: str, body: dict[str, Json], form: following.Format | None, *, open_page: bool) -> str:
    screen = Screen(texts=form is None)
    async with connection.connect() as edge:
        accepted = await edge.post(f"{PATH}/{workflow_id}/runs", body)
        view = await following.follow_accepted(edge, screen, accepted)
        await following.deliver(edge, screen, view, form=form, open_page=open_page)
    return view.outcome


async def _deleted(workflow_id: str) -> None:
    async with connection.connect() as edge:
        await edge.delete(f"{PATH}/{workflow_id}")
        _revisions(edge).remember(workflow_id, "")
    Screen().line(f"[green]✓[/] {escape(workflow_id)} [dim]removed[/]")


async def _schema() -> Json:
    async with connection.connect() as edge:
        return await edge.get(f"{PATH}/schema")


def _revisions(edge: EdgeClient) -> Revisions:
    settings = CliSettings()
    file: Path = connection.state_dir(settings).home / "revisions.json"
    return Revisions(file, edge.url, settings.api_key.get_secret_value())


def _inputs(workflow: dict[str, Json]) -> str:
    """Names of the inputs; those that may be left out in brackets."""
    wanted = workflow.get("inputs") or {}
    required = wanted.get("required") or []
    return " ".join(name if name in required else f"[{name}]" for name in wanted.get("properties") or {})
