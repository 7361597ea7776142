"""Whose turn it is: classes, and tenants within one."""

from headrace_llm.client import Priority

from tests.load import clients, tables
from tests.load.figures import Figures, figures, jain, of_flow, quantile
from tests.load.overload import PROVIDER, TIMES
from tests.load.results import Check, Shown
from tests.load.stage import Plan, Run, Stage
from tests.load.traffic import Flow, Record

RPM = 600.0
PER_S = RPM / 60
LATENCY = {**PROVIDER["latency"], "sigma": 0}
"""First tokens all take as long, so that what is more is the wait, where the gate is in another process."""
MINIMUM = {"standard": 0.2, "background": 0.1}
"""Of the grants, as long as calls of the class wait."""
TOLERANCE = 0.9
"""Grants come one by one: a share counts as given from this part of it on."""
INTERACTIVE = 0.3
"""Of the quota, what people ask for in the first part."""


def people_first(stage: Stage, *, seconds: float) -> list[Shown]:
    """People among a saturating background."""
    people = Flow("interactive", INTERACTIVE * PER_S, priority=Priority.INTERACTIVE)
    background = Flow("background", TIMES * PER_S, priority=Priority.BACKGROUND)
    run = _run(stage, (people, background), seconds)
    seen, _ = _print("People ask for 30 % of the quota, a background for 10 times all of it", run)
    waits = [one.waited_s for one in of_flow(run.records, "interactive") if one.waited_s is not None]
    wait_s, interval_s = quantile(waits, 0.95), 1 / PER_S
    calls = [one.seconds - (one.waited_s or 0.0) for one in run.records if one.outcome == "useful"]
    bound_s = 2 * interval_s + quantile(calls, 0.5)
    said = f"{wait_s:.2f} s = {wait_s / interval_s:.1f} intervals"
    wanted = f"< 2 intervals + one call = {bound_s:.2f} s"
    check = Check("interactive wait p95", said, wanted, bool(waits) and wait_s < bound_s)
    return [Shown("people before background", seen.goodput, seen.refused_share, (check,))]


def minimum(stage: Stage, *, seconds: float) -> list[Shown]:
    """More people than quota: the others still get their minimum."""
    crowd = (
        Flow("interactive", 2 * PER_S, priority=Priority.INTERACTIVE),
        Flow("standard", 2 * PER_S, priority=Priority.STANDARD),
        Flow("background", 2 * PER_S, priority=Priority.BACKGROUND),
    )
    seen, shares = _print("Each class asks for twice the quota", _run(stage, crowd, seconds))
    checks = tuple(
        Check(f"{name}'s part", tables.percent(shares[name]), f"≥ {tables.percent(least * TOLERANCE)}", enough)
        for name, least in MINIMUM.items()
        for enough in (shares[name] >= least * TOLERANCE,)
    )
    return [Shown("minimum of each class", seen.goodput, seen.refused_share, checks)]


def tenants(stage: Stage, *, seconds: float) -> list[Shown]:
    """One tenant offers 20 times as much as the other, who alone would fill the quota too."""
    small = Flow("small", PER_S, tenant="small")
    large = Flow("large", 20 * PER_S, tenant="large")
    run = _run(stage, (small, large), seconds)
    seen, shares = _print("Two tenants, one of which offers 20 times more", run)
    index = jain([*shares.values()])
    check = Check("Jain's index of what they are served", f"{index:.3f}", "≥ 0.95", index >= 0.95)
    return [Shown("tenants", seen.goodput, seen.refused_share, (check,))]


def _run(stage: Stage, flows: tuple[Flow, ...], seconds: float) -> Run:
    return stage.run(Plan(clients.OURS, flows, seconds, {**PROVIDER, "latency": LATENCY, "rpm": RPM}, {"rpm": RPM}))


def _print(title: str, run: Run) -> tuple[Figures, dict[str, float]]:
    """Print by flow; return the figures and each flow's share of what was served."""
    made = tables.table(
        f"{title}, {run.plan.seconds:.0f} s",
        "flow",
        "offered",
        "let through",
        "useful",
        "share",
        "wait p50 s",
        "wait p95 s",
    )
    served = {flow.name: _let_through(run, flow.name) for flow in run.plan.flows}
    total = max(1, sum(map(len, served.values())))
    for name, through in served.items():
        own = of_flow(run.records, name)
        waits = [one.waited_s for one in through if one.waited_s is not None]
        made.add_row(
            name, str(len(own)), str(len(through)), str(sum(one.outcome == "useful" for one in own)),
            tables.percent(len(through) / total), f"{quantile(waits, 0.5):.2f}", f"{quantile(waits, 0.95):.2f}",
        )  # fmt: skip
    tables.console.print(made)
    whole = tables.figures_table("All together")
    seen = figures(run)
    tables.add_figures(whole, clients.OURS, seen)
    tables.console.print(whole)
    return seen, {name: len(through) / total for name, through in served.items()}


def _let_through(run: Run, name: str) -> list[Record]:
    return [one for one in of_flow(run.records, name) if one.waited_s is not None]
