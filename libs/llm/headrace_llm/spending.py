"""Each tenant's budget of today, as this process keeps it: shared counters, and what happens while they are away.

Away: each process lets a tenant use its share of what was left when it last heard the counters, and owes them what it
counts meanwhile: a process that is cut off alone may add that share to what the others grant, and nobody is ever
unlimited. Emptied: a process that has a ledger (the
executor has Postgres) raises the counters to what the ledger knows before it lets the next call through.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog
from headrace_runtime import errors

from headrace_llm import budgets, metrics
from headrace_llm.budgets import Amount, Ceiling
from headrace_llm.counting import Counted, Counters, Reach, SpentToday
from headrace_llm.errors import BudgetSpent
from headrace_llm.registry import ANY_TENANT, DailyBudget, Registry

MAX_TENANTS = 10_000
"""Tenants whose count this process remembers; the one not used for longest is forgotten."""
TEND_S = 30.0
"""Time between two looks at counters that were emptied, and at what is owed to them."""
SEED_S = 600.0
"""How long the ledger's word in the counters counts as new."""
IN_FLIGHT_RETRY_S = 5.0
"""When to come back to a budget that only calls in flight fill."""
CLOSE_S = 2.0
"""How long `close` waits for what has yet to be told to the counters."""

Clock = Callable[[], float]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reservation:
    """What was set aside for one call."""

    tenant_id: str
    day: str
    amount: Amount


@dataclass(slots=True)
class _Known:
    """One tenant's day as this process knows it."""

    used: Amount = field(default_factory=Amount)
    """What the counters said last."""
    owed: Amount = field(default_factory=Amount)
    """What they have yet to be told."""
    held: Amount = field(default_factory=Amount)
    """Reserved by this process for calls in flight."""
    seeding: asyncio.Lock = field(default_factory=asyncio.Lock)
    seed_from: float = -math.inf
    """When the ledger may be asked again, on the monotonic clock."""


class Budgets:
    """One per process."""

    def __init__(
        self,
        registry: Registry,
        counters: Counters,
        *,
        share: float,
        retry_s: float,
        now: Clock = time.time,
        clock: Clock = time.monotonic,
    ) -> None:
        """`share` is this process's part of what is left while the counters are away; they are left alone for `retry_s`."""
        self._registry = registry
        self._counters = counters
        self._share = share
        self._now = now
        self._clock = clock
        self._reach = Reach(retry_s=retry_s, clock=clock)
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._notes: set[asyncio.Task[None]] = set()
        self.ledger: SpentToday | None = None
        """Set by a process that has one."""

    @property
    def any(self) -> bool:
        """Whether some tenant has a budget."""
        return any(Ceiling.of(entry.daily) for entry in self._registry.tenants.values())

    def daily(self, tenant_id: str) -> DailyBudget | None:
        """A tenant's budget, None when it has none."""
        daily = self._registry.tenant(tenant_id).daily
        return daily if Ceiling.of(daily) else None

    async def reserve(self, tenant_id: str, wanted: Amount) -> Reservation | None:
        """Set aside what a call may use; None for a tenant without a budget. Raises `BudgetSpent`.

        Cancelling gives it back.
        """
        daily = self.daily(tenant_id)
        if daily is None:
            return None
        asked = asyncio.ensure_future(self._reserve(tenant_id, daily, wanted))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            self._note(self._undo(asked))
            raise

    def settle(self, reservation: Reservation, actual: Amount) -> None:
        """Say what the call really used. Returns at once."""
        self._let_go(reservation)
        change = actual.minus(reservation.amount)
        if change != Amount():
            self._note(self._add(reservation.tenant_id, reservation.day, change))

    async def used(self, tenant_id: str) -> Amount:
        """What a tenant with a budget has used of today, as far as this process can know."""
        day = self._today()
        known = self._remember(tenant_id, day)
        counted = await self._reach.ask(lambda: self._counters.read(tenant_id, day))
        if counted is None:
            return budgets.correct(known.used, known.owed)
        known.used = counted.used
        if counted.seed_age_s is None:
            await self._seed(tenant_id, day)
        return budgets.correct(known.used, known.owed)

    async def require(self, tenant_id: str) -> None:
        """Raise `BudgetSpent` when not even the smallest call would be let through once those in flight have ended.

        Free for a tenant without a budget.
        """
        daily = self.daily(tenant_id)
        if daily is None:
            return
        used, least = await self.used(tenant_id), Amount(1, 1, 0)
        used = budgets.correct(used, Amount().minus(self._remember(tenant_id, self._today()).held))
        ceiling = Ceiling.of(daily)
        assert ceiling is not None
        spent = ceiling.nano_usd is not None and used.nano_usd >= ceiling.nano_usd
        figure = budgets.passed(used, least, ceiling) or ("usd" if spent else None)
        if figure:
            raise self._refused(tenant_id, daily, figure, used, least)

    async def tend(self) -> None:
        """Do `reconcile` from time to time, until cancelled."""
        while True:
            await asyncio.sleep(TEND_S)
            await self.reconcile()

    async def reconcile(self) -> None:
        """Tell the counters what they are owed, and raise those that were emptied to what the ledger knows."""
        today = self._today()
        for (tenant_id, day), known in list(self._known.items()):
            if known.owed != Amount():
                await self._add(tenant_id, day, Amount())
            elif day != today:
                self._known.pop((tenant_id, day), None)
                continue
            if self.ledger is None or day != today:
                continue
            counted = await self._reach.ask(lambda t=tenant_id, d=day: self._counters.read(t, d))  # type: ignore[misc]
            if counted is not None and (counted.seed_age_s is None or counted.seed_age_s > SEED_S):
                await self._seed(tenant_id, day)

    async def close(self) -> None:
        """Let what has yet to be told to the counters be told."""
        if self._notes:
            await asyncio.wait(self._notes, timeout=CLOSE_S)

    async def _reserve(self, tenant_id: str, daily: DailyBudget, wanted: Amount) -> Reservation:
        day = self._today()
        known = self._remember(tenant_id, day)
        ceiling = Ceiling.of(daily)
        assert ceiling is not None
        counted = await self._shared(tenant_id, day, known, wanted, ceiling)
        if counted is not None:
            used, figure = counted.used, None if counted.granted else budgets.passed(counted.used, wanted, ceiling)
        else:
            own = ceiling.part(self._share, above=known.used)
            used = budgets.correct(known.used, known.owed)
            figure = budgets.passed(used, wanted, own)
            if figure is None:
                known.owed = known.owed.plus(wanted)
        if figure:
            settled = budgets.correct(used, Amount().minus(known.held))
            passing = budgets.passed(settled, wanted, ceiling) is None
            raise self._refused(tenant_id, daily, figure, used, wanted, passing=passing)
        known.held = known.held.plus(wanted)
        return Reservation(tenant_id, day, wanted)

    async def _shared(self, tenant_id: str, day: str, known: _Known, wanted: Amount, ceiling: Ceiling) -> Counted | None:
        """What the counters decide, None while they are away."""
        for need_seed in (self.ledger is not None and self._clock() >= known.seed_from, False):
            owed, known.owed = known.owed, Amount()  # so that nobody else pays it as well
            counted = await self._reach.ask(
                lambda o=owed, n=need_seed: self._counters.reserve(  # type: ignore[misc]
                    tenant_id, day, wanted=wanted, ceiling=ceiling, owed=o, need_seed=n
                )
            )
            unpaid = counted is None or counted.seed_age_s is None
            if unpaid:
                known.owed = known.owed.plus(owed)
            if counted is None:
                return None
            if not unpaid:
                known.used = counted.used
                return counted
            await self._seed(tenant_id, day)
        raise AssertionError("unreachable: without need_seed a reservation is decided")

    async def _seed(self, tenant_id: str, day: str) -> None:
        """Raise the counters to what the ledger knows; while it is away they go on from what they have."""
        known = self._remember(tenant_id, day)
        async with known.seeding:
            if self.ledger is None or self._clock() < known.seed_from:
                return
            counted = await self._reach.ask(lambda: self._counters.read(tenant_id, day))
            if counted is None or (counted.seed_age_s is not None and counted.seed_age_s <= SEED_S):
                return
            try:
                spent = await self.ledger.spent(tenant_id, day)
            except errors.ServiceError as error:
                known.seed_from = self._clock() + TEND_S  # so that calls do not wait for it one after another
                log.warning("budget_not_seeded", cause=error.message)
                return
            used = await self._reach.ask(lambda: self._counters.raise_to(tenant_id, day, spent))
            if used is not None:
                known.used = used

    async def _add(self, tenant_id: str, day: str, change: Amount) -> None:
        known = self._remember(tenant_id, day)
        owed, known.owed = known.owed.plus(change), Amount()
        used = await self._reach.ask(lambda: self._counters.add(tenant_id, day, owed))
        if used is None:
            known.owed = known.owed.plus(owed)
        else:
            known.used = used

    async def _undo(self, asked: "asyncio.Future[Reservation]") -> None:
        try:
            reservation = await asked
        except BudgetSpent:
            return
        self._let_go(reservation)
        await self._add(reservation.tenant_id, reservation.day, Amount().minus(reservation.amount))

    def _let_go(self, reservation: Reservation) -> None:
        known = self._remember(reservation.tenant_id, reservation.day)
        known.held = budgets.correct(known.held, Amount().minus(reservation.amount))

    def _today(self) -> str:
        return budgets.day_of(self._now())

    def _remember(self, tenant_id: str, day: str) -> _Known:
        known = self._known.setdefault((tenant_id, day), _Known())
        self._known.move_to_end((tenant_id, day))
        if len(self._known) > MAX_TENANTS:
            self._known.popitem(last=False)
        return known

    def _refused(
        self,
        tenant_id: str,
        daily: DailyBudget,
        figure: budgets.Figure,
        used: Amount,
        wanted: Amount,
        *,
        passing: bool = False,
    ) -> BudgetSpent:
        """A refusal until midnight; for a moment when it is `passing`: calls in flight may use less than they reserved."""
        metrics.BUDGET_REFUSED.labels(figure).inc()
        entry = tenant_id if tenant_id in self._registry.tenants else ANY_TENANT
        message = budgets.refusal(tenant_id, entry, daily, figure, used, wanted)
        left_s = budgets.left_of_day_s(self._now())
        if passing:
            return BudgetSpent(message, reason=BudgetSpent.IN_FLIGHT, retry_after_s=min(left_s, IN_FLIGHT_RETRY_S))
        return BudgetSpent(message, retry_after_s=left_s)

    def _note(self, work: Coroutine[Any, Any, None]) -> None:
        """Tell the counters without waiting; there are never more of these than calls."""
        task = asyncio.get_running_loop().create_task(work, name="budget note")
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)
