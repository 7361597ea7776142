"""A recent count of the queue and the fleet, for admission, waits and signals."""

import asyncio
import time

import structlog

from headrace_executor.errors import StoreAway, StoreRefused
from headrace_executor.policy import Fleet
from headrace_executor.runs.records import QueueState
from headrace_executor.runs.stores import RunStore

MAX_AGE_S = 0.5
"""A count this old is still given to who asks for signals."""

log = structlog.get_logger()


class QueueView:
    """Counts at most once per `MAX_AGE_S`, however many ask."""

    def __init__(self, store: RunStore, *, slots: int, refresh_s: float) -> None:
        self._store = store
        self._slots = slots
        self._refresh_s = refresh_s
        self._state: QueueState | None = None
        self._counted = 0.0
        self._lock = asyncio.Lock()

    async def state(self) -> QueueState:
        """The count now, or a moment ago. Raises `StoreAway`."""
        async with self._lock:
            if self._state is None or time.monotonic() - self._counted > MAX_AGE_S:
                self._state = await self._store.queue()
                self._counted = time.monotonic()
            return self._state

    def fleet(self) -> Fleet:
        """What works the queue off, as of the last count; this process alone before the first."""
        if self._state is None:
            return Fleet(self._slots, 0.0)
        return Fleet(max(self._slots, self._state.slots), self._state.seconds_per_run)

    async def follow(self) -> None:
        """Count from time to time until cancelled."""
        while True:
            try:
                await self.state()
            except (StoreAway, StoreRefused) as error:
                log.warning("count_failed", error=type(error).__name__)
            await asyncio.sleep(self._refresh_s)
