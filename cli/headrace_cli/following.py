"""Shows a run to its end and hands over what it made. Ctrl-C cancels the run at the edge."""

import asyncio
import contextlib
import dataclasses
import json
import signal
from collections.abc import AsyncGenerator, Iterator
from enum import StrEnum
from pathlib import Path

import typer
from rich.markup import escape

from headrace_cli import connection
from headrace_cli.client import EdgeClient, Event
from headrace_cli.errors import CliError
from headrace_cli.render import result_text
from headrace_cli.screen import Screen
from headrace_cli.view import Json, View

EXIT_CODES = {"error": 1, "interrupt": 4, "cancelled": 130}
"""By a run's outcome; 130 is a shell's for Ctrl-C."""


class Format(StrEnum):
    """How a result is written to standard output."""

    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


async def follow(edge: EdgeClient, screen: Screen, events: AsyncGenerator[Event, None]) -> View:
    """Show a run. Ctrl-C cancels it, and the outcome is then `cancelled`."""
    seen = View()

    def remember(view: View) -> None:
        nonlocal seen
        seen = view

    answering = asyncio.create_task(screen.follow(events, on_view=remember), name="answer")
    with _interrupts(answering):
        try:
            return await answering
        except asyncio.CancelledError:
            if seen.run_id:
                await edge.cancel(seen.run_id)
            screen.line("[dim]· cancelled[/]")
            return dataclasses.replace(seen, outcome="cancelled")


@contextlib.contextmanager
def _interrupts(task: asyncio.Task[View]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def follow_accepted(edge: EdgeClient, screen: Screen, accepted: Json) -> View:
    """Show a run that was accepted with 202."""
    run_id = str(accepted["run_id"])
    screen.line(f"[dim]run {escape(run_id)}[/]")
    return await follow(edge, screen, edge.watch(run_id))


async def deliver(edge: EdgeClient, screen: Screen, view: View, *, form: Format | None, open_page: bool) -> None:
    """Write a finished run's result in a format, or else what was not streamed, and say where its page is."""
    if view.outcome != "success":
        return
    page = page_of(view.result)
    if form is not None:
        screen.out.out((await _written(edge, view.result, page, form)).rstrip("\n"), highlight=False)
    elif view.result is not None and not view.said:
        screen.out.out(result_text(view.result), highlight=False)
    name_page(screen, view)
    if open_page:
        await show_in_browser(edge, screen, *_needed(page))


def name_page(screen: Screen, view: View) -> None:
    """Say which page a run has made, if it has, and what shows it."""
    if (page := page_of(view.result)) is not None:
        page_id, version = page
        screen.line(f"[dim]page {escape(page_id)} version {version}: headrace page show {escape(page_id)}[/]")


def page_of(result: Json) -> tuple[str, int] | None:
    """The page's id and version in a run's result."""
    page = result.get("page") if isinstance(result, dict) else None
    if not isinstance(page, dict) or not page.get("page_id"):
        return None
    return str(page["page_id"]), int(page.get("version") or 0)


async def show_in_browser(edge: EdgeClient, screen: Screen, page_id: str, version: int) -> None:
    """Write a page's HTML into the state dir and open it."""
    html = await edge.text(f"/api/pages/{page_id}", format=Format.HTML.value, **_version(version))
    file = _page_file(page_id, version)
    file.write_text(html, encoding="utf-8")
    screen.line(f"[dim]{escape(str(file))}[/]")
    typer.launch(str(file))


def _page_file(page_id: str, version: int) -> Path:
    folder = connection.state_dir().home / "pages"
    folder.mkdir(parents=True, exist_ok=True)
    safe = "".join(character for character in page_id if character.isalnum() or character in "-_")
    return folder / f"{safe}-{version}.html"


async def _written(edge: EdgeClient, result: Json, page: tuple[str, int] | None, form: Format) -> str:
    if form is Format.JSON:
        return json.dumps(result, ensure_ascii=False, indent=2)
    if page is None and form is Format.MARKDOWN:
        return result_text(result)
    page_id, version = _needed(page)
    return await edge.text(f"/api/pages/{page_id}", format=form.value, **_version(version))


def _needed(page: tuple[str, int] | None) -> tuple[str, int]:
    if page is None:
        raise CliError("the run made no page", hint="give its blueprint a layout, or write it with --format json")
    return page


def _version(version: int) -> dict[str, int]:
    return {"version": version} if version else {}
