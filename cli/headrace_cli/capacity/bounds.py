"""Which assumption binds: how many users each would allow by itself, and what if it were another. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from headrace_cli.capacity import formula
from headrace_cli.capacity.model import MINUTE_S, Kind, Scenario


@dataclass(frozen=True, slots=True)
class Bound:
    """One assumption, and how many users it allows."""

    name: str
    """In the plural, so that a sentence can be made of it."""
    fact: str
    """What it is, in figures."""
    users: float
    """inf when it is not bounded."""
    doubled: Scenario
    """The same with twice as much of it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What the answer would be if one assumption were another."""

    name: str
    users: float
    binding: str
    """What would bind then."""


def bounds(scenario: Scenario) -> list[Bound]:
    """Each assumption that bounds the users, the tightest first."""
    served = sorted((_requests(scenario), _tokens(scenario), _slots(scenario)), key=_users)
    return sorted((*served, _patience(scenario, served[0].users)), key=_users)


def most_per_s(scenario: Scenario) -> float:
    """Requests a second that can be served, whoever waits for them."""
    users = min(bound.users for bound in (_requests(scenario), _tokens(scenario), _slots(scenario)))
    return users / scenario.round_s


def changes(scenario: Scenario) -> list[Change]:
    """The answer with each assumption changed and the others as they are."""
    quota, kinds = scenario.quota, scenario.kinds
    others = {
        "twice the requests per minute": _requests(scenario).doubled,
        "twice the tokens per minute": _tokens(scenario).doubled,
        "twice the slots": _slots(scenario).doubled,
        "half the calls per request": replace(scenario, kinds=[replace(one, calls=one.calls / 2) for one in kinds]),
        "answers in half the time": replace(scenario, kinds=[replace(one, seconds=one.seconds / 2) for one in kinds]),
        "twice the think time": replace(scenario, think_s=2 * scenario.think_s),
        "no think time": replace(scenario, think_s=0.0),
    }
    if not quota.tpm:
        del others["twice the tokens per minute"]
    return [_change(name, other) for name, other in others.items()]


def sentence(scenario: Scenario) -> str:
    """What binds, and what follows from that."""
    first = bounds(scenario)[0]
    then = bounds(first.doubled)[0]
    bound = "" if then.name == first.name else f", bound by {then.name}"
    text = f"{first.name} bind: {first.fact}. Doubled, {then.users:.1f} users{bound}."
    if not scenario.think_s or not first.users:
        return text
    part = scenario.think_s / scenario.round_s
    idle = bounds(replace(scenario, think_s=0.0))[0].users
    return f"{text} {part:.0%} of the answer hangs on the think time: without it, {idle:.1f} users."


def _change(name: str, scenario: Scenario) -> Change:
    first = bounds(scenario)[0]
    return Change(name, first.users, first.name)


def _users(bound: Bound) -> float:
    return bound.users


def _requests(scenario: Scenario) -> Bound:
    rpm, calls = scenario.quota.rpm, scenario.calls
    users = formula.users_of_quota(rpm=rpm, calls=calls, response_s=scenario.response_s, think_s=scenario.think_s)
    fact = f"{rpm:g} calls/min, {calls:.3g} for each: {rpm / calls:.1f} requests/min"
    return Bound("requests per minute", fact, users, replace(scenario, quota=replace(scenario.quota, rpm=2 * rpm)))


def _tokens(scenario: Scenario) -> Bound:
    tpm, tokens = scenario.quota.tpm, scenario.tokens
    if not tpm:
        return Bound("tokens per minute", "not bounded", math.inf, scenario)
    per_s = tpm / MINUTE_S / tokens if tokens else math.inf
    users = formula.users(per_s=per_s, response_s=scenario.response_s, think_s=scenario.think_s)
    fact = f"{tpm:,.0f} tokens/min, {tokens:,.0f} for each: {per_s * MINUTE_S:.1f} requests/min"
    return Bound("tokens per minute", fact, users, replace(scenario, quota=replace(scenario.quota, tpm=2 * tpm)))


def _slots(scenario: Scenario) -> Bound:
    slots, held = scenario.slots, scenario.response_s
    users = formula.users(per_s=slots / held, response_s=held, think_s=scenario.think_s)
    fact = f"{slots} slots, each held for {held:.1f} s: {slots / held * MINUTE_S:.1f} requests/min"
    return Bound("executor slots", fact, users, replace(scenario, slots=2 * slots))


def _patience(scenario: Scenario, served: float) -> Bound:
    """How many users wait, on average, for as long as the least patient kind can."""
    least = min(scenario.kinds, key=_slack_s)
    slack_s = _slack_s(least)
    users = served * (1 + slack_s / scenario.round_s) if slack_s > 0 else 0.0
    fact = f"{least.name} takes {least.request_s:.1f} s and is given up after {least.patience_s:g} s"
    return Bound("deadlines", fact, users, replace(scenario, kinds=_patient(scenario.kinds)))


def _slack_s(kind: Kind) -> float:
    return kind.patience_s - kind.request_s


def _patient(kinds: Sequence[Kind]) -> list[Kind]:
    return [replace(one, patience_s=2 * one.patience_s) for one in kinds]
