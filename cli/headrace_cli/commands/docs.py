"""`headrace docs`: documents in, passages out."""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace_cli import connection
from headrace_cli.client import EdgeClient
from headrace_cli.errors import CliError
from headrace_cli.screen import Screen

WAIT_S = 30
"""Of one question for a run's end; it is asked again."""
READ_S = 1800.0
"""Longest that reading one document may take: a small model takes seconds for each passage."""
MAX_SHOWN_CHARS = 400

app = typer.Typer(name="docs", help="Add documents and search them.", no_args_is_help=True)

Workspace = Annotated[str, typer.Option(help="Which collection; the default one when not given.")]


@app.command()
def add(
    files: Annotated[list[Path], typer.Argument(help="Text or Markdown.", exists=True, dir_okay=False)],
    workspace: Workspace = "",
    wait: Annotated[bool, typer.Option(help="Wait until each has been read.")] = True,
) -> None:
    """Add documents: they are cut into passages, and a model reads entities and relations out of them."""
    if not asyncio.run(_add(((file.name, file.read_bytes()) for file in files), workspace, wait=wait)):
        raise typer.Exit(1)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    workspace: Workspace = "",
    mode: Annotated[str, typer.Option(help="naive, local, global, hybrid or mix; naive calls no model.")] = "naive",
    top_k: Annotated[int, typer.Option(help="How many passages.", min=1, max=50)] = 5,
) -> None:
    """Search the documents; the passages go to standard output, the best first."""
    asyncio.run(_search({"query": query, "mode": mode, "top_k": top_k, **_named(workspace)}))


def _named(workspace: str) -> dict[str, str]:
    return {"workspace": workspace} if workspace else {}


async def _add(documents: Iterable[tuple[str, bytes]], workspace: str, *, wait: bool) -> bool:
    screen = Screen()
    good = True
    async with connection.connect() as edge:
        for name, content in documents:
            accepted = await edge.upload("/api/internal/documents/parse", name, content, _named(workspace))
            screen.line(f"[cyan]▸[/] {escape(name)} [dim]document {escape(str(accepted['document_id']))}[/]")
            if wait:
                good &= await _read(edge, screen, name, str(accepted["run_id"]))
    return good


async def _read(edge: EdgeClient, screen: Screen, name: str, run_id: str) -> bool:
    began = time.monotonic()
    while time.monotonic() - began < READ_S:
        run = await edge.get(f"/api/tasks/{run_id}", wait=WAIT_S)
        if run["status"] == "succeeded":
            screen.line(f"[green]✓[/] {escape(name)} [dim]read in {time.monotonic() - began:.1f} s[/]")
            return True
        if run["status"] in ("failed", "cancelled"):
            error = run.get("error") or {}
            why = error.get("detail") or error.get("message") or error.get("title") or ""
            screen.line(f"[red]✗[/] {escape(name)}: {run['status']} {escape(str(why))}")
            return False
    raise CliError(f"{name} was not read within {READ_S:g} s", hint=f"it goes on as run {run_id}")


async def _search(body: dict[str, Any]) -> None:
    screen = Screen()
    async with connection.connect() as edge:
        answer = await edge.post("/api/internal/documents/search", body)
    chunks = answer.get("chunks") or []
    if not chunks:
        screen.line("[dim]nothing found[/]")
    for number, chunk in enumerate(chunks, start=1):
        score = chunk.get("score")
        facts = f"  {score:.2f}" if isinstance(score, int | float) else ""
        screen.out.print(
            f"[bold]{number}. {escape(str(chunk.get('title') or chunk.get('document_id') or ''))}[/][dim]{facts}[/]"
        )
        screen.out.out("   " + " ".join(str(chunk.get("text", "")).split())[:MAX_SHOWN_CHARS], highlight=False)
