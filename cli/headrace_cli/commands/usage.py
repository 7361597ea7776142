"""`headrace usage`: what model calls cost, and what is left of the day's budget."""

import asyncio
import json
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from headrace_cli import connection, costs
from headrace_cli.errors import CliError

DAY = "YYYY-MM-DD"
FILE_WIDTH = 200
"""Columns where there is no terminal that says how many it has: an id stays on its line."""


def usage(
    first: Annotated[str, typer.Option("--from", metavar=DAY, help="First day, UTC; today when not given.")] = "",
    last: Annotated[str, typer.Option("--to", metavar=DAY, help="Last day, UTC; today when not given.")] = "",
    by: Annotated[
        str, typer.Option(metavar="NAMES", help="Any of day, model, kind, session, run, with commas; '' for the total.")
    ] = "model",
    session: Annotated[str, typer.Option(help="Only this session's runs.")] = "",
    run: Annotated[str, typer.Option(help="Only this run.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The edge's answer, for programs.")] = False,
) -> None:
    """Show calls, tokens and cost, and what is used of the day's budget.

    Examples:
      headrace usage                                today, by model
      headrace usage --from 2026-01-01 --by day     since then, at most 92 days
      headrace usage --by run --session ID          today's runs of a conversation

    A cost is "unknown" when a model without a known price was asked: give it a `price` in models.yaml. The budget is
    set there too: `tenants: {NAME: {daily: {usd: 5, tokens: 2000000, calls: 4000}}}`.

    """
    names = [name.strip() for name in by.split(",")] if by.strip() else []
    unknown = [name for name in names if name not in costs.COLUMNS]
    if unknown:
        raise CliError(f"--by knows no {unknown[0]!r}", hint=f"use some of {', '.join(costs.COLUMNS)}, with commas between")
    for option, day in (("--from", first), ("--to", last)):
        _check(option, day)
    filters = {"from": first, "to": last, "group_by": ",".join(names), "session_id": session, "run_id": run}
    answer = asyncio.run(_get({name: value for name, value in filters.items() if value}))
    if as_json:
        print(json.dumps(answer))
    else:
        _print(answer, names)


def _check(option: str, day: str) -> None:
    try:
        if day:
            date.fromisoformat(day)
    except ValueError:
        today = datetime.now(UTC).date()
        raise CliError(f"{option} knows no day {day!r}", hint=f"write it as {DAY}, such as {today}") from None


async def _get(params: dict[str, str]) -> dict[str, Any]:
    async with connection.connect() as edge:
        answer: dict[str, Any] = await edge.get("/api/usage", **params)
    return answer


def _print(answer: dict[str, Any], by: list[str]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    days = answer["from"] if answer["from"] == answer["to"] else f"{answer['from']} to {answer['to']}"
    console.print(f"[bold]{days}[/] [dim]UTC[/]")
    console.print(costs.table(answer, by))
    if answer["truncated"]:
        console.print(f"[yellow]![/] there are more than these {len(answer['rows'])} rows; the total has them all")
    bars = costs.budget(answer, now=datetime.now(UTC))
    if bars is not None:
        console.print(bars)
