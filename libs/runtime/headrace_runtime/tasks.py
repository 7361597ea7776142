"""Background tasks that must not die: each has a name, and the first to end ends the process."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

CLOSE_S = 5.0
"""Longest that closing a guard may take."""
CLOSE_TRIES = 10

log = structlog.get_logger()


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
        """Cancel the tasks and wait until they have ended, for at most `CLOSE_S`.

        A task that goes on is cancelled again: there are libraries that swallow a cancellation.
        """
        left = set(self._tasks)
        for _ in range(CLOSE_TRIES):
            for task in left:
                task.cancel()
            if left:
                _, left = await asyncio.wait(left, timeout=CLOSE_S / CLOSE_TRIES)
        if left:
            log.error("tasks_do_not_end", tasks=sorted(task.get_name() for task in left))
        if not self.failed.done():
            self.failed.cancel()
        elif not self.failed.cancelled():
            self.failed.exception()


@asynccontextmanager
async def guard() -> AsyncIterator[Guard]:
    """A `Guard` that cancels its tasks at the end of the block."""
    value = Guard()
    try:
        yield value
    finally:
        await value.close()
