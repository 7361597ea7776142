"""What budgets are kept in: counters that all processes share and that may be away, and a ledger that outlives them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog

from headrace_llm import metrics
from headrace_llm.budgets import Amount, Ceiling

T = TypeVar("T")

log = structlog.get_logger()


class CountersAway(Exception):
    """The counters did not answer in time."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What the counters say of one tenant's day."""

    used: Amount
    """What is reserved for calls in flight included."""
    granted: bool
    """Whether `used` has what was asked for."""
    seed_age_s: float | None
    """How old the ledger's word is; None when there was none, and then nothing was granted that asked for one."""


class Counters(Protocol):
    """What tenants have used, shared by all processes. Every method raises `CountersAway`."""

    async def reserve(
        self, tenant_id: str, day: str, *, wanted: Amount, ceiling: Ceiling, owed: Amount, need_seed: bool
    ) -> Counted:
        """Add `owed`, and `wanted` if it fits; with `need_seed` nothing at all before a `raise_to` of that day."""

    async def add(self, tenant_id: str, day: str, amount: Amount) -> Amount:
        """Add a difference and return the sum."""

    async def raise_to(self, tenant_id: str, day: str, least: Amount) -> Amount:
        """Make each figure at least that and return the sum."""

    async def read(self, tenant_id: str, day: str) -> Counted:
        """Look."""


class SpentToday(Protocol):
    """A ledger that outlives the counters. It may know less than was spent, never more."""

    async def spent(self, tenant_id: str, day: str) -> Amount:
        """What a tenant has used of a day (2026-01-31). Raises `ServiceError` when it cannot tell."""


class Reach:
    """Asks the counters; after a failure it leaves them alone for a while, and then one question tries them again."""

    def __init__(self, *, retry_s: float, clock: Callable[[], float]) -> None:
        self._retry_s = retry_s
        self._clock = clock
        self._away = False
        self._away_until = 0.0
        metrics.BUDGET_FALLBACK.set(0)

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """The counters' answer, None while they are away."""
        if self._away and self._clock() < self._away_until:
            return None
        if self._away:
            self._away_until = self._clock() + self._retry_s  # one question tries, the others do not wait for it
        try:
            answer = await question()
        except CountersAway as error:
            self._away_until = self._clock() + self._retry_s
            self._turn(away=True, cause=str(error))
            return None
        self._turn(away=False)
        return answer

    def _turn(self, *, away: bool, cause: str = "") -> None:
        if away == self._away:
            return
        self._away = away
        metrics.BUDGET_FALLBACK.set(away)
        if away:
            log.warning("budget_fallback", cause=cause)
        else:
            log.info("budget_recovered")
