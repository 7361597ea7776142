"""`headrace run`: a blueprint of your own."""

import asyncio
from typing import Any

import typer

from headrace_cli import connection, documents, following
from headrace_cli.commands.options import File, Inputs, InputsFile, Open, Output
from headrace_cli.screen import Screen


def run(
    file: File,
    inputs: Inputs = None,
    inputs_file: InputsFile = None,
    form: Output = None,
    open_page: Open = False,
) -> None:
    """Run a blueprint and watch its nodes; the texts that it composes, or else its output, go to standard output.

    Ctrl-C cancels the run. `headrace workflow validate FILE` checks it without running it.
    Exit code 1 when it failed, 4 when it asks back.
    """
    values, _ = documents.inputs(inputs or [], inputs_file)
    body = {"kind": "page", "blueprint": documents.read(file).value, "inputs": values}
    outcome = asyncio.run(_run(body, form, open_page=open_page))
    if outcome in following.EXIT_CODES:
        raise typer.Exit(following.EXIT_CODES[outcome])


async def _run(body: dict[str, Any], form: following.Format | None, *, open_page: bool) -> str:
    screen = Screen(texts=form is None)
    async with connection.connect() as edge:
        view = await following.follow_accepted(edge, screen, await edge.post("/api/tasks", body))
        await following.deliver(edge, screen, view, form=form, open_page=open_page)
    return view.outcome
