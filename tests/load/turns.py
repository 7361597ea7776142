"""Whose turn it is: classes, and tenants within one."""

from headrace_llm.client import Priority

from tests.load import clients, tables
from tests.load.figures import figures, jain, of_flow, quantile
from tests.load.overload import PROVIDER, TIMES
from tests.load.stage import Plan, Run, Stage
from tests.load.traffic import Flow, Record

RPM = 600.0
PER_S = RPM / 60
MINIMUM = {"standard": 0.2, "background": 0.1}
"""Of the grants, as long as calls of the class wait."""
TOLERANCE = 0.9
"""Grants come one by one: a share counts as given from this part of it on."""
INTERACTIVE = 0.3
"""Of the quota, what people ask for in the first part."""


def classes(stage: Stage, *, seconds: float) -> bool:
    """People among a saturating background; then more people than quota: the others still get their minimum."""
    people = Flow("interactive", INTERACTIVE * PER_S, priority=Priority.INTERACTIVE)
    background = Flow("background", TIMES * PER_S, priority=Priority.BACKGROUND)
    run = _run(stage, (people, background), seconds)
    _print("People ask for 30 % of the quota, a background for 10 times all of it", run)
    waits = [one.waited_s for one in of_flow(run.records, "interactive") if one.waited_s is not None]
    wait_s, interval_s = quantile(waits, 0.95), 1 / PER_S
    calls = [one.seconds - (one.waited_s or 0.0) for one in run.records if one.outcome == "useful"]
    call_s = quantile(calls, 0.5)
    said = f"{wait_s:.2f} s = {wait_s / interval_s:.1f} intervals"
    bound_s = 2 * interval_s + call_s
    holds = tables.verdict(
        "interactive wait p95", said, f"< 2 intervals + one call = {bound_s:.2f} s", holds=wait_s < bound_s
    )
    crowd = (
        Flow("interactive", 2 * PER_S, priority=Priority.INTERACTIVE),
        Flow("standard", 2 * PER_S, priority=Priority.STANDARD),
        Flow("background", 2 * PER_S, priority=Priority.BACKGROUND),
    )
    run = _run(stage, crowd, seconds)
    shares = _print("Each class asks for twice the quota", run)
    for name, least in MINIMUM.items():
        said = tables.percent(shares[name])
        wanted = f"≥ {tables.percent(least * TOLERANCE)}"
        holds &= tables.verdict(f"{name}'s minimum", said, wanted, holds=shares[name] >= least * TOLERANCE)
    return holds


def tenants(stage: Stage, *, seconds: float) -> bool:
    """One tenant offers 20 times as much as the other, who alone would fill the quota too."""
    small = Flow("small", PER_S, tenant="small")
    large = Flow("large", 20 * PER_S, tenant="large")
    run = _run(stage, (small, large), seconds)
    shares = _print("Two tenants, one of which offers 20 times more", run)
    seen = jain([*shares.values()])
    return tables.verdict("Jain's index of what they are served", f"{seen:.3f}", "≥ 0.95", holds=seen >= 0.95)


def _run(stage: Stage, flows: tuple[Flow, ...], seconds: float) -> Run:
    return stage.run(Plan(clients.OURS, flows, seconds, {**PROVIDER, "rpm": RPM}, {"rpm": RPM}))


def _print(title: str, run: Run) -> dict[str, float]:
    """Print by flow; return each flow's share of what was served."""
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
    total = sum(map(len, served.values()))
    for name, through in served.items():
        own = of_flow(run.records, name)
        waits = [one.waited_s for one in through if one.waited_s is not None]
        made.add_row(
            name, str(len(own)), str(len(through)), str(sum(one.outcome == "useful" for one in own)),
            tables.percent(len(through) / total), f"{quantile(waits, 0.5):.2f}", f"{quantile(waits, 0.95):.2f}",
        )  # fmt: skip
    tables.console.print(made)
    whole = tables.figures_table("All together")
    tables.add_figures(whole, clients.OURS, figures(run))
    tables.console.print(whole)
    return {name: len(through) / total for name, through in served.items()}


def _let_through(run: Run, name: str) -> list[Record]:
    return [one for one in of_flow(run.records, name) if one.waited_s is not None]
