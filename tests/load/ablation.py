"""The same load with parts of the gate taken away, where it comes to one process more than to the others, and evenly."""

from tests.load import clients, tables
from tests.load.figures import Figures, figures
from tests.load.overload import CASES, EVEN, plan
from tests.load.results import Check, Shown
from tests.load.stage import Stage

SHARES = {"uneven": (0.94, 0.02, 0.02, 0.02), "even": EVEN}
"""Of the calls, each process's. A run's calls come from one process, so a few runs load one more than the others; many runs
load all alike."""
NAMES = {
    clients.OURS: "the gate",
    "fifo": "first come first served, deadlines unseen",
    "split": "a fixed part for each process",
    "off": "no gate",
}
TIE = 0.02
"""Under even load a fixed part for each process does about as well as the gate, which may then be that much behind."""


def show(stage: Stage, load: str, *, seconds: float, deadline_s: float) -> list[Shown]:
    """Run them one after another."""
    case = CASES["per second"]
    made = tables.figures_table(
        f"10 × overload, {load} load, {case.rpm:.0f} rpm per second, {seconds:.0f} s, deadlines {deadline_s:.0f} s"
    )
    seen: dict[str, Figures] = {}
    for variant, name in NAMES.items():
        run = stage.run(plan(case, variant=variant, seconds=seconds, deadline_s=deadline_s, shares=SHARES[load]))
        seen[variant] = figures(run)
        tables.add_figures(made, name, seen[variant])
    tables.console.print(made)
    check = (_alone if load == "uneven" else _tied)(seen)
    return [
        Shown(f"{load} load, {NAMES[variant]}", one.goodput, one.refused_share, (check,) if variant == clients.OURS else ())
        for variant, one in seen.items()
    ]


def _alone(seen: dict[str, Figures]) -> Check:
    """Nothing without a part of the gate has both figures as good."""
    ours, others = seen[clients.OURS], [one for variant, one in seen.items() if variant != clients.OURS]
    beaten = any(one.goodput >= ours.goodput and one.refused_share <= ours.refused_share for one in others)
    return Check("the gate", _said(ours), "nothing without a part of it has both figures as good", not beaten)


def _tied(seen: dict[str, Figures]) -> Check:
    """The gate is not behind a fixed part for each process."""
    ours, split = seen[clients.OURS], seen["split"]
    wanted = f"no more than {tables.percent(TIE, 0)} behind a fixed part for each process"
    behind = split.goodput - ours.goodput
    said = f"{_said(ours)}, a fixed part {_said(split)}"
    return Check("the gate", said, wanted, behind <= TIE and ours.refused_share <= split.refused_share + TIE)


def _said(one: Figures) -> str:
    return f"goodput {tables.percent(one.goodput)}, 429s {tables.percent(one.refused_share, 2)}"
