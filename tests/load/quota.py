"""Shows what becomes of a quota under load: `python -m tests.load.quota SHOW`. Ends with 1 when something did not hold."""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import httpx
from headrace_cli.embedded.program import ProgramFailed
from rich.console import Console

from tests.load import ablation, clients, drop, faults, overload, results, stage, tables, turns
from tests.load.results import Check, Shown
from tests.load.stage import Stage

BESIDE_S = 60.0
"""The longest that a run of `all` takes where the figures are compared with each other."""
WIDE = 200
"""Characters of a line in the kept summary."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is chosen for the runs."""

    seconds: float
    deadline_s: float
    beside: bool = False


Case = Callable[[Stage, Terms], list[Shown]]


@dataclass(frozen=True, slots=True)
class Show:
    """What can be asked for."""

    says: str
    cases: Mapping[str, Case]
    seconds: float | None = None
    """Of each run; None where what happens says how long."""
    most_s: float = BESIDE_S
    """Of each run within `all`."""


def _overload(name: str, on: Stage, terms: Terms) -> list[Shown]:
    variants = (clients.OURS, clients.ROUTER, clients.RETRIES) if terms.beside else (clients.OURS,)
    return overload.show(on, name, seconds=terms.seconds, deadline_s=terms.deadline_s, variants=variants)


def _ablation(load: str, on: Stage, terms: Terms) -> list[Shown]:
    return ablation.show(on, load, seconds=terms.seconds, deadline_s=terms.deadline_s)


def _turns(show: Callable[..., list[Shown]], on: Stage, terms: Terms) -> list[Shown]:
    return show(on, seconds=terms.seconds)


def _fixed(show: Callable[[Stage], list[Shown]], on: Stage, _: Terms) -> list[Shown]:
    return show(on)


SHOWS: Mapping[str, Show] = {
    "overload": Show(
        "ten times too much demand, by each way of enforcing",
        {name: partial(_overload, name) for name in overload.CASES}, 180, most_s=float("inf"),
    ),
    "drop": Show("a quota that falls and returns", {"drop": partial(_fixed, drop.drop)}),
    "wrong": Show(
        "a quota that is not what was configured",
        {"too-high": partial(_fixed, drop.too_high), "too-low": partial(_fixed, drop.too_low)},
    ),
    "classes": Show(
        "people before background, and the minimum of the others",
        {"people": partial(_turns, turns.people_first), "minimum": partial(_turns, turns.minimum)}, 60,
    ),
    "tenants": Show("one that offers 20 times more", {"tenants": partial(_turns, turns.tenants)}, 60),
    "faults": Show(
        "processes and Redis that go away",
        {name: partial(_fixed, show) for name, show in faults.SHOWS.items()},
    ),
    "ablation": Show(
        "the gate with parts of it taken away, under uneven and even load",
        {load: partial(_ablation, load) for load in ablation.SHARES}, 180,
    ),
}  # fmt: skip


def main() -> int:
    """Run the show that is asked for."""
    chosen = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # which ends what was started
    shown: list[Shown] = []
    with ExitStack() as stack:
        record = stack.enter_context((_folder(chosen) / "runs.jsonl").open("a")) if chosen.out_dir else None
        on = stack.enter_context(stage.running(chosen.through))
        for one in _ran(on, chosen):
            tables.verdict(one)
            shown.append(one)
            if record is not None:
                print(json.dumps(asdict(one)), file=record, flush=True)
    summary = tables.summary(f"{chosen.show}, through {chosen.through}", results.repeated(shown))
    tables.console.print(summary)
    if chosen.out_dir:
        with (_folder(chosen) / "summary.txt").open("w") as out:
            Console(file=out, width=WIDE).print(summary)
    return 0 if all(one.holds for one in shown) else 1


def _ran(on: Stage, chosen: argparse.Namespace) -> Iterator[Shown]:
    for at in range(chosen.repeat):
        for title, case, terms in _cases(chosen):
            tables.console.rule(f"{title}, {at + 1} of {chosen.repeat}" if chosen.repeat > 1 else title)
            try:
                yield from case(on, terms)
            except (ProgramFailed, RuntimeError, OSError, httpx.HTTPError, subprocess.SubprocessError) as error:
                if chosen.show != "all":
                    raise
                # One case that breaks off does not undo the hour of the others.
                yield Shown(title, 0.0, 0.0, (Check("ran", f"{type(error).__name__}: {error}", "to its end", False),))


def _cases(chosen: argparse.Namespace) -> Iterator[tuple[str, Case, Terms]]:
    for name, show in SHOWS.items() if chosen.show == "all" else [(chosen.show, SHOWS[chosen.show])]:
        seconds = min(chosen.seconds, show.most_s) if chosen.show == "all" else getattr(chosen, "seconds", 0.0)
        terms = Terms(seconds, getattr(chosen, "deadline", 60.0), getattr(chosen, "beside", False))
        for case in getattr(chosen, "case", None) or show.cases:
            yield f"{name} {case}", show.cases[case], terms


def _folder(chosen: argparse.Namespace) -> Path:
    folder = Path(chosen.out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.load.quota", description=__doc__)
    shows = parser.add_subparsers(dest="show", required=True)
    for name, show in SHOWS.items():
        one = shows.add_parser(name, help=show.says)
        one.add_argument("--case", action="append", choices=[*show.cases], help="all by default")
        if show.seconds is not None:
            one.add_argument("--seconds", type=float, default=show.seconds, help=f"of each run ({show.seconds:.0f})")
        if name in ("overload", "ablation"):
            one.add_argument("--deadline", type=float, default=60.0, help="of each call (60)")
        if name == "overload":
            one.add_argument("--beside", action="store_true", help="LiteLLM's ways in the same run")
        _add_common(one)
    every = shows.add_parser("all", help="every case of every show, in order, and one table")
    every.add_argument("--seconds", type=float, default=180.0, help="the longest run whose length is free (180)")
    _add_common(every)
    return parser


def _add_common(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--through", choices=["library", "executors"], default="library", help="whose gate is loaded (library)"
    )
    one.add_argument("--repeat", type=int, default=1, help="how often each case is run (1)")
    one.add_argument("--out-dir", help="where runs.jsonl, a line for each run, and summary.txt are written")


if __name__ == "__main__":
    sys.exit(main())
