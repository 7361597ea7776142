"""Counters and a ledger in memory, to test budgets without Redis and Postgres."""

from dataclasses import dataclass, field

from headrace_llm import budgets
from headrace_llm.budgets import Amount, Ceiling
from headrace_llm.counting import Counted, CountersAway
from headrace_runtime import errors


@dataclass
class FakeCounters:
    """What `RedisCounters` is, on a clock that a test moves; `away` makes every question fail."""

    days: dict[tuple[str, str], Amount] = field(default_factory=dict)
    seeds: dict[tuple[str, str], float] = field(default_factory=dict)
    now_s: float = 0.0
    away: bool = False
    questions: int = 0

    async def reserve(
        self, tenant_id: str, day: str, *, wanted: Amount, ceiling: Ceiling, owed: Amount, need_seed: bool
    ) -> Counted:
        used = self._used(tenant_id, day)
        if need_seed and (tenant_id, day) not in self.seeds:
            return Counted(used, granted=False, seed_age_s=None)
        after, figure = budgets.reserve(budgets.correct(used, owed), wanted, ceiling)
        self.days[tenant_id, day] = after
        return Counted(after, granted=figure is None, seed_age_s=0.0)

    async def add(self, tenant_id: str, day: str, amount: Amount) -> Amount:
        self.days[tenant_id, day] = budgets.correct(self._used(tenant_id, day), amount)
        return self.days[tenant_id, day]

    async def raise_to(self, tenant_id: str, day: str, least: Amount) -> Amount:
        self.days[tenant_id, day] = self._used(tenant_id, day).at_least(least)
        self.seeds[tenant_id, day] = self.now_s
        return self.days[tenant_id, day]

    async def read(self, tenant_id: str, day: str) -> Counted:
        used, seed = self._used(tenant_id, day), self.seeds.get((tenant_id, day))
        return Counted(used, granted=False, seed_age_s=None if seed is None else self.now_s - seed)

    def empty(self) -> None:
        """What a Redis that lost its memory has."""
        self.days.clear()
        self.seeds.clear()

    def _used(self, tenant_id: str, day: str) -> Amount:
        self.questions += 1
        if self.away:
            raise CountersAway("cut")
        return self.days.get((tenant_id, day), Amount())


@dataclass
class FakeLedger:
    """Says what a test put in."""

    amount: Amount = field(default_factory=Amount)
    away: bool = False
    asked: int = 0

    async def spent(self, tenant_id: str, day: str) -> Amount:
        self.asked += 1
        if self.away:
            raise errors.Unavailable("the database does not answer")
        return self.amount
