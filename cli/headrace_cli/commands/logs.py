"""`headrace logs`: what the processes wrote."""

import time
from pathlib import Path
from typing import Annotated

import typer

from headrace_cli import connection
from headrace_cli.errors import CliError
from headrace_cli.supervisor import logfiles

POLL_S = 0.2


def logs(
    service: Annotated[str, typer.Argument(help="One of them, such as edge or executor; all when not given.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.", min=0, max=100_000)] = 50,
) -> None:
    """Print the last lines of a service's log, or of all logs."""
    directory = connection.state_dir()
    known = {log.stem: log for log in sorted(directory.logs.glob("*.log"))}
    if not known:
        raise CliError(f"no logs at {directory.logs}", hint="start it with `headrace up`")
    if service and service not in known:
        raise CliError(f"no log of {service!r}", hint=f"there are {', '.join(known)}")
    chosen = {service: known[service]} if service else known
    prefixed = len(chosen) > 1
    at = {name: log.stat().st_size for name, log in chosen.items()}
    for name, log in chosen.items():
        for line in logfiles.last_lines(log, lines):
            _print(name, line, prefixed=prefixed)
    while follow:
        for name, log in chosen.items():
            at[name] = _print_new(name, log, at[name], prefixed=prefixed)
        time.sleep(POLL_S)


def _print_new(name: str, log: Path, offset: int, *, prefixed: bool) -> int:
    """Print the whole lines after `offset` and return where the next begin; an emptied log starts at its beginning."""
    if log.stat().st_size < offset:
        offset = 0
    with log.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                break
            offset += len(line)
            _print(name, line.decode(errors="replace").rstrip("\n"), prefixed=prefixed)
    return offset


def _print(name: str, line: str, *, prefixed: bool) -> None:
    print(f"{name:<12} {line}" if prefixed else line, flush=True)
