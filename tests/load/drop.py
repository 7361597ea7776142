"""A provider that grants less, or more, than it says."""

from tests.load import clients, tables
from tests.load.figures import Figures, Slice, figures, slices
from tests.load.overload import PROVIDER, TIMES
from tests.load.results import Check, Shown
from tests.load.stage import Plan, Run, Stage
from tests.load.traffic import Flow

RPM = 600.0
EACH_S = 5
USED = 0.9
"""A quota of which that much is used is used."""
CALM_S = 30.0
"""When a quota that is configured too high must have been found."""
DROP_AT_S, DROP_S, DROP_TO, AFTER_S = 40.0, 60.0, 0.4, 60.0


def drop(stage: Stage) -> list[Shown]:
    """The quota falls to 40 % for a minute and returns; nobody says so."""
    drops = [{"at_s": DROP_AT_S, "for_s": DROP_S, "factor": DROP_TO}]
    run = stage.run(_plan(DROP_AT_S + DROP_S + AFTER_S, {"rpm": RPM, "drops": drops}, {"rpm": RPM}))
    seen, parts = _print(
        f"A quota that drops to {tables.percent(DROP_TO, 0)} after {DROP_AT_S:.0f} s for {DROP_S:.0f} s", run
    )
    back = _used_from(parts, DROP_AT_S + DROP_S)
    checks = (
        Check("429s", tables.percent(seen.refused_share, 2), "< 3 %", seen.refused_share < 0.03),
        Check(f"used to {tables.percent(USED, 0)} after the return", _after(back), "≤ 15 s", back <= 15),
    )
    return [Shown("drop", seen.goodput, seen.refused_share, checks)]


def too_high(stage: Stage, *, seconds: float = 90.0) -> list[Shown]:
    """Twice as much is configured as there is."""
    run = stage.run(_plan(seconds, {"rpm": RPM / 2}, {"rpm": RPM}))
    seen, parts = _print("Configured twice too high", run, rate_per_s=RPM / 2 / 60)
    calm = [part for part in parts if part.from_s >= CALM_S]
    used = sum(part.used for part in calm) / len(calm)
    refused = sum(part.refused_share for part in calm) / len(calm)
    when = f"after {CALM_S:.0f} s"
    checks = (
        Check(f"used {when}", tables.percent(used), f"≥ {tables.percent(USED, 0)}", used >= USED),
        Check(f"429s {when}", tables.percent(refused, 2), "< 3 %", refused < 0.03),
    )
    return [Shown("configured too high", seen.goodput, seen.refused_share, checks)]


def too_low(stage: Stage, *, seconds: float = 150.0) -> list[Shown]:
    """Half of what there is is configured, and probing is allowed."""
    run = stage.run(_plan(seconds, {"rpm": RPM}, {"rpm": RPM / 2, "probe": True}))
    seen, parts = _print("Configured twice too low, with probe: true", run)
    found = _used_from(parts, 0)
    checks = (Check(f"used to {tables.percent(USED, 0)}", _after(found), "≤ 120 s", found <= 120),)
    return [Shown("configured too low", seen.goodput, seen.refused_share, checks)]


def _plan(seconds: float, provider: dict[str, object], limits: dict[str, object]) -> Plan:
    flow = Flow("load", TIMES * RPM / 60)
    return Plan(clients.OURS, (flow,), seconds, {**PROVIDER, **provider}, limits)


def _print(title: str, run: Run, *, rate_per_s: float = RPM / 60) -> tuple[Figures, list[Slice]]:
    seen = figures(run)
    parts = [
        part for part in slices(run, each_s=EACH_S, rate_per_s=rate_per_s) if part.from_s + EACH_S <= run.plan.seconds + 1
    ]
    tables.console.print(tables.timeline(title, parts))
    made = tables.figures_table("The whole run")
    tables.add_figures(made, clients.OURS, seen)
    tables.console.print(made)
    return seen, parts


def _used_from(parts: list[Slice], at_s: float) -> float:
    """How long after `at_s` the quota is used; infinity when it never is."""
    ends = (part.from_s + EACH_S for part in parts if part.from_s >= at_s - 1 and part.used >= USED)
    return next(ends, float("inf")) - at_s


def _after(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < float("inf") else "never"
