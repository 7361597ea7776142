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
    await _Schedule(needs, work, finished, max_parallel).run()


class _Schedule(Generic[K]):
    """One call of `run_graph`.

    No `asyncio.TaskGroup`: in Python 3.11 and 3.12 one whose task failed leaves its caller looking cancelled
    (`Task.cancelling`), and a map that goes on after a failure must know whether somebody cancels it.
    """

    def __init__(
        self,
        needs: Mapping[K, Collection[K]],
        work: Callable[[K], Awaitable[None]],
        finished: Collection[K],
        max_parallel: int | None,
    ) -> None:
        self._work = work
        self._free = len(needs) if max_parallel is None else max_parallel
        left = {node: {need for need in needs[node] if need not in finished} for node in needs if node not in finished}
        self._missing = {node: len(wanted) for node, wanted in left.items()}
        self._dependents: dict[K, list[K]] = {}
        for node, wanted in left.items():
            for need in wanted:
                self._dependents.setdefault(need, []).append(node)
        self._ready = deque(node for node, count in self._missing.items() if count == 0)
        self._running: dict[asyncio.Task[None], K] = {}
        self._ended: deque[asyncio.Task[None]] = deque()
        self._news: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Run everything."""
        try:
            self._fill()
            while self._running:
                await self._wait()
                while self._ended:
                    task = self._ended.popleft()
                    node = self._running.pop(task)
                    task.result()
                    self._done(node)
                self._fill()
        except BaseException:
            await self._stop()
            raise

    def _fill(self) -> None:
        """Start what is ready, as far as there are places."""
        while self._ready and self._free:
            node = self._ready.popleft()
            self._free -= 1
            task = asyncio.create_task(self._one(node), name=str(node))
            self._running[task] = node
            task.add_done_callback(self._note)

    async def _one(self, node: K) -> None:
        await self._work(node)

    def _note(self, task: asyncio.Task[None]) -> None:
        self._ended.append(task)
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _wait(self) -> None:
        if not self._ended:
            self._news = asyncio.get_running_loop().create_future()
            await self._news

    def _done(self, node: K) -> None:
        self._free += 1
        for dependent in self._dependents.get(node, ()):
            self._missing[dependent] -= 1
            if not self._missing[dependent]:
                self._ready.append(dependent)

    async def _stop(self) -> None:
        """Cancel what runs and wait for its end, whoever cancels meanwhile."""
        cancelled = None
        for task in self._running:
            task.cancel()
        while waiting := [task for task in self._running if not task.done()]:
            try:
                await asyncio.wait(waiting)
            except asyncio.CancelledError as error:
                cancelled = error
        for task in self._running:
            if not task.cancelled():
                task.exception()  # seen: one failure is told, the first
        if cancelled is not None:
            raise cancelled
