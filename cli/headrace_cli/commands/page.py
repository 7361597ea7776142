"""`headrace page`: what blueprints with a layout made, changed by one sentence, with every version kept."""

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.markdown import Markdown
from rich.markup import escape

from headrace_cli import connection, following, listing
from headrace_cli.commands.options import AsJson, Open, Output, Yes
from headrace_cli.errors import CliError
from headrace_cli.following import Format
from headrace_cli.screen import Screen

Json = Any

HELP = """Read pages, change them by a sentence, and take changes back.

  headrace page list
  headrace page show PAGE_ID
  headrace page show PAGE_ID --format html > page.html
  headrace page patch PAGE_ID "make the summary shorter"    only what the sentence concerns is written anew
  headrace page undo PAGE_ID
"""
PATH = "/api/pages"
Id = Annotated[str, typer.Argument(metavar="PAGE_ID")]
Version = Annotated[int, typer.Option(help="An earlier version; the current one when not given.", min=0)]
Seen = Annotated[int, typer.Option(help="The version that you have seen: refused when another is current.", min=0)]

app = typer.Typer(name="page", help=HELP, no_args_is_help=True, rich_markup_mode="rich")


@app.command("list")
def list_(
    session: Annotated[str, typer.Option(help="Only this session's.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the pages, the newest first."""
    found, more = asyncio.run(_listed(session))
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    out = listing.console()
    rows = [[one["page_id"], str(one["version"]), listing.when(one["created_at"]), one["title"]] for one in found]
    out.print(listing.table(["PAGE_ID", "VERSION", "MADE", "TITLE"], rows))
    if more:
        out.print(f"[yellow]![/] there are more than these {len(found)}")


@app.command()
def show(page_id: Id, version: Version = 0, form: Output = None, open_page: Open = False) -> None:
    """Show a page: on a terminal as it is meant to look, else, and with `--format`, as it is written."""
    if open_page:
        asyncio.run(_opened(page_id, version))
        return
    text = asyncio.run(_written(page_id, version, form or Format.MARKDOWN))
    out = Screen().out
    if form is None and out.is_terminal:
        out.print(Markdown(text))
    else:
        out.out(text.rstrip("\n"), highlight=False)


@app.command()
def versions(page_id: Id, as_json: AsJson = False) -> None:
    """List a page's versions and the sentences that made them."""
    found = asyncio.run(_versions(page_id))
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    rows = [
        [
            f"{one['version']}{' current' if one['current'] else ''}",
            str(one["parent_version"] or ""),
            listing.when(one["created_at"]),
            one["instruction"] or "",
        ]
        for one in found
    ]
    listing.console().print(listing.table(["VERSION", "MADE FROM", "MADE", "INSTRUCTION"], rows))


@app.command()
def patch(
    page_id: Id,
    instruction: Annotated[str, typer.Argument(help="What is to be different, in one sentence.")],
    seen: Seen = 0,
    model: Annotated[str, typer.Option(help="A model's id; the default one when not given.")] = "",
    form: Output = None,
    open_page: Open = False,
) -> None:
    """Change a page by one sentence: what it concerns is written anew, everything else stays byte for byte.

    Ctrl-C cancels the change. The page's earlier version is kept: `undo` goes back to it. What others change meanwhile is
    kept as well, unless both concern the same.
    """
    said = {"model": model, "version": seen}
    body = {"page_id": page_id, "instruction": instruction, **{name: value for name, value in said.items() if value}}
    outcome = asyncio.run(_patched(body, form, open_page=open_page))
    if outcome in following.EXIT_CODES:
        raise typer.Exit(following.EXIT_CODES[outcome])


@app.command()
def undo(
    page_id: Id,
    version: Annotated[int, typer.Option(help="Go back to this one; else to the one before the last change.", min=0)] = 0,
    seen: Seen = 0,
) -> None:
    """Make an earlier version the current one. No version is lost by it."""
    page = asyncio.run(_restored(page_id, version, seen))
    Screen().line(f"[green]✓[/] {escape(page_id)} [dim]version {page['version']} is the current one[/]")


@app.command()
def delete(page_id: Id, yes: Yes = False) -> None:
    """Remove a page with all its versions."""
    if not yes:
        typer.confirm(f"Remove the page {page_id} with all its versions?", abort=True, err=True)
    asyncio.run(_deleted(page_id))


async def _listed(session: str) -> tuple[list[dict[str, Json]], bool]:
    async with connection.connect() as edge:
        return await listing.everything(edge, PATH, **({"session_id": session} if session else {}))


async def _written(page_id: str, version: int, form: Format) -> str:
    at = {"version": version} if version else {}
    async with connection.connect() as edge:
        if form is Format.JSON:
            return json.dumps(await edge.get(f"{PATH}/{page_id}", **at), ensure_ascii=False, indent=2)
        return await edge.text(f"{PATH}/{page_id}", format=form.value, **at)


async def _opened(page_id: str, version: int) -> None:
    async with connection.connect() as edge:
        await following.show_in_browser(edge, Screen(), page_id, version)


async def _versions(page_id: str) -> list[dict[str, Json]]:
    async with connection.connect() as edge:
        found: list[dict[str, Json]] = (await edge.get(f"{PATH}/{page_id}/versions"))["items"]
    return found


async def _patched(body: dict[str, Json], form: Format | None, *, open_page: bool) -> str:
    screen = Screen(texts=form is None)
    async with connection.connect() as edge:
        view = await following.follow(edge, screen, edge.start("/api/page/patch", body))
        await following.deliver(edge, screen, view, form=form, open_page=open_page)
    return view.outcome


async def _restored(page_id: str, version: int, seen: int) -> dict[str, Json]:
    said = {"version": version, "expected_version": seen}
    body = {name: value for name, value in said.items() if value}
    async with connection.connect() as edge:
        page = await edge.post(f"{PATH}/{page_id}/restore", body)
    if not isinstance(page, dict):
        raise CliError(f"the edge at {edge.url} did not say which version is the current one")
    return page


async def _deleted(page_id: str) -> None:
    async with connection.connect() as edge:
        await edge.delete(f"{PATH}/{page_id}")
    Screen().line(f"[green]✓[/] {escape(page_id)} [dim]removed[/]")
