"""Waits for a run's end on behalf of one HTTP request, no longer than the client, the deadline or the process stay."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.types import Receive

from headrace_edge import policy
from headrace_edge.draining import Drain
from headrace_edge.model import ENDED, RunRecord
from headrace_edge.policy import Problem, Refused
from headrace_edge.ports import Runs

Result = TypeVar("Result")


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class Waiter:
    """Waits for runs."""

    runs: Runs
    drain: Drain
    slice_s: int
    """Longest single wait asked of an executor."""

    async def until_end(self, tenant: str, run_id: str, *, seconds: float, receive: Receive) -> RunRecord:
        """The run, ended or as it is after `seconds`. Raises ClientGone, Refused (503, when the process drains)."""
        work = self._slices(tenant, run_id, seconds=seconds)
        record = await attended(work, receive, self.drain.begun)
        if record is None:
            problem = Problem(503, "DRAINING", "this server is stopping; the run goes on", retry_after_s=1)
            raise Refused(policy.of_run(problem, run_id))
        return record

    async def _slices(self, tenant: str, run_id: str, *, seconds: float) -> RunRecord:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            left = deadline - loop.time()
            record = await self.runs.get(tenant, run_id, wait_s=min(self.slice_s, max(0, round(left))))
            if record.run.status in ENDED or deadline - loop.time() < 1:
                return record


async def attended(work: Coroutine[Any, Any, Result], receive: Receive, *stops: "asyncio.Future[Any]") -> Result | None:
    """The work's result; None when one of `stops` is done first. Raises ClientGone when nobody waits any more."""
    task = asyncio.create_task(work, name="wait")
    gone = asyncio.create_task(disconnected(receive), name="wait-attend")
    try:
        ends: set[asyncio.Future[Any]] = {task, gone, *stops}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise ClientGone
        return None
    finally:
        task.cancel()
        gone.cancel()


async def disconnected(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        continue
