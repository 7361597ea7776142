"""Looks at a queue when somebody in it may go, as long as calls of this process wait there."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sized

from headrace_llm.gate.pace import SECOND_US
from headrace_llm.ports import Away

SYNC_S = 1.0
"""How often a process with waiters looks whether they still are in the shared queue."""


class Pump:
    """`once` lets through whoever may go and returns when the next may; `sync` finds calls that the queue has lost."""

    def __init__(
        self,
        once: Callable[[], Awaitable[float]],
        sync: Callable[[], Awaitable[None]],
        *,
        waiting: Sized,
        lost: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._once = once
        self._sync = sync
        self._waiting = waiting
        self._lost = lost
        self._clock = clock
        self._due = math.inf
        self._wake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run until nobody waits."""
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._run(), name="gate pump")

    def look_in(self, rest_us: float) -> None:
        """Somebody may go in so long, at the latest; less than 0: nobody waits."""
        if rest_us >= 0:
            self._due = min(self._due, self._clock() + rest_us / SECOND_US)
            self._wake.set()

    async def close(self) -> None:
        """End it."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        synced = self._clock()
        while self._waiting:
            look = min(self._due, synced + SYNC_S)
            if look > self._clock():
                await self._sleep_until(look)
                continue
            self._due = math.inf  # what is heard meanwhile counts
            try:
                self.look_in(await self._once())
                if self._clock() - synced >= SYNC_S:
                    synced = self._clock()
                    await self._sync()
            except Away as error:
                self._lost(str(error))

    async def _sleep_until(self, due: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(max(0.0, due - self._clock())):
                await self._wake.wait()
        except TimeoutError:
            return
