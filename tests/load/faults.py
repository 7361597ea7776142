"""Processes and Redis that go away under load."""

from collections.abc import Sequence

from tests.load import clients, tables
from tests.load.figures import Figures, figures, slices
from tests.load.overload import PROVIDER, TIMES
from tests.load.results import Check, Shown
from tests.load.stage import Event, Plan, Run, Stage
from tests.load.traffic import Flow
from tests.load.worker import LEAVES_AFTER_S

RPM = 600.0
DEADLINE_S = 30.0
AT_S = 20.0
RESTART_S, LOSS_S = 0.0, 30.0
BURST = 1.1
"""Of a second's quota, what may reach the provider in any second."""
GRACE_S = 1.0
"""How much later than its deadline a call may end on a busy machine."""


def kill(stage: Stage, *, seconds: float = 60.0) -> list[Shown]:
    """kill -9 of a process that has waiters and grants."""
    return _show(stage, "kill -9 of one of four processes", [(AT_S, lambda on: on.kill(0))], seconds, used=0.9)


def restart(stage: Stage, *, seconds: float = 60.0) -> list[Shown]:
    """Redis ends and comes back at once, with its data."""
    return _show(stage, "Redis restarts", _outage(RESTART_S), seconds, used=0.8)


def loss(stage: Stage, *, seconds: float = 90.0) -> list[Shown]:
    """Redis is away for 30 s."""
    return _show(stage, f"Redis is away for {LOSS_S:.0f} s", _outage(LOSS_S), seconds, used=0.7)


def _outage(away_s: float) -> list[Event]:
    return [(AT_S, lambda on: on.stop_redis()), (AT_S + away_s, lambda on: on.start_redis())]


def _show(stage: Stage, title: str, events: Sequence[Event], seconds: float, *, used: float) -> list[Shown]:
    flow = Flow("load", TIMES * RPM / 60, deadline_s=DEADLINE_S)
    provider = {**PROVIDER, "rpm": RPM}
    run = stage.run(Plan(clients.OURS, (flow,), seconds, provider, {"rpm": RPM}, drain=True, events=events))
    parts = slices(run, each_s=5, rate_per_s=RPM / 60)
    tables.console.print(tables.timeline(f"{title} after {AT_S:.0f} s", [part for part in parts if part.from_s < seconds]))
    seen = figures(run)
    made = tables.figures_table("The whole run")
    tables.add_figures(made, clients.OURS, seen)
    tables.console.print(made)
    after = [part.used for part in parts if AT_S + 5 <= part.from_s < seconds - 5]
    return [Shown(title, seen.goodput, seen.refused_share, _checks(run, seen, sum(after) / len(after), wanted=used))]


def _checks(run: Run, seen: Figures, used: float, *, wanted: float) -> tuple[Check, ...]:
    bound = BURST * RPM / 60
    most = max(run.final["total"]["series"]["arrivals"])
    longest_s = max(one.seconds for one in run.records)
    latest_s = DEADLINE_S + min(GRACE_S, LEAVES_AFTER_S)
    left = f"{longest_s:.1f} s, {seen.outcomes.get('left', 0)} left alone"
    return (
        Check("most in a second", _most(run, most), f"≤ {bound:.0f}", most <= bound),
        Check("429s", tables.percent(seen.refused_share, 2), "< 1 %", seen.refused_share < 0.01),
        Check("longest call", left, f"≤ {DEADLINE_S + GRACE_S:.0f} s", longest_s <= latest_s),
        Check("used afterwards", tables.percent(used), f"≥ {tables.percent(wanted, 0)}", used >= wanted),
    )


def _most(run: Run, by_clock: int) -> str:
    return f"{by_clock} by the clock's seconds, {run.final['total']['arrivals_max_1s']} in any second"


SHOWS = {"kill": kill, "restart": restart, "loss": loss}
