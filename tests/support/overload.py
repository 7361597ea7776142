"""A service under too much demand in virtual time: the edge's desk before executors with slots and a paced model."""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from headrace_edge.quota.desk import Decision, Desk, DeskLimits, Outcome
from headrace_edge.quota.forecast import Demand
from headrace_edge.quota.model import KindCost, ModelState, Quota
from headrace_edge.quota.promises import BookLimits, Claim

POLL_S = 0.5
"""How old the desk's signals may be."""
CALL_S = (1.0, 4.0)
"""Shortest and longest time of a model call."""
CALLS = (1, 2, 3)
"""Calls of a run, each as often as the others."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is offered."""

    rpm: float
    factor: float = 10.0
    """How many times the capacity comes, first requests alone."""
    overload_s: float = 180.0
    after_s: float = 0.0
    """How long is watched after that, with a tenth of the capacity coming."""
    jitter_s: float = 2.0
    """Clients return within this time after the one that they were told."""
    gone: float = 0.2
    """The part of the refused that never returns."""
    slots: int = 128
    drop: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """From when until when the quota is only this part of itself."""
    priority: str = "interactive"
    tenants: tuple[float, ...] = (1.0,)
    """How much each offers, in proportion."""

    def rpm_at(self, now: float) -> float:
        """The quota at a time."""
        since, until, part = self.drop
        return self.rpm * (part if since <= now < until else 1.0)

    @property
    def possible(self) -> float:
        """Calls that the quota allows while the overload lasts."""
        since, until, part = self.drop
        return self.rpm / 60 * (self.overload_s - (until - since) * (1 - part))


@dataclass(slots=True)
class Report:
    """What came of it."""

    arrivals: int = 0
    newcomers_accepted: int = 0
    promised: int = 0
    overflow: int = 0
    returned: int = 0
    """First returns of those who were promised a time."""
    returned_accepted: int = 0
    longest_retry_s: int = 0
    most_promises: int = 0
    granted: int = 0
    """Calls while the overload lasted."""
    possible: float = 0.0
    waits_s: list[float] = field(default_factory=list)
    """From acceptance to the first call, of each accepted run."""
    calls_of: dict[int, int] = field(default_factory=dict)
    """Calls granted to each tenant while the overload lasted."""
    accepted_per_minute: dict[int, int] = field(default_factory=dict)
    """First requests taken on, by minute of the overload."""

    @property
    def kept(self) -> float:
        """The part of the promised who were served when they returned as told."""
        return self.returned_accepted / max(1, self.returned)

    @property
    def jain(self) -> float:
        """Jain's index of what the tenants were served: 1 is equal, 1/n is one for all."""
        served = list(self.calls_of.values())
        return sum(served) ** 2 / (len(served) * sum(one * one for one in served))

    @property
    def used(self) -> float:
        """The part of the quota that was used while the overload lasted."""
        return self.granted / self.possible

    def wait_s(self, part: float) -> float:
        """A quantile of the accepted runs' waits."""
        return sorted(self.waits_s)[min(len(self.waits_s) - 1, int(part * len(self.waits_s)))]


@dataclass(slots=True)
class _Run:
    tenant: int
    accepted_at: float
    calls: int
    started: bool = False


class Overload:
    """One simulation, determined by its seed."""

    def __init__(self, load: Load, *, seed: int = 1, limits: DeskLimits | None = None) -> None:
        self._load = load
        self._random = random.Random(seed)
        self._desk = Desk(limits or DeskLimits(book=BookLimits(tenants=len(load.tenants))))
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._now = 0.0
        self._queue: deque[_Run] = deque()
        self._gate: deque[_Run] = deque()
        self._running = 0
        self._next_grant = 0.0
        self._counted: tuple[float, Quota] | None = None
        self.report = Report(possible=load.possible)

    def run(self) -> Report:
        """Let everything happen."""
        self._at(0.0, self._arrive)
        end = self._load.overload_s + self._load.after_s
        while self._events and self._events[0][0] <= end:
            self._now, _, action = heapq.heappop(self._events)
            action()
        return self.report

    def _at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), action))

    def _arrive(self) -> None:
        load = self._load
        overloaded = self._now < load.overload_s
        runs_per_s = load.rpm / 60 / (sum(CALLS) / len(CALLS)) * (load.factor if overloaded else 0.1)
        self._at(self._now + self._random.expovariate(runs_per_s), self._arrive)
        self.report.arrivals += 1
        tenant = self._random.choices(range(len(load.tenants)), load.tenants)[0]
        claim = Claim(f"t{tenant}", str(self.report.arrivals))
        decision = self._ask(claim)
        if decision.accepted:
            self.report.newcomers_accepted += 1
            if overloaded:
                minute = int(self._now // 60)
                self.report.accepted_per_minute[minute] = self.report.accepted_per_minute.get(minute, 0) + 1
        else:
            self._refused(claim, decision)

    def _refused(self, claim: Claim, decision: Decision) -> None:
        if decision.outcome is Outcome.OVERFLOW:
            self.report.overflow += 1
            return
        self.report.promised += 1
        self.report.longest_retry_s = max(self.report.longest_retry_s, decision.retry_after_s)
        self.report.most_promises = max(self.report.most_promises, len(self._desk.book))
        if self._random.random() >= self._load.gone:
            late_s = self._random.uniform(0.0, self._load.jitter_s)
            self._at(self._now + decision.retry_after_s + late_s, lambda: self._return(claim))

    def _return(self, claim: Claim) -> None:
        self.report.returned += 1
        self.report.returned_accepted += self._ask(claim).accepted

    def _ask(self, claim: Claim) -> Decision:
        if self._counted is None or self._now - self._counted[0] > POLL_S:
            self._counted = (self._now, self._signals())
        asked_at, quota = self._counted
        demand = Demand("conversation", self._load.priority, ())
        decision = self._desk.decide(quota, demand, claim, counted_at=asked_at, now=self._now)
        if decision.accepted:
            self._queue.append(_Run(int(claim.tenant[1:]), self._now, self._random.choice(CALLS)))
            self._start()
        return decision

    def _signals(self) -> Quota:
        rpm = self._load.rpm_at(self._now)
        gate = ModelState(
            granted_rpm=rpm,
            effective_rpm=rpm,
            queue_depth=len(self._gate),
            oldest_wait_s=0,
            throttled_ratio=0,
            seconds_per_call=sum(CALL_S) / 2,
            throttled=False,
            queued={self._load.priority: len(self._gate)},
            expected_wait_s={self._load.priority: len(self._gate) * 60 / rpm},
        )
        return Quota(
            time=datetime(2026, 1, 1, tzinfo=UTC),
            queued={self._load.priority: len(self._queue)},
            running=self._running,
            oldest_wait_s=0,
            slots_per_replica=self._load.slots,
            replicas=1,
            seconds_per_run=0,
            models={"m": gate},
            default_model="m",
            kinds={"conversation": KindCost(calls_per_run=sum(CALLS) / len(CALLS), seconds_per_run=10)},
        )

    def _start(self) -> None:
        while self._queue and self._running < self._load.slots:
            self._running += 1
            self._wait_at_gate(self._queue.popleft())

    def _wait_at_gate(self, run: _Run) -> None:
        self._gate.append(run)
        if len(self._gate) == 1:
            self._at(max(self._now, self._next_grant), self._grant)

    def _grant(self) -> None:
        run = self._gate.popleft()
        self._next_grant = self._now + 60 / self._load.rpm_at(self._now)
        if self._gate:
            self._at(self._next_grant, self._grant)
        if self._now <= self._load.overload_s:
            self.report.granted += 1
            self.report.calls_of[run.tenant] = self.report.calls_of.get(run.tenant, 0) + 1
        if not run.started:
            run.started = True
            self.report.waits_s.append(self._now - run.accepted_at)
        run.calls -= 1
        self._at(self._now + self._random.uniform(*CALL_S), lambda: self._answered(run))

    def _answered(self, run: _Run) -> None:
        if run.calls:
            self._wait_at_gate(run)
            return
        self._running -= 1
        self._start()
