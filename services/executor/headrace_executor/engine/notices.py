"""Tells a run's readers that a step of it waits for the quota: not at once, seldom, and only what is new."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from headrace_llm.client import Wait

from headrace_executor import events, policy
from headrace_executor.engine.metrics import NOTICES
from headrace_executor.errors import LeaseLost, RunFailed
from headrace_executor.policy import Told
from headrace_executor.ports import Journal, Waits

T = TypeVar("T")


class Notices:
    """One owner's, for all steps of a run: of steps that wait side by side, the next to go is told of first."""

    def __init__(self, journal: Journal, *, quiet_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._quiet_s = quiet_s
        self._clock = clock
        self._told: dict[str, Told] = {}
        self._last = -quiet_s

    def of(self, step: str) -> Callable[[Wait], None]:
        """What a step's calls are to be asked with as `on_wait`."""
        return lambda wait: self._hear(step, wait)

    async def during(self, step: str, work: Awaitable[T], waits: Waits | None) -> T:
        """Await what another service does for a step, and look meanwhile whether a call that it makes waits at the gate."""
        if waits is None:
            return await work
        watching = asyncio.create_task(self._watch(step, waits), name=f"waits of {step}")
        try:
            return await work
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    async def _watch(self, step: str, waits: Waits) -> None:
        while True:
            await asyncio.sleep(self._quiet_s)
            wait = await waits.of_run(self._journal.run.run_id)
            if wait is not None:
                self._hear(step, wait)

    def _hear(self, step: str, wait: Wait) -> None:
        now, told = self._clock(), self._told.get(step)
        if wait.waited_s < self._quiet_s or now - self._last < self._quiet_s:
            return
        if told is not None and now - told.at_s < wait.waited_s:  # else that was another wait of the step
            unchanged = not policy.wait_changed(
                told, now_s=now, position=wait.position, wait_s=wait.expected_s, quiet_s=self._quiet_s
            )
            if unchanged:
                return
        event = events.queued(position=wait.position, expected_wait_s=wait.expected_s, limited_by="quota", step=step)
        with suppress(LeaseLost, RunFailed):  # the step itself meets the same and ends by it
            self._journal.emit(event)
            self._told[step], self._last = Told(now, wait.position, wait.expected_s), now
            NOTICES.inc()
