"""The scheduler of a directed acyclic graph: what runs when. It knows ids and needs, not what a node is."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


async def run_graph(
    needs: Mapping[K, Collection[K]],
    work: Callable[[K], Awaitable[None]],
    *,
    finished: Collection[K] = (),
    max_parallel: int | None = None,
) -> None:
    """Await `work(id)` once for each id of `needs` that is not `finished`.

    Each starts as soon as all that it needs has finished, in the order of `needs` among those that wait for a place, and
    at most `max_parallel` are under way at once, without it any number. The first to raise cancels the others, and its
    exception is raised when they have ended; cancelling the caller cancels them all. What is not finished must have no
    cycle and need only ids of `needs`.
    """
    schedule = _Schedule(needs, work, finished, max_parallel)
    try:
        async with asyncio.TaskGroup() as group:
            schedule.fill(group)
    except BaseExceptionGroup as failures:
        raise (schedule.first or failures) from None


class _Schedule(Generic[K]):
    """One call of `run_graph`."""

    def __init__(
        self,
        needs: Mapping[K, Collection[K]],
        work: Callable[[K], Awaitable[None]],
        finished: Collection[K],
        max_parallel: int | None,
    ) -> None:
        self.first: Exception | None = None
        """The first exception of a node."""
        self._work = work
        self._free = len(needs) if max_parallel is None else max_parallel
        left = {node: {need for need in needs[node] if need not in finished} for node in needs if node not in finished}
        self._missing = {node: len(wanted) for node, wanted in left.items()}
        self._dependents: dict[K, list[K]] = {}
        for node, wanted in left.items():
            for need in wanted:
                self._dependents.setdefault(need, []).append(node)
        self._ready = deque(node for node, count in self._missing.items() if count == 0)

    def fill(self, group: asyncio.TaskGroup) -> None:
        """Start what is ready, as far as there are places."""
        while self._ready and self._free:
            node = self._ready.popleft()
            self._free -= 1
            group.create_task(self._one(node, group), name=str(node))

    async def _one(self, node: K, group: asyncio.TaskGroup) -> None:
        try:
            await self._work(node)
        except Exception as error:
            self.first = self.first or error
            raise
        self._free += 1
        for dependent in self._dependents.get(node, ()):
            self._missing[dependent] -= 1
            if not self._missing[dependent]:
                self._ready.append(dependent)
        self.fill(group)
