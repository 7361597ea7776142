"""LightRAG instances, one per workspace, and how many of them are kept."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from headrace_rag import metrics
from headrace_rag.adapters.lightrag_index.asking import Asking
from headrace_rag.model import Space


@dataclass(slots=True)
class Instance:
    """One workspace's LightRAG, its storages ready."""

    rag: Any
    asking: Asking


@dataclass(slots=True)
class _Kept:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    instance: Instance | None = None
    users: int = 0


class Instances:
    """Keeps the last `limit` workspaces open; more are open only while as many calls run.

    LightRAG's queues belong to the event loop that used them first and fail in silence on another: all of it must be used
    on the loop that made this.
    """

    def __init__(self, make: Callable[[Space], Awaitable[Instance]], *, limit: int) -> None:
        self._make = make
        self._limit = limit
        self._kept: OrderedDict[Space, _Kept] = OrderedDict()
        self._loop = asyncio.get_running_loop()

    @asynccontextmanager
    async def use(self, space: Space) -> AsyncIterator[Instance]:
        """The workspace's instance for the block. Raises `RuntimeError` on another event loop."""
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("LightRAG must be used on one event loop")
        kept = self._kept.setdefault(space, _Kept())
        self._kept.move_to_end(space)
        kept.users += 1
        try:
            async with kept.lock:
                if kept.instance is None:
                    kept.instance = await self._make(space)
                    metrics.OPEN_WORKSPACES.inc()
            yield kept.instance
        finally:
            kept.users -= 1
            await self._trim()

    async def aclose(self) -> None:
        """Close every instance. None may be in use."""
        while self._kept:
            await self._close(self._kept.popitem()[1])

    async def _trim(self) -> None:
        idle = [space for space, kept in self._kept.items() if kept.users == 0]
        for space in idle[: max(0, len(self._kept) - self._limit)]:
            await self._close(self._kept.pop(space))

    async def _close(self, kept: _Kept) -> None:
        if kept.instance is not None:
            metrics.OPEN_WORKSPACES.dec()
            await close(kept.instance.rag)


async def close(rag: Any) -> None:
    """End an instance's worker tasks, which its own closing leaves running, and give back its connections."""
    for function in (*rag.role_llm_funcs.values(), rag.embedding_func.func):
        await function.shutdown(graceful=False)
    await rag.finalize_storages()
