"""`headrace simulate-scaling`: what the scaling policy does to a load, beside KEDA."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from headrace_operator.model import Spec
from rich.console import Console
from rich.markup import escape

from headrace_cli.errors import CliError
from headrace_cli.scaling import figures, plot, simulation, trace
from headrace_cli.scaling.figures import Bounds
from headrace_cli.scaling.hpa import HpaSpec
from headrace_cli.scaling.plant import Machine

MOST_SLOTS = 10_000
"""Calls that the gate lets wait at once."""
_SCALE, _MACHINE, _KEDA, _OUT = "The policy", "The executors", "KEDA and its HorizontalPodAutoscaler", "Output"


def simulate_scaling(
    file: Annotated[Path, typer.Argument(metavar="TRACE.csv", help="Load and quota over time.")],
    least: Annotated[int, typer.Option("--min", help="Fewest executors.", min=1, max=100, rich_help_panel=_SCALE)] = 1,
    most: Annotated[int, typer.Option("--max", help="Most executors.", min=1, max=100, rich_help_panel=_SCALE)] = 10,
    calls_per_replica: Annotated[
        int | None,
        typer.Option(help="Calls of an executor in flight at once; its slots.", min=1, max=1024, rich_help_panel=_SCALE),
    ] = None,
    headroom: Annotated[
        float, typer.Option(help="Share of executors beyond the quota's number.", min=0, max=4, rich_help_panel=_SCALE)
    ] = 0.25,
    interval: Annotated[
        float, typer.Option(help="Seconds from one decision to the next.", min=1, max=300, rich_help_panel=_SCALE)
    ] = 10.0,
    slots: Annotated[
        int, typer.Option(help="Runs that an executor works on at once.", min=1, max=1024, rich_help_panel=_MACHINE)
    ] = 32,
    start: Annotated[
        float, typer.Option(help="Seconds until one that was asked for is ready.", min=0, max=600, rich_help_panel=_MACHINE)
    ] = 15.0,
    drain: Annotated[
        float,
        typer.Option(help="Seconds that one may finish its runs.", min=0, max=3600, rich_help_panel=_MACHINE),
    ] = 20.0,
    spread: Annotated[
        float,
        typer.Option(
            help="Standard deviation of a call's seconds over their mean.", min=0, max=5, rich_help_panel=_MACHINE
        ),
    ] = 0.5,
    hpa_target: Annotated[
        float | None,
        typer.Option(help="Runs of one replica, waiting and running; its slots.", min=0.1, rich_help_panel=_KEDA),
    ] = None,
    hpa_sync: Annotated[
        float, typer.Option(help="Seconds from one decision to the next.", min=1, max=300, rich_help_panel=_KEDA)
    ] = 15.0,
    hpa_window: Annotated[
        float, typer.Option(help="Stabilisation window downwards, in seconds.", min=0, max=3600, rich_help_panel=_KEDA)
    ] = 300.0,
    keda_poll: Annotated[
        float, typer.Option(help="Seconds that a cached metric is old at most.", min=1, max=600, rich_help_panel=_KEDA)
    ] = 30.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.", rich_help_panel=_OUT)] = 1,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.svg", help="Draw it into a file.", rich_help_panel=_OUT)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.", rich_help_panel=_OUT)] = False,
) -> None:
    """Play a load against the operator's scaling policy, in virtual time, and against KEDA with a queue-length trigger.

    headrace simulate-scaling examples/scaling/burst.csv --slots 4 --plot burst.svg

    The trace has the columns time_s, runs_per_s (or runs: how many until the
    next row), rpm (what the provider grants), and perhaps seconds_per_call
    and calls_per_run. Each row holds until the next; the last ends the trace.

    docs/scaling.md has the policy, the assumptions, and how to read the plot.
    """
    _check(least, most, slots, plot_file)
    rows = trace.parse(_read(file), str(file))
    arrivals = trace.arrivals(rows, seed=seed, spread=spread)
    calls = calls_per_replica or slots
    spec = Spec(min_replicas=least, max_replicas=most, calls_per_replica=calls, headroom=headroom)
    hpa = HpaSpec(hpa_target or slots, least, most, hpa_window)
    cached = dataclasses.replace(hpa, poll_s=keda_poll)
    machine, bounds = Machine(slots, start, drain), Bounds(least, calls, headroom)
    plays = [
        simulation.play(rows, arrivals, machine, controller, least=least)
        for controller in (
            simulation.headrace(spec, slots=slots, every_s=interval),
            simulation.keda("keda", hpa, every_s=hpa_sync),
            simulation.keda("keda, cached", cached, every_s=hpa_sync),
        )
    ]
    found = [figures.figures(play, rows, bounds) for play in plays]
    if plot_file is not None:
        subtitle = f"{len(arrivals)} runs in {rows[-1].time_s / trace.MINUTE_S:g} minutes, executors of {slots} slots"
        _write(plot_file, plot.svg(plays[:2], rows, bounds, title=f"Scaling: {file.stem}", subtitle=subtitle))
    if as_json:
        print(json.dumps({"trace": str(file), "runs": len(arrivals), "policies": list(map(dataclasses.asdict, found))}))
        return
    console = Console(highlight=False)
    console.print(figures.table(found))
    for line in figures.lines(found):
        console.print(escape(line), soft_wrap=True)


def _check(least: int, most: int, slots: int, plot_file: Path | None) -> None:
    if least > most:
        raise CliError(f"--min {least} is more than --max {most}")
    if slots * most > MOST_SLOTS:
        raise CliError(
            f"--slots {slots} × --max {most} is more than {MOST_SLOTS:,}", hint="so many calls the gate lets wait"
        )
    if plot_file is not None and plot_file.suffix != ".svg":
        raise CliError(
            f"--plot {plot_file} does not end in .svg", hint="a browser shows it; the plot is written as SVG only"
        )
    if plot_file is not None and not plot_file.parent.is_dir():
        raise CliError(f"--plot {plot_file}: there is no folder {plot_file.parent}")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"{file} cannot be read: {error}", hint=trace.HINT) from error


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"--plot {file} cannot be written: {error.strerror}") from error
