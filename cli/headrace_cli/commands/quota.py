"""`headrace quota`: what the provider grants now, who waits for it and how long."""

import asyncio
import json
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape

from headrace_cli import connection
from headrace_cli.client import EdgeClient
from headrace_cli.errors import CliError
from headrace_cli.quota_view import History, picture

REFRESH_S = 1.0
WAIT_S = 5.0
"""Longest wait for the edge's word."""

FILE_WIDTH = 160
"""Columns where there is no terminal that says how many it has."""


def quota(
    watch: Annotated[
        bool | None, typer.Option("--watch/--once", help="Look every second until Ctrl-C; on a terminal the default.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The edge's JSON, for programs; with --watch one line a look.")
    ] = False,
) -> None:
    """Show each model's pace, who waits at its gate and for how long, live.

    Three numbers are always interactive / standard / background. "40 of 60 (set 100)" means: 40 calls in the last minute,
    60 a minute is what the provider was found to grant, 100 is what is configured. "A new call waits" is said for a caller
    of whom nothing waits yet: tenants take turns. What is configured is `limits` in models.yaml, or `headrace up --rpm`.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    if watch is None:
        watch = console.is_terminal and not as_json
    try:
        asyncio.run(_follow(console, as_json=as_json) if watch else _once(console, as_json=as_json))
    except KeyboardInterrupt:
        return


async def _once(console: Console, *, as_json: bool) -> None:
    history = History()
    async with connection.connect() as edge:
        _print(console, await _look(edge), history, as_json=as_json)


async def _follow(console: Console, *, as_json: bool) -> None:
    history = History()
    async with connection.connect() as edge:
        seen = await _look(edge)
        if console.is_terminal and not as_json:
            await _live(console, edge, seen, history)
        while True:
            _print(console, seen, history, as_json=as_json)
            await asyncio.sleep(REFRESH_S)
            seen = await _look(edge)


async def _live(console: Console, edge: EdgeClient, seen: Any, history: History) -> NoReturn:
    with Live(console=console, auto_refresh=False) as live:
        away = ""
        while True:
            if not away:
                history.see(seen)
            note = f"[yellow]! {escape(away)}[/]" if away else f"[dim]{escape(edge.url)} · Ctrl-C ends[/]"
            live.update(Group(picture(seen, history, console.width), note), refresh=True)
            await asyncio.sleep(REFRESH_S)
            try:
                seen, away = await _look(edge), ""
            except CliError as error:
                away = str(error)


def _print(console: Console, seen: Any, history: History, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(seen), flush=True)
        return
    history.see(seen)
    console.print(picture(seen, history, console.width), soft_wrap=True)


async def _look(edge: EdgeClient) -> Any:
    try:
        async with asyncio.timeout(WAIT_S):
            return await edge.get("/api/quota")
    except TimeoutError as error:
        raise CliError(f"{edge.url} did not answer within {WAIT_S:g} s") from error
