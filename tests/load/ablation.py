"""The same load with parts of the gate taken away."""

from tests.load import clients, tables
from tests.load.figures import Figures, figures
from tests.load.overload import CASES, plan
from tests.load.stage import Stage

SHARES = (0.94, 0.02, 0.02, 0.02)
"""Of the calls, each process's: a run's calls come from one process, and so load is never even."""
NAMES = {
    clients.OURS: "the gate",
    "fifo": "first come first served, deadlines unseen",
    "split": "a fixed part for each process",
    "off": "no gate",
}


def show(stage: Stage, *, seconds: float, deadline_s: float) -> bool:
    """Run them one after another."""
    case = CASES["per second"]
    made = tables.figures_table(
        f"10 × overload, {case.rpm:.0f} rpm per second, {seconds:.0f} s, deadlines {deadline_s:.0f} s"
    )
    seen: dict[str, Figures] = {}
    for variant, name in NAMES.items():
        run = stage.run(plan(case, variant=variant, seconds=seconds, deadline_s=deadline_s, shares=SHARES))
        seen[variant] = figures(run)
        tables.add_figures(made, name, seen[variant])
    tables.console.print(made)
    ours = seen.pop(clients.OURS)
    return tables.verdict(
        "the gate",
        f"goodput {tables.percent(ours.goodput)}, 429 {tables.percent(ours.refused_share, 2)}",
        "nothing without a part of it has both figures as good",
        holds=not any(one.goodput >= ours.goodput and one.refused_share <= ours.refused_share for one in seen.values()),
    )
