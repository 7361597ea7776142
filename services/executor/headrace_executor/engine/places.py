"""How many nodes are worked on at once: of one run, and of all runs of this process.

Only nodes that do something themselves hold a place. A map or a flow holds none while those inside it wait for theirs, so
nobody waits for a place while holding another, and there is no deadlock.
"""

import asyncio
from types import TracebackType
from typing import Self

from headrace_executor.engine.metrics import PARALLEL_NODES
from headrace_executor.engine.retrying import Sleep


class Places:
    """One run's places, within the process's."""

    def __init__(self, limit: int, *, replica: asyncio.Semaphore) -> None:
        """`replica` is the one semaphore of the process."""
        self._own = asyncio.Semaphore(limit)
        self._replica = replica

    def hold(self) -> "Hold":
        """A place for one node, to be entered."""
        return Hold(self._own, self._replica)


class Hold:
    """A place while its block runs, first come first served; given back during `pause`."""

    def __init__(self, own: asyncio.Semaphore, replica: asyncio.Semaphore) -> None:
        self._own = own
        self._replica = replica
        self._held = False

    async def __aenter__(self) -> Self:
        await self._take()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give()

    async def pause(self, seconds: float, *, sleep: Sleep) -> None:
        """Sleep while others have the place."""
        self._give()
        await sleep(seconds)
        await self._take()

    async def _take(self) -> None:
        await self._own.acquire()
        try:
            await self._replica.acquire()
        except BaseException:
            self._own.release()
            raise
        self._held = True
        PARALLEL_NODES.inc()

    def _give(self) -> None:
        if self._held:
            self._held = False
            PARALLEL_NODES.dec()
            self._replica.release()
            self._own.release()
