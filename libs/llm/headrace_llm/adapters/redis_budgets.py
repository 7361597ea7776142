"""What each tenant has used today, in Redis: runs budget.lua."""

from importlib import resources
from typing import Any

import redis.asyncio
from redis import exceptions

from headrace_llm.budgets import DAY_S, Amount, Ceiling
from headrace_llm.counting import Counted, CountersAway

PREFIX = "headrace:budget:"
"""Of every key; the rest is the day, a colon and the tenant."""
KEEP_S = 2 * DAY_S
"""A day's count is kept until nobody corrects it any more."""


class RedisCounters:
    """Implements `counting.Counters`."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._script = client.register_script(resources.files("headrace_llm").joinpath("budget.lua").read_text())

    async def reserve(
        self, tenant_id: str, day: str, *, wanted: Amount, ceiling: Ceiling, owed: Amount, need_seed: bool
    ) -> Counted:
        """See `Counters`."""
        limits = [-1 if top is None else top for top in ceiling]
        status, *used = await self._run(tenant_id, day, "reserve", int(need_seed), *limits, *wanted, *owed)
        return Counted(Amount(*used), granted=status == 1, seed_age_s=None if status < 0 else 0.0)

    async def add(self, tenant_id: str, day: str, amount: Amount) -> Amount:
        """See `Counters`."""
        return Amount(*(await self._run(tenant_id, day, "add", *amount))[1:])

    async def raise_to(self, tenant_id: str, day: str, least: Amount) -> Amount:
        """See `Counters`."""
        return Amount(*(await self._run(tenant_id, day, "raise", *least))[1:])

    async def read(self, tenant_id: str, day: str) -> Counted:
        """See `Counters`."""
        age, *used = await self._run(tenant_id, day, "read")
        return Counted(Amount(*used), granted=False, seed_age_s=None if age < 0 else float(age))

    async def _run(self, tenant_id: str, day: str, operation: str, *numbers: int) -> Any:
        try:
            return await self._script(keys=[f"{PREFIX}{day}:{tenant_id}"], args=[operation, KEEP_S, *numbers])
        except (exceptions.RedisError, OSError, TimeoutError) as error:
            raise CountersAway(f"{type(error).__name__}: {error}") from error
