"""Decides for each run and each direct call: taken on, or refused with a time that is kept. Pure; times are seconds."""

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from headrace_edge.model import PRIORITIES
from headrace_edge.quota.forecast import Demand, Forecast, Pending, forecast
from headrace_edge.quota.model import Quota
from headrace_edge.quota.promises import Book, BookLimits, Claim, Promise
from headrace_edge.quota.shares import Shares

FAVOUR = 0.8
"""A tenant that had its share already is refused at this part of the patience: what is free then is for the others."""
LATE = 1.5
"""Who has a promise is served even if the wait has grown to this many times what others are refused for."""
SLOW = 3.0
"""A call that is asked directly leaves so many times its mean for the call itself; the rest may be waited for."""
FREE_CALLS = 0.05
"""A run of a kind that makes fewer calls than this needs no quota."""
COUNT_AGE_S = 0.5
"""How old the executors' counts may be already when they are asked for them."""
BREAKER_S = 30.0
"""How long a model that keeps failing is left alone; the time that is told then."""
PROBE_S = 5.0
"""Meanwhile one run in this time is let through: without calls nobody would find out that the model is back."""
ROUNDING_S = 1e-6
MAX_UNCOUNTED = 10_000
"""Runs taken on that no count has yet; of more the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class DeskLimits:
    """How long runs may wait, and what is promised."""

    patience_s: Mapping[str, float] = field(
        default_factory=lambda: dict(zip(PRIORITIES, (60.0, 300.0, 500.0), strict=True))
    )
    """By priority: a run that would wait longer for its first call is refused."""
    guessed_calls: float = 2.0
    """What a run is taken to call before one of its kind has finished."""
    share: float = 1.0
    """The part of the quota that this process may promise."""
    book: BookLimits = field(default_factory=BookLimits)


class Outcome(StrEnum):
    """What became of a request for a run; a metric's label."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    """Accepted, and will wait."""
    RETURNED = "returned"
    """Accepted because it was promised."""
    BLIND = "blind"
    """Accepted without signals."""
    PROBE = "probe"
    """Accepted to find out whether a failing model is back."""
    REFUSED = "refused"
    """With a promise."""
    EARLY = "early"
    """Refused again before its time; the promise stands."""
    BROKEN = "broken"
    """Refused although its time had come; a new promise."""
    OVERFLOW = "overflow"
    """Refused without a promise: there is no time left to promise."""
    BREAKER = "breaker"
    """Refused because the model keeps failing."""


REFUSALS = frozenset({Outcome.REFUSED, Outcome.EARLY, Outcome.BROKEN, Outcome.OVERFLOW, Outcome.BREAKER})


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer to one request."""

    outcome: Outcome
    forecast: Forecast | None = None
    promise: Promise | None = None
    """The one that it consumed, or got."""
    retry_after_s: int = 0
    patience_s: float = 0.0
    """How long a newcomer like it may wait."""

    @property
    def accepted(self) -> bool:
        """Whether the run is taken on."""
        return self.outcome not in REFUSALS


@dataclass(slots=True)
class Uncounted:
    """The runs that were taken on and that no count of the executors has yet."""

    calls: dict[tuple[str, str], float] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)
    _runs: deque[tuple[float, tuple[str, str], float]] = field(default_factory=deque)

    def add(self, model: str, priority: str, calls: float, *, now: float) -> None:
        """Remember one run."""
        if len(self._runs) >= MAX_UNCOUNTED:
            self._pop()
        key = (model, priority)
        self._runs.append((now, key, calls))
        self.calls[key] = self.calls.get(key, 0.0) + calls
        self.runs[priority] += 1

    def forget(self, counted_at: float) -> None:
        """Drop what counts of that time have."""
        while self._runs and self._runs[0][0] <= counted_at:
            self._pop()
        if not self._runs:
            self.calls.clear()  # and with them what rounding left

    def pending(self) -> Pending:
        """All of them."""
        return Pending(self.calls, self.runs)

    def _pop(self) -> None:
        _, key, calls = self._runs.popleft()
        self.calls[key] -= calls
        self.runs[key[1]] -= 1


class Desk:
    """One process's decisions and what it has to remember for them."""

    def __init__(self, limits: DeskLimits) -> None:
        self._limits = limits
        self._uncounted = Uncounted()
        self._probed = -math.inf
        self._shares = Shares()
        self.book = Book(limits.book)

    def decide(self, quota: Quota | None, demand: Demand, claim: Claim, *, counted_at: float, now: float) -> Decision:
        """Take it on or refuse it; `counted_at` is when `quota` was asked for, None means that nothing is known."""
        seen = None
        if quota is not None:
            self._uncounted.forget(counted_at - COUNT_AGE_S)
            seen = forecast(quota, demand, pending=self._uncounted.pending(), guessed_calls=self._limits.guessed_calls)
        if seen is None:
            return Decision(Outcome.BLIND)
        if seen.breaker_open and seen.calls >= FREE_CALLS and demand.timeout_s is None:
            return self._failing(seen, claim, now)
        self._shares.ask(claim.tenant, now=now)
        promise = self.book.consume(claim, now=now)
        patience_s = self._patience_s(seen, demand)
        if not self._in_time(seen, patience_s, claim.tenant, promised=promise is not None):
            return self._refuse(seen, patience_s, claim, now, broken=promise is not None)
        self._shares.serve(claim.tenant, seen.calls, now=now)
        self._uncounted.add(seen.model, demand.priority, seen.calls, now=now)
        if promise is not None:
            return Decision(Outcome.RETURNED, seen, promise)
        return Decision(Outcome.QUEUED if seen.expected_wait_s > 0 else Outcome.ACCEPTED, seen)

    def undo(self, decision: Decision, *, now: float) -> None:
        """The run that was accepted did not come about."""
        if decision.promise is not None and decision.accepted:
            self.book.restore(decision.promise, now=now)

    def _patience_s(self, seen: Forecast, demand: Demand) -> float:
        """How long a newcomer may wait: who has a promise has `LATE` times that within its own deadline."""
        most = self._limits.patience_s[demand.priority]
        if demand.timeout_s is None:
            return most
        return min(most, max(0.0, demand.timeout_s - SLOW * seen.call_s) / LATE)

    def _in_time(self, seen: Forecast, patience_s: float, tenant: str, *, promised: bool) -> bool:
        if seen.rpm <= 0 or seen.calls < FREE_CALLS:
            return True
        part = LATE if promised else FAVOUR if self._shares.has_its_share(tenant) else 1.0
        return seen.wait_s <= patience_s * part

    def _refuse(self, seen: Forecast, patience_s: float, claim: Claim, now: float, *, broken: bool) -> Decision:
        held = self.book.holds(claim)
        outcome = Outcome.BROKEN if broken else Outcome.EARLY if held else Outcome.REFUSED
        not_before_s = max(0.0, seen.wait_s - patience_s, seen.cooling_s)
        made = self._promise(seen, claim, outcome, not_before_s=not_before_s, now=now)
        return replace(made, patience_s=patience_s)

    def _failing(self, seen: Forecast, claim: Claim, now: float) -> Decision:
        if now - self._probed >= PROBE_S:
            self._probed = now
            return Decision(Outcome.PROBE, seen)
        self.book.consume(claim, now=now)
        if seen.rpm <= 0:
            return Decision(Outcome.BREAKER, seen, retry_after_s=math.ceil(BREAKER_S))
        return self._promise(seen, claim, Outcome.BREAKER, not_before_s=max(BREAKER_S, seen.cooling_s), now=now)

    def _promise(self, seen: Forecast, claim: Claim, outcome: Outcome, *, not_before_s: float, now: float) -> Decision:
        rpm = seen.rpm * self._limits.share
        calls = max(seen.calls, FREE_CALLS)
        made = self.book.promise(claim, model=seen.model, calls=calls, rpm=rpm, not_before_s=not_before_s, now=now)
        if made is None:
            return Decision(Outcome.OVERFLOW, seen, retry_after_s=math.ceil(self._limits.book.max_s))
        return Decision(outcome, seen, made, retry_after_s=max(1, math.ceil(made.due - now - ROUNDING_S)))
