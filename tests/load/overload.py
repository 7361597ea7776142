"""Ten times more demand than quota, in the ways in which providers enforce it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.load import clients, tables
from tests.load.figures import Figures, figures
from tests.load.results import Check, Shown
from tests.load.stage import Plan, Stage
from tests.load.traffic import WORKERS, Flow

TIMES = 10
EVEN = (1 / WORKERS,) * WORKERS
TOKENS_PER_CALL = 57
"""What a call of ours has on average, prompt and answer."""
PROVIDER: Mapping[str, Any] = {
    "latency": {"first_token_s": 2.5, "sigma": 0.4, "tokens_per_s": 80},
    "answer": {"tokens": 40, "sigma": 0.4},
}
"""Calls take about 3 s."""


@dataclass(frozen=True, slots=True)
class Case:
    """A way to enforce a quota, and what must hold."""

    name: str
    provider: Mapping[str, Any]
    rpm: float = 600.0
    tpm: float | None = None
    goodput: float = 0.98
    refused: float = 0.002


CASES = {
    case.name: case
    for case in (
        Case("per second", {}),
        Case("sliding minute", {"enforcement": "sliding_minute"}),
        Case("tokens bind", {}, tpm=300 * TOKENS_PER_CALL),
        Case("no Retry-After", {"retry_after": "none"}),
        Case("refused calls count", {"refused_count": True}),
        Case("60 rpm", {}, rpm=60, goodput=0.95, refused=0.01),
    )
}


def plan(case: Case, *, variant: str, seconds: float, deadline_s: float, shares: tuple[float, ...] = EVEN) -> Plan:
    """One run of a case."""
    limits = {"rpm": case.rpm, **({"tpm": case.tpm} if case.tpm else {})}
    offered = TIMES * min(case.rpm, case.tpm / TOKENS_PER_CALL if case.tpm else case.rpm) / 60
    flow = Flow("load", offered, deadline_s=deadline_s)
    return Plan(variant, (flow,), seconds, {**PROVIDER, **limits, **case.provider}, limits, shares=shares)


def show(
    stage: Stage, name: str, *, seconds: float, deadline_s: float, variants: Sequence[str] = (clients.OURS,)
) -> list[Shown]:
    """Run a case with each of the clients, ours the first, and print them."""
    case = CASES[name]
    made = tables.figures_table(f"{TIMES} × overload, {name}, {seconds:.0f} s, deadlines {deadline_s:.0f} s")
    shown: list[Shown] = []
    for variant in variants:
        run = stage.run(plan(case, variant=variant, seconds=seconds, deadline_s=deadline_s))
        seen = figures(run)
        tables.add_figures(made, variant, seen)
        ours = variant == clients.OURS
        checks = _checks(case, seen, run.cpu_s / seconds) if ours else ()
        shown.append(Shown(f"overload, {name}" if ours else f"… {variant}", seen.goodput, seen.refused_share, checks))
    tables.console.print(made)
    return shown


def _checks(case: Case, seen: Figures, cores: float) -> tuple[Check, ...]:
    goodput, refused = tables.percent(seen.goodput), tables.percent(seen.refused_share, 2)
    said = f"{goodput}, {cores:.2f} cores for the gate"
    return (
        Check("goodput", said, f"≥ {tables.percent(case.goodput)}", seen.goodput >= case.goodput),
        Check("429s", refused, f"< {tables.percent(case.refused, 2)}", seen.refused_share < case.refused),
    )
