"""`headrace run`: a blueprint of your own."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from headrace_cli import connection
from headrace_cli.errors import CliError
from headrace_cli.render import result_text
from headrace_cli.screen import Screen

MAX_BYTES = 1024 * 1024
"""The edge takes no larger body."""


def run(
    file: Annotated[Path, typer.Argument(help="A blueprint, JSON or YAML.", exists=True, dir_okay=False)],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", "-i", metavar="KEY=VALUE", help="One input; the value is JSON, or else a text. Again for more."
        ),
    ] = None,
) -> None:
    """Run a blueprint and watch its nodes; the texts that it composes, or else its output, go to standard output."""
    body = {"kind": "page", "blueprint": blueprint(file), "inputs": parse_inputs(inputs or [])}
    if asyncio.run(_run(body)) == "error":
        raise typer.Exit(1)


def blueprint(file: Path) -> dict[str, Any]:
    """Read a blueprint. Raises `CliError` when it is not an object."""
    if file.stat().st_size > MAX_BYTES:
        raise CliError(f"{file} is larger than {MAX_BYTES} bytes")
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))  # JSON is YAML
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CliError(f"{file} is neither JSON nor YAML: {error}") from error
    if not isinstance(value, dict):
        raise CliError(f"{file} is not a blueprint: an object was expected", hint="docs/blueprints.md has its shape")
    return value


def parse_inputs(pairs: list[str]) -> dict[str, Any]:
    """Read KEY=VALUE pairs: `n=3` is a number, `name=Ada` a text. Raises `CliError` for anything else."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise CliError(f"--input {pair!r} is not KEY=VALUE")
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    return values


async def _run(body: dict[str, Any]) -> str:
    screen = Screen()
    async with connection.connect() as edge:
        accepted = await edge.post("/api/tasks", body)
        run_id = str(accepted["run_id"])
        screen.line(f"[dim]run {run_id}[/]")
        view = await screen.follow(edge.watch(run_id))
    if view.outcome == "success" and view.result is not None and not view.said:
        screen.out.out(result_text(view.result), highlight=False)
    return view.outcome
