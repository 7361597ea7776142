"""Background tasks that must not die: each has a name, and the first to end ends the process."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


class Guard:
    """Owns tasks that run as long as the process does."""

    def __init__(self) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the exception of the first task that ended without being cancelled."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> None:
        """Run `coroutine` until `guard` closes."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or self.failed.done():
            return
        error = task.exception() or RuntimeError(f"background task {task.get_name()} ended")
        self.failed.set_exception(error)

    async def close(self) -> None:
        """Cancel the tasks and wait until they have ended."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.failed.done():
            self.failed.exception()
        else:
            self.failed.cancel()


@asynccontextmanager
async def guard() -> AsyncIterator[Guard]:
    """A `Guard` that cancels its tasks at the end of the block."""
    value = Guard()
    try:
        yield value
    finally:
        await value.close()
