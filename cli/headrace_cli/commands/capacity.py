"""`headrace capacity`: how many users a quota serves."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from headrace_cli.capacity import bounds, formula, options, plot, report, sweep
from headrace_cli.capacity.model import Scenario
from headrace_cli.capacity.simulation import simulate
from headrace_cli.capacity.tally import Point
from headrace_cli.errors import CliError

_LOAD, _SUPPLY, _GOAL, _OUT = "What is asked", "What there is", "The simulation", "Output"


def capacity(
    rpm: Annotated[float, typer.Option(help="The quota's requests per minute.", rich_help_panel=_SUPPLY)],
    tpm: Annotated[
        float, typer.Option(help="The quota's tokens per minute; 0: not bounded.", rich_help_panel=_SUPPLY)
    ] = 0.0,
    replicas: Annotated[int, typer.Option(help="Executor processes.", min=1, max=1000, rich_help_panel=_SUPPLY)] = 1,
    slots: Annotated[
        int, typer.Option(help="Requests that each works on at once.", min=1, max=1024, rich_help_panel=_SUPPLY)
    ] = 32,
    mix: Annotated[
        str, typer.Option(metavar="KIND=SHARE,…", help="Kinds of requests, in any unit.", rich_help_panel=_LOAD)
    ] = "chat=60,workflow=25,build=15",
    think: Annotated[
        float, typer.Option(help="Seconds from an answer to the user's next request, on average.", rich_help_panel=_LOAD)
    ] = 15.0,
    calls: Annotated[
        str, typer.Option(metavar="KIND=N,…", help="Model calls of a request, on average.", rich_help_panel=_LOAD)
    ] = "",
    seconds: Annotated[
        str, typer.Option(metavar="KIND=S,…", help="Seconds of a call that need not wait.", rich_help_panel=_LOAD)
    ] = "",
    tokens: Annotated[
        str, typer.Option(metavar="KIND=N,…", help="Tokens of a call, prompt and answer.", rich_help_panel=_LOAD)
    ] = "",
    priority: Annotated[
        str,
        typer.Option(
            metavar="KIND=CLASS,…",
            help="interactive, standard or background; chat is interactive, others standard.",
            rich_help_panel=_LOAD,
        ),
    ] = "",
    patience: Annotated[
        str,
        typer.Option(
            metavar="CLASS=S,…",
            help="When a request is given up; interactive=60,standard=180,background=900.",
            rich_help_panel=_LOAD,
        ),
    ] = "",
    target_wait: Annotated[
        float, typer.Option(help="Longest wait, in seconds, of 95 % of the requests.", rich_help_panel=_GOAL)
    ] = 10.0,
    spread: Annotated[
        float, typer.Option(help="Standard deviation of seconds and tokens, over their mean.", rich_help_panel=_GOAL)
    ] = 0.5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.", rich_help_panel=_GOAL)] = 1,
    simulated: Annotated[
        bool, typer.Option("--simulate/--no-simulate", help="Simulate, or calculate only.", rich_help_panel=_GOAL)
    ] = True,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.svg", help="Draw it into a file.", rich_help_panel=_OUT)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.", rich_help_panel=_OUT)] = False,
) -> None:
    """How many users a quota serves, and what limits it: by formula, and by simulating users before the real gate.

    headrace capacity --rpm 100 --mix chat=60,workflow=25,build=15 --think 15

    A request of that mix takes 1.6 model calls and 14.5 s. Users who think for
    15 s ask every 29.5 s; so 100 calls a minute serve 100 / 60 / 1.6 × 29.5
    = 30.7, about 31 of them, and requests per minute bind. Other kinds:

    headrace capacity --rpm 600 --tpm 900000 --mix chat=80,report=20
    --calls report=6 --seconds report=12 --tokens report=4000 --plot plan.svg

    docs/capacity.md has the assumptions, and how to read the plot.
    """
    texts = options.Texts(mix, calls, seconds, tokens, priority, patience)
    scenario = options.scenario(texts, rpm=rpm, tpm=tpm, think_s=think, slots=replicas * slots)
    goal = sweep.Goal(options.checked("--target-wait", target_wait))
    options.checked("--spread", spread)
    _check_plot(plot_file, simulated=simulated)
    points = _simulate(scenario, goal, seed=seed, spread=spread) if simulated else []
    plan = report.Plan(scenario, goal, seed, sorted(points, key=lambda point: point.users))
    if plot_file is not None:
        _write(plot_file, plot.svg(plan.points, report.caption(plan)))
    if as_json:
        print(json.dumps(report.data(plan), ensure_ascii=False))
    else:
        _print(plan)


def _check_plot(file: Path | None, *, simulated: bool) -> None:
    if file is None:
        return
    if file.suffix != ".svg":
        raise CliError(f"--plot {file} does not end in .svg", hint="a browser shows it; the plot is written as SVG only")
    if not file.parent.is_dir():
        raise CliError(f"--plot {file}: there is no folder {file.parent}")
    if not simulated:
        raise CliError("--plot and --no-simulate exclude each other", hint="the plot shows the simulation")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"--plot {file} cannot be written: {error.strerror}") from error


def _simulate(scenario: Scenario, goal: sweep.Goal, *, seed: int, spread: float) -> list[Point]:
    per_s = bounds.most_per_s(scenario)
    around = formula.users(per_s=per_s, response_s=scenario.response_s, think_s=scenario.think_s)
    run = sweep.run_of(scenario, per_s=per_s, seed=seed, spread=spread)
    calls = per_s * scenario.calls * run.seconds
    if calls > sweep.MOST_CALLS or around > sweep.MOST_USERS:
        raise CliError(
            f"{around:,.0f} users with {calls:,.0f} calls are too many to simulate: the most are {sweep.MOST_USERS:,}"
            f" and {sweep.MOST_CALLS:,}",
            hint="--no-simulate calculates only",
        )
    columns = (TextColumn("simulating {task.fields[users]} users"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=sweep.expected_looks(around), users="")

        def look(users: int) -> Point:
            progress.update(task, users=users)
            point = simulate(scenario, users, run)
            progress.advance(task)
            return point

        return list(sweep.explore(look, around, goal))


def _print(plan: report.Plan) -> None:
    console = Console(highlight=False)
    console.print(report.kinds_table(plan))
    console.print()
    console.print(report.bounds_table(plan))
    console.print()
    if plan.points:
        console.print(report.points_table(plan))
        console.print()
    for line in (*report.formula_lines(plan), *(report.simulation_lines(plan) if plan.points else ())):
        console.print(escape(line), soft_wrap=True)
