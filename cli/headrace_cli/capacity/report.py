"""A plan as tables, sentences and data. Pure."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from headrace_cli.capacity import bounds
from headrace_cli.capacity.bounds import Bound
from headrace_cli.capacity.model import MINUTE_S, Scenario
from headrace_cli.capacity.plot import Caption
from headrace_cli.capacity.sweep import Goal, most_served
from headrace_cli.capacity.tally import Point

Json = Any


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked and what was found."""

    scenario: Scenario
    goal: Goal
    seed: int
    points: Sequence[Point] = ()
    """By users; empty when nothing was simulated."""

    @property
    def bound(self) -> Bound:
        """The assumption that binds; its users are the formula's answer."""
        return bounds.bounds(self.scenario)[0]


def formula_lines(plan: Plan) -> list[str]:
    """The formula's answer and what binds it, a line each."""
    one, users = plan.scenario, plan.bound.users
    if not users:
        return ["formula: no users", bounds.sentence(one)]
    per_s = users / one.round_s
    rate = f"{per_s * MINUTE_S:.1f} requests a minute"
    answer = f"({one.response_s:.1f} s answer + {one.think_s:g} s think) = {users:.2f}"
    lines = [f"formula: {rate} × {answer}, about {_users(round(users))}"]
    whole = math.floor(users)
    more = (whole + 1) / users - 1
    if round(users) > whole and more >= 0.0005:
        lines.append(
            f"of which {whole} fit whole; one more asks for {more:.1%} more than there is, and all wait a little longer"
        )
    lines.append(bounds.sentence(one))
    return lines


def simulation_lines(plan: Plan) -> list[str]:
    """The simulation's answer, a line each."""
    served, beyond = most_served(plan.points, plan.goal)
    goal = f"p95 of waits within {plan.goal.wait_s:g} s, under {plan.goal.lost:.0%} refused or late"
    text = f"simulation: {_users(served)} served well ({goal})"
    lines = [f"{text}; at {beyond.users} {plan.goal.missed(beyond)}" if beyond else f"{text}, and no limit was met"]
    if point := next((one for one in plan.points if one.users == served), None):
        waits = [
            f"{name} {one.wait_p50_s:.1f} / {one.wait_p95_s:.1f} s"
            for name, one in point.kinds.items()
            if one.wait_p50_s is not None
        ]
        lines.append(f"waits at {_users(served)}, p50 / p95: {', '.join(waits)}")
    return lines


def kinds_table(plan: Plan) -> Table:
    """What was assumed of each kind."""
    table = _table("KIND", "SHARE %", "CALLS", "S PER CALL", "TOKENS PER CALL", "PRIORITY", "PATIENCE S")
    for kind in plan.scenario.kinds:
        figures = (f"{100 * kind.share:.3g}", f"{kind.calls:g}", f"{kind.seconds:g}", f"{kind.tokens:g}")
        table.add_row(kind.name, *figures, kind.priority.name.lower(), f"{kind.patience_s:g}")
    return table


def bounds_table(plan: Plan) -> Table:
    """What each assumption allows, and what others would."""
    table = _table("ASSUMPTION", "USERS")
    for bound in bounds.bounds(plan.scenario):
        if math.isfinite(bound.users):
            table.add_row(f"{bound.name}: {bound.fact}", f"{bound.users:.1f}")
    for change in bounds.changes(plan.scenario):
        then = "" if change.binding == plan.bound.name else f" (then {change.binding} bind)"
        table.add_row(f"[dim]what if: {change.name}{then}[/]", f"[dim]{change.users:.1f}[/]")
    return table


def points_table(plan: Plan) -> Table:
    """What was simulated; the last number of users that is served well is bold."""
    table = _table("USERS", "ANSWERS/MIN", "WAIT P50 S", "WAIT P95 S", "REFUSED %", "LATE %", "QUOTA USED %")
    served, _ = most_served(plan.points, plan.goal)
    for point in plan.points:
        every = point.all
        ended = max(1, every.answered + every.refused + every.late)
        table.add_row(
            str(point.users),
            f"{point.per_minute:.1f}",
            _or_dash(every.wait_p50_s),
            _or_dash(every.wait_p95_s),
            f"{100 * every.refused / ended:.1f}",
            f"{100 * every.late / ended:.1f}",
            f"{100 * point.quota_used:.1f}",
            style="bold" if point.users == served else "dim" if plan.goal.missed(point) else "",
        )
    return table


def caption(plan: Plan) -> Caption:
    """What is written around the plot."""
    one = plan.scenario
    tokens = f" and {one.quota.tpm:,.0f} tokens" if one.quota.tpm else ""
    supply = f"{one.quota.rpm:g} requests{tokens} a minute, {one.slots} slots"
    figures = f"{supply} · {one.calls:.3g} calls a request · {one.response_s:.1f} s answer + {one.think_s:g} s think"
    mix = ", ".join(f"{kind.name} {100 * kind.share:.3g} %" for kind in one.kinds)
    title = f"About {_users(round(plan.bound.users))}: {plan.bound.name} bind"
    served, _ = most_served(plan.points, plan.goal)
    return Caption(title, (figures, mix), plan.bound.users, served, plan.goal.wait_s)


def data(plan: Plan) -> dict[str, Json]:
    """All of it for programs; what is not bounded is null."""
    one = plan.scenario
    answer: dict[str, Json] = {
        "users": round(plan.bound.users, 2),
        "binding": plan.bound.name,
        "sentence": bounds.sentence(one),
        "requests_per_minute": one.quota.rpm,
        "tokens_per_minute": one.quota.tpm or None,
        "slots": one.slots,
        "calls_per_request": round(one.calls, 4),
        "tokens_per_request": round(one.tokens, 1),
        "response_s": round(one.response_s, 3),
        "think_s": one.think_s,
        "kinds": [{**dataclasses.asdict(kind), "priority": kind.priority.name.lower()} for kind in one.kinds],
        "bounds": [_finite({"name": b.name, "fact": b.fact, "users": b.users}) for b in bounds.bounds(one)],
        "what_if": [_finite(dataclasses.asdict(change)) for change in bounds.changes(one)],
        "simulation": None,
    }
    if plan.points:
        served, beyond = most_served(plan.points, plan.goal)
        answer["simulation"] = {
            "seed": plan.seed,
            "target_wait_s": plan.goal.wait_s,
            "users": served,
            "limited_by": plan.goal.missed(beyond) if beyond else None,
            "points": [dataclasses.asdict(point) for point in plan.points],
        }
    return answer


def _finite(row: dict[str, Json]) -> dict[str, Json]:
    return {**row, "users": round(row["users"], 2) if math.isfinite(row["users"]) else None}


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, justify="right" if first == "USERS" else "left")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _users(count: int) -> str:
    return "1 user" if count == 1 else f"{count} users"


def _or_dash(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}"
