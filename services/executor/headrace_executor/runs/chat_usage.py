"""Records what chat calls cost, which make no run: added up in memory, stored in batches."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime

import structlog
from headrace_llm.usage import ModelUsage, Usage

from headrace_executor import metrics
from headrace_executor.errors import StoreAway, StoreRefused
from headrace_executor.usage import DayUsage, UsageStore

FLUSH_S = 1.0
"""What a process that is killed may forget, and how long a database that was away is left alone."""
FLUSH_SUMS = 500
"""Sums (tenant, day, model) that are stored at once without waiting for the time."""
MAX_SUMS = 10_000
"""Sums that may wait while the database is away; calls that need a new one are dropped and counted."""
DRAIN_S = 2.0
"""How long the end of the process waits for the last batch."""

Key = tuple[str, date, str]

log = structlog.get_logger()


class ChatUsage:
    """Implements `ports.ChatLedger`: at most once a second one statement, however many calls."""

    def __init__(self, store: UsageStore, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._now = now
        self._sums: dict[Key, ModelUsage] = {}
        self._full = asyncio.Event()

    def record(self, tenant_id: str, usage: Usage) -> None:
        """Count a call. Returns at once."""
        day = self._now().date()
        for model, one in usage.models.items():
            self._add((tenant_id, day, model), one)
        if len(self._sums) >= FLUSH_SUMS:
            self._full.set()

    async def run(self) -> None:
        """Store batches until cancelled."""
        while True:
            try:
                async with asyncio.timeout(FLUSH_S):
                    await self._full.wait()
            except TimeoutError:
                pass
            self._full.clear()
            if not await self.flush():
                await asyncio.sleep(FLUSH_S)

    async def flush(self) -> bool:
        """Store what is there; False when the database is away, and then it is kept."""
        batch, self._sums = self._sums, {}
        if not batch:
            return True
        try:
            await self._store.add_chat([DayUsage(*key, usage) for key, usage in batch.items()])
        except StoreRefused as error:
            log.error("chat_usage_refused", error=str(error), sums=len(batch))
            _drop(batch.values())
        except StoreAway:
            self._keep(batch)
            return False
        except asyncio.CancelledError:
            self._keep(batch)
            raise
        return True

    async def close(self) -> None:
        """Store what is left, as far as that is possible within `DRAIN_S`."""
        try:
            async with asyncio.timeout(DRAIN_S):
                await self.flush()
        except TimeoutError:
            log.warning("chat_usage_not_stored", sums=len(self._sums))
        _drop(self._sums.values())
        self._sums = {}

    def _keep(self, batch: dict[Key, ModelUsage]) -> None:
        for key, usage in batch.items():
            self._add(key, usage)

    def _add(self, key: Key, usage: ModelUsage) -> None:
        known = self._sums.get(key)
        if known is not None:
            self._sums[key] = known + usage
        elif len(self._sums) < MAX_SUMS:
            self._sums[key] = usage
        else:
            _drop([usage])


def _drop(usages: Iterable[ModelUsage]) -> None:
    for one in usages:
        metrics.CHAT_USAGE_DROPPED.inc(one.llm_calls + one.cached_calls)
