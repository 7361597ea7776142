"""Processes and Redis that go away under load."""

from collections.abc import Sequence

from tests.load import clients, tables
from tests.load.figures import figures, slices
from tests.load.overload import PROVIDER, TIMES
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


def kill(stage: Stage, *, seconds: float = 60.0) -> bool:
    """kill -9 of a process that has waiters and grants."""
    return _show(stage, "kill -9 of one of four processes", [(AT_S, lambda on: on.kill_worker(0))], seconds, used=0.9)


def restart(stage: Stage, *, seconds: float = 60.0) -> bool:
    """Redis ends and comes back at once, with its data."""
    return _show(stage, "Redis restarts", _outage(RESTART_S), seconds, used=0.8)


def loss(stage: Stage, *, seconds: float = 90.0) -> bool:
    """Redis is away for 30 s."""
    return _show(stage, f"Redis is away for {LOSS_S:.0f} s", _outage(LOSS_S), seconds, used=0.7)


def _outage(away_s: float) -> list[Event]:
    return [(AT_S, lambda on: on.stop_redis()), (AT_S + away_s, lambda on: on.start_redis())]


def _show(stage: Stage, title: str, events: Sequence[Event], seconds: float, *, used: float) -> bool:
    flow = Flow("load", TIMES * RPM / 60, deadline_s=DEADLINE_S)
    provider = {**PROVIDER, "rpm": RPM}
    run = stage.run(Plan(clients.OURS, (flow,), seconds, provider, {"rpm": RPM}, drain=True, events=events))
    parts = slices(run, each_s=5, rate_per_s=RPM / 60)
    tables.console.print(tables.timeline(f"{title} after {AT_S:.0f} s", [part for part in parts if part.from_s < seconds]))
    seen = figures(run)
    made = tables.figures_table("The whole run")
    tables.add_figures(made, clients.OURS, seen)
    tables.console.print(made)
    bound = BURST * RPM / 60
    most = max(run.final["total"]["series"]["arrivals"])
    longest = max(one.seconds for one in run.records)
    after = [part.used for part in parts if AT_S + 5 <= part.from_s < seconds - 5]
    return all(
        (
            tables.verdict("most in a second", _most(run, most), f"≤ {bound:.0f}", holds=most <= bound),
            tables.verdict("429s", tables.percent(seen.refused_share, 2), "< 1 %", holds=seen.refused_share < 0.01),
            tables.verdict(
                "longest call", f"{longest:.1f} s, {seen.outcomes.get('left', 0)} left alone",
                f"≤ {DEADLINE_S + GRACE_S:.0f} s", holds=longest <= DEADLINE_S + min(GRACE_S, LEAVES_AFTER_S),
            ),
            tables.verdict(
                "used afterwards", tables.percent(sum(after) / len(after)), f"≥ {tables.percent(used)}",
                holds=sum(after) / len(after) >= used,
            ),
        )
    )  # fmt: skip


def _most(run: Run, by_clock: int) -> str:
    return f"{by_clock} by the clock's seconds, {run.final['total']['arrivals_max_1s']} in any second"
