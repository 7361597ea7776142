"""Ten times more demand than quota, in the ways in which providers enforce it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.load import clients, tables
from tests.load.figures import figures
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


def show(stage: Stage, names: Sequence[str], variants: Sequence[str], *, seconds: float, deadline_s: float) -> bool:
    """Run the cases with each of the clients, and print them."""
    holds = True
    for name in names:
        case = CASES[name]
        made = tables.figures_table(f"{TIMES} × overload, {name}, {seconds:.0f} s, deadlines {deadline_s:.0f} s")
        for variant in variants:
            run = stage.run(plan(case, variant=variant, seconds=seconds, deadline_s=deadline_s))
            seen = figures(run)
            tables.add_figures(made, variant, seen)
            if variant == clients.OURS:
                ours, cpu_s = seen, run.cpu_s
        tables.console.print(made)
        if clients.OURS in variants:
            ok = ours.goodput >= case.goodput and ours.refused_share < case.refused
            said = f"goodput {tables.percent(ours.goodput)}, 429 {tables.percent(ours.refused_share, 2)}"
            wanted = f"≥ {tables.percent(case.goodput)}, < {tables.percent(case.refused, 2)}"
            holds &= tables.verdict(name, f"{said}, {cpu_s / seconds:.2f} cores for 4 workers", wanted, holds=ok)
    return holds
