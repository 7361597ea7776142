"""The book of promises: who was refused, and from when on that one is served. Pure: times are arguments, in seconds.

Each refusal takes the next free part of the promised share of the capacity, so that no more is promised for any time than
can be served in it. A promise is consumed once, by who has its claim, and is dropped when nobody comes.
"""

import heapq
import math
from collections import deque
from dataclasses import dataclass, field

from headrace_edge.quota.calendar import Calendar

TAKEN = 64
"""Promises that were consumed and are still in the order of times, beside as many as are open; more are swept out."""
EARLY_S = 1.0
"""Who comes this much too early is served: times are told in whole seconds, rounded up."""


@dataclass(frozen=True, slots=True)
class BookLimits:
    """What a book holds and promises at most."""

    promises: int = 20_000
    per_tenant: int = 10_000
    max_s: float = 3600.0
    """The farthest time that is promised."""
    grace_s: float = 30.0
    """How long after its time a promise is kept."""
    share: float = 0.8
    """The part of the capacity that is promised; the rest is for who comes for the first time."""
    tenants: int = 1
    """How many there are. Of several none may take so much of a time that another, coming later, finds nothing left."""


@dataclass(frozen=True, slots=True)
class Claim:
    """By what somebody who returns is known."""

    tenant: str
    identity: str
    most: int = 1
    """Promises that may be open for one such claim: several when different callers can look the same."""


@dataclass(eq=False, slots=True)
class Promise:
    """One refused request's time."""

    claim: Claim
    due: float
    model: str
    open: bool = True
    ordered: bool = False
    """Whether it is in its book's order of times."""


@dataclass(slots=True)
class Book:
    """The promises of one edge."""

    limits: BookLimits
    _by_claim: dict[Claim, deque[Promise]] = field(default_factory=dict)
    _by_due: list[tuple[float, int, Promise]] = field(default_factory=list)
    """A heap, the earliest first, with the number of each entry."""
    _entries: int = 0
    _by_tenant: dict[str, int] = field(default_factory=dict)
    _calendars: dict[str, Calendar] = field(default_factory=dict)
    """By model, what of its time is promised."""
    _lanes: dict[str, dict[str, float]] = field(default_factory=dict)
    """By tenant and model, until when the tenant has taken what it may of the promised share."""
    _open: int = 0

    def __len__(self) -> int:
        return self._open

    def promise(
        self, claim: Claim, *, model: str, calls: float, rpm: float, not_before_s: float, now: float
    ) -> Promise | None:
        """Promise the next free time, a whole number of seconds from `now`; None when there is none within the limits.

        A claim that has its promises already gets the first of them again.
        """
        self.expire(now)
        mine = self._by_claim.get(claim)
        if mine and len(mine) >= claim.most:
            return mine[0]
        if self._open >= self.limits.promises or self._by_tenant.get(claim.tenant, 0) >= self.limits.per_tenant:
            return None
        work_s, latest = calls * 60 / rpm, now + self.limits.max_s
        lane = max(self._lanes.get(claim.tenant, {}).get(model, 0.0), now + not_before_s)
        lane_end = lane + work_s / (self.limits.share * self._part(claim.tenant))
        calendar = self._calendars.setdefault(model, Calendar(self.limits.share))
        calendar.forget(now)
        end = calendar.book(lane, work_s, until=latest) if lane_end <= latest else None
        if end is None:
            return None
        self._lanes.setdefault(claim.tenant, {})[model] = lane_end
        wait_s = max(1, math.ceil(max(end, lane_end) - now))
        made = Promise(claim, now + wait_s, model)
        self._note(made)
        return made

    def holds(self, claim: Claim) -> bool:
        """Whether the claim has all the promises that it may have."""
        return len(self._by_claim.get(claim, ())) >= claim.most

    def consume(self, claim: Claim, *, now: float) -> Promise | None:
        """Take the claim's promise whose time has come; None when there is none."""
        self.expire(now)
        mine = self._by_claim.get(claim)
        if not mine or now < mine[0].due - EARLY_S:
            return None
        taken = mine[0]
        self._forget(taken)
        return taken

    def restore(self, promise: Promise, *, now: float) -> None:
        """Put a promise back that was consumed for nothing."""
        if not promise.open and now <= promise.due + self.limits.grace_s:
            promise.open = True
            self._note(promise, first=True)

    def expire(self, now: float) -> int:
        """Drop what nobody came for in time. Returns how many those are."""
        dropped = 0
        while self._by_due:
            due, _, gone = self._by_due[0]
            if gone.open and due + self.limits.grace_s >= now:
                break
            heapq.heappop(self._by_due)
            gone.ordered = False
            if gone.open:
                self._forget(gone)
                dropped += 1
        return dropped

    def next_s(self, now: float) -> float | None:
        """Seconds until the first open promise is due, 0 when it is; None for none."""
        self.expire(now)
        return max(0.0, self._by_due[0][0] - now) if self._by_due else None

    def _part(self, tenant: str) -> float:
        """The part of the promised share that a tenant may take: as many others share it, and one more may come."""
        if self.limits.tenants == 1:
            return 1.0
        return 1 / (len(self._by_tenant.keys() | {tenant}) + 1)

    def _order(self, promise: Promise) -> None:
        promise.ordered = True
        self._entries += 1
        heapq.heappush(self._by_due, (promise.due, self._entries, promise))

    def _sweep(self) -> None:
        """Leave the consumed out of the order of times when they are more than the open ones."""
        if len(self._by_due) <= 2 * self._open + TAKEN:
            return
        for _, _, promise in self._by_due:
            promise.ordered = promise.open
        self._by_due = [entry for entry in self._by_due if entry[2].open]
        heapq.heapify(self._by_due)

    def _note(self, promise: Promise, *, first: bool = False) -> None:
        if not promise.ordered:
            self._order(promise)
        mine = self._by_claim.setdefault(promise.claim, deque())
        mine.appendleft(promise) if first else mine.append(promise)
        tenant = promise.claim.tenant
        self._by_tenant[tenant] = self._by_tenant.get(tenant, 0) + 1
        self._open += 1

    def _forget(self, promise: Promise) -> None:
        promise.open = False
        mine = self._by_claim[promise.claim]
        mine.remove(promise)
        if not mine:
            del self._by_claim[promise.claim]
        tenant = promise.claim.tenant
        self._by_tenant[tenant] -= 1
        if not self._by_tenant[tenant]:
            del self._by_tenant[tenant]
            self._lanes.pop(tenant, None)
        self._open -= 1
        self._sweep()
