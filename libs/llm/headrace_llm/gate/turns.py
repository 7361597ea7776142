"""Whose turn it is. Pure and exact; the `script` does the same inside Redis.

Interactive goes before standard before background, but a class that waits is owed its guaranteed share of the grants:
each grant adds its share to the credit of every class that waits, and a credit of one call is a turn. Within a class,
tenants take turns by start-time fair queueing (Goyal, Vin, Cheng 1996): each has a virtual time, which a grant moves on
by its cost over the tenant's weight, and the earliest goes. A tenant's own calls go by the age of their work, then by
what waits for them, then as they came.
"""

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

SHARES = (0.0, 0.2, 0.1)
"""The guaranteed part of the grants of interactive (which needs none), standard and background calls."""
CLASSES = len(SHARES)
MOST_CREDIT = 1.5
"""More than that is not saved up."""
MAX_TENANTS_COUNTED = 64
"""Up to here a forecast counts tenant by tenant; beyond, by a bound."""
MAX_IDLE = 1024
"""Virtual times that are kept of tenants that have nobody waiting."""


@dataclass(frozen=True, slots=True)
class Waiter:
    """A call in the queue."""

    id: str
    """PROCESS:TICKET; unique."""
    rank: int
    """Its class: 0 interactive, 1 standard, 2 background."""
    tenant: str
    weight: float
    order: str
    """Its place among its tenant's calls; smaller goes first. See `order`."""
    tokens: int
    latest_us: int
    """When it is too late for it."""


def order(*, age_us: int, unblocks: int, number: int, id: str) -> str:  # noqa: A002
    """A text that sorts as calls of one tenant go: older work, then more that waits for it, then as they came."""
    return f"{age_us:016d}.{999 - min(max(unblocks, 0), 999):03d}.{number:012d}.{id}"


@dataclass(slots=True)
class Line:
    """The calls of one class."""

    waiting: dict[str, list[str]] = field(default_factory=dict)
    """By tenant, orders ascending."""
    times: dict[str, float] = field(default_factory=dict)
    """Virtual times of the tenants that wait."""
    idle: dict[str, float] = field(default_factory=dict)
    """Virtual times of those that do not, while they are ahead of the class's."""
    weights: dict[str, float] = field(default_factory=dict)
    """Of the tenants that wait."""
    now: float = 0.0
    """The virtual time of the last grant."""
    credit: float = 0.0

    @property
    def depth(self) -> int:
        """How many wait."""
        return sum(map(len, self.waiting.values()))

    def retire(self, tenant: str) -> None:
        """Its last call has left. Virtual times that the class has passed say nothing any more."""
        del self.waiting[tenant], self.weights[tenant]
        self.idle[tenant] = self.times.pop(tenant)
        if len(self.idle) > MAX_IDLE:
            self.idle = {one: at for one, at in self.idle.items() if at > self.now}
        if len(self.idle) > MAX_IDLE:
            del self.idle[min(self.idle, key=lambda one: (self.idle[one], one))]

    def next_tenant(self) -> str:
        """Whose turn it is; somebody waits."""
        return min(self.waiting, key=lambda tenant: (self.times[tenant], tenant))

    def turns_until(self, time: float, tenant: str, cost: float, *, tie: bool) -> int:
        """How many calls of a tenant go before a virtual time; `tie`: one at that very time does, too."""
        rest, step = time - self.times[tenant], _step(cost, self.weights[tenant])
        if rest < 0:
            return 0
        turns = math.floor(rest / step) + (1 if tie or rest % step else 0)
        return min(turns, len(self.waiting[tenant]))


class Turns:
    """The queue of one limit."""

    def __init__(self) -> None:
        self.lines = tuple(Line() for _ in range(CLASSES))
        self._waiters: dict[str, Waiter] = {}

    def __len__(self) -> int:
        return len(self._waiters)

    def __contains__(self, waiter_id: str) -> bool:
        return waiter_id in self._waiters

    def __iter__(self) -> Iterator[Waiter]:
        return iter(self._waiters.values())

    def get(self, waiter_id: str) -> Waiter | None:
        """A call that waits, None when it is not there."""
        return self._waiters.get(waiter_id)

    def join(self, waiter: Waiter) -> None:
        """Put a call at its place."""
        line = self.lines[waiter.rank]
        if waiter.tenant not in line.waiting:
            line.waiting[waiter.tenant] = []
            line.times[waiter.tenant] = max(line.now, line.idle.pop(waiter.tenant, 0.0))
        line.weights[waiter.tenant] = waiter.weight
        bisect.insort(line.waiting[waiter.tenant], waiter.order)
        self._waiters[waiter.id] = waiter

    def resize(self, waiter_id: str, tokens: int) -> None:
        """Correct the tokens of a call that waits, if it does."""
        waiter = self._waiters.get(waiter_id)
        if waiter is not None:
            self._waiters[waiter_id] = replace(waiter, tokens=tokens)

    def leave(self, waiter_id: str) -> bool:
        """Take a call out; False when it is not there."""
        waiter = self._waiters.pop(waiter_id, None)
        if waiter is None:
            return False
        line = self.lines[waiter.rank]
        line.waiting[waiter.tenant].remove(waiter.order)
        if not line.waiting[waiter.tenant]:
            line.retire(waiter.tenant)
        if not line.waiting:
            line.idle, line.now, line.credit = {}, 0.0, 0.0
        return True

    def first(self) -> Waiter:
        """The call that goes next; somebody waits."""
        line = self.lines[self._next_rank()]
        return self._waiters[line.waiting[line.next_tenant()][0].rpartition(".")[2]]

    def granted(self, waiter: Waiter, cost: float) -> None:
        """Take out a call that goes now, and charge its tenant's turn and its class's credit."""
        line = self.lines[waiter.rank]
        line.now = line.times[waiter.tenant]
        line.times[waiter.tenant] += math.floor(max(cost, 1.0) / waiter.weight)
        self.leave(waiter.id)
        line.credit = max(0.0, line.credit + SHARES[waiter.rank] - 1)
        for other, share in zip(self.lines, SHARES, strict=True):
            if other is not line and other.waiting:
                other.credit = min(MOST_CREDIT, other.credit + share)

    def ahead(self, rank: int, tenant: str, weight: float) -> int:
        """How many of the class go before a new call of the tenant."""
        line = self.lines[rank]
        own = len(line.waiting.get(tenant, ()))
        if len(line.waiting) > MAX_TENANTS_COUNTED:
            return min(line.depth, (own + 1) * len(line.waiting))
        # Tenants take turns: of another's calls, as many go first as it has turns until this one's.
        turns = (own + 1) / weight
        others = (other for other in line.waiting if other != tenant)
        return own + sum(min(len(line.waiting[one]), math.floor(turns * line.weights[one])) for one in others)

    def before(self, waiter: Waiter, cost: float) -> int:
        """How many of its class go before a call that waits, if each of them costs as much."""
        line = self.lines[waiter.rank]
        own = bisect.bisect_left(line.waiting[waiter.tenant], waiter.order)
        if len(line.waiting) > MAX_TENANTS_COUNTED:
            return min(line.depth - 1, (own + 1) * len(line.waiting))
        at = line.times[waiter.tenant] + own * _step(cost, line.weights[waiter.tenant])
        others = (other for other in line.waiting if other != waiter.tenant)
        return own + sum(line.turns_until(at, one, cost, tie=one < waiter.tenant) for one in others)

    def _next_rank(self) -> int:
        owed = [rank for rank, line in enumerate(self.lines) if line.waiting and line.credit >= 1]
        if owed:
            return max(owed, key=lambda rank: (self.lines[rank].credit, -rank))
        return next(rank for rank, line in enumerate(self.lines) if line.waiting)


def _step(cost: float, weight: float) -> float:
    """How far a call of that cost moves its tenant's virtual time."""
    return max(1, math.floor(max(cost, 1.0) / weight))
