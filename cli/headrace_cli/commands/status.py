"""`headrace status`: each process, the queue and the gates."""

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from headrace_cli import connection
from headrace_cli.client import EdgeClient
from headrace_cli.errors import CliError
from headrace_cli.quota_view import History, picture
from headrace_cli.report import end_lines, report, scale_line, table, total_line
from headrace_cli.settings import CliSettings
from headrace_cli.supervisor import measure, state

QUOTA_S = 3.0
"""Longest wait for the edge's word on queue and gates."""


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Show each process with its memory, CPU and restarts, the queue, and the models' gates.

    PSS counts shared pages in proportion, so it may be added up. Exit code 3 when nothing is up.
    """
    last = connection.state_dir().read()
    if last is None:
        if as_json:
            print(json.dumps({"phase": "down", "processes": []}))
        else:
            Console().print("nothing is up here; start it with `headrace up`")
        raise typer.Exit(3)
    own, figures = measure.measure(last.supervisor, [part.process for part in last.parts])
    quota = asyncio.run(_quota(last.url)) if own is not None else None
    answer = report(last, figures, own, quota, state.now())
    if as_json:
        print(json.dumps(answer))
    elif own is None and not any(figures):
        print("nothing is up here" + (f"; the last start failed: {last.error}" if last.error else ""))
    else:
        _print(answer)
    if own is None:
        raise typer.Exit(3)


async def _quota(url: str) -> dict[str, Any] | None:
    key = CliSettings().api_key.get_secret_value()
    try:
        async with EdgeClient(url, api_key=key) as edge, asyncio.timeout(QUOTA_S):
            answer = await edge.get("/api/quota")
    except (CliError, TimeoutError):
        return None
    return answer if isinstance(answer, dict) else None


def _print(answer: dict[str, Any]) -> None:
    console = Console(highlight=False)
    console.print(f"[bold]{answer['phase']}[/]  {answer['url']}  models: {escape(', '.join(answer['models']))}")
    console.print(table(answer))
    console.print(total_line(answer))
    if line := scale_line(answer):
        console.print(escape(line), soft_wrap=True)
    for line in end_lines(answer):
        console.print(f"[yellow]![/] {escape(line)}")
    for note in answer["notes"]:
        console.print(f"[yellow]![/] {escape(note)}")
    if answer["error"]:
        console.print(f"[red]✗[/] {escape(answer['error'])}")
    if answer["phase"] == "down" and any(row["pid"] and row["state"] != "gone" for row in answer["processes"][1:]):
        console.print("[yellow]![/] the supervisor has died: `headrace down` ends what is left, `headrace up` starts anew")
    if answer["quota"] is not None:
        console.print(picture(answer["quota"], History(), console.width), soft_wrap=True)
