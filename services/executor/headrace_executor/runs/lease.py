"""The process's lease on all its runs: renewed by a heartbeat, given up in time by our own clock when it cannot be."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Sequence

import structlog

from headrace_executor import metrics
from headrace_executor.errors import StoreAway, StoreRefused
from headrace_executor.runs import ids
from headrace_executor.runs.stores import ClaimStore

SAFETY = 0.1
"""The part of a lease that we do not use, against clocks that differ in speed and a loop that is late."""

log = structlog.get_logger()


class Lease:
    """Whether what this process owns is still its own. After a loss it begins anew under another id."""

    def __init__(self, store: ClaimStore, *, lease_s: float, heartbeat_s: float, slots: int) -> None:
        self._store = store
        self._lease_s = lease_s
        self._heartbeat_s = heartbeat_s
        self._slots = slots
        self._valid_until = 0.0
        self._resigned = False
        self.executor_id = ""
        self.on_lost: Callable[[], None] = lambda: None
        """Called once when the lease is lost: stop everything that is owned under it."""
        self.on_cancelled: Callable[[Sequence[str]], None] = lambda _: None
        """Called with the runs of ours that somebody asked to end."""
        self.measure: Callable[[], tuple[float, int]] = lambda: (0.0, 0)
        """Mean seconds of the last finished runs, and how many they are."""

    def valid(self) -> bool:
        """Whether the lease holds by our own clock. Once it does not, the present id is never valid again."""
        return time.monotonic() < self._valid_until

    async def begin(self) -> None:
        """Register under a new id. Raises `StoreAway`."""
        executor_id = f"{socket.gethostname()[:64]}-{os.getpid()}-{ids.new()}"
        asked = time.monotonic()
        await self._store.register(executor_id, lease_s=self._lease_s, slots=self._slots)
        self.executor_id = executor_id
        self._held_since(asked)

    async def keep(self) -> None:
        """Renew until cancelled; begin anew after a loss."""
        pause = self._heartbeat_s
        while True:
            await asyncio.sleep(min(pause, self._left_s()))
            if self._resigned:
                continue
            if not self.valid():
                self._lose()
            try:
                async with asyncio.timeout(min(self._heartbeat_s, self._left_s())):
                    await self._beat()
                pause = self._heartbeat_s
            except (StoreAway, StoreRefused, TimeoutError) as error:
                log.warning("heartbeat_failed", error=type(error).__name__)
                pause = self._heartbeat_s / 4
            if not self.valid():
                self._lose()

    def forget(self) -> None:
        """Stop using the lease without giving it up, as a process that is killed does."""
        self._resigned = True
        self._valid_until = 0.0

    async def resign(self) -> None:
        """Give the lease up for good, so that others need not wait for its end."""
        self._resigned = True
        self._valid_until = 0.0
        if self.executor_id:
            await self._store.resign(self.executor_id)

    async def _beat(self) -> None:
        if not self.executor_id:
            await self.begin()
            log.info("lease_regained")
            return
        seconds, finished = self.measure()
        asked = time.monotonic()
        beat = await self._store.renew(self.executor_id, lease_s=self._lease_s, seconds_per_run=seconds, finished=finished)
        if not beat.held or not self.valid():
            self._valid_until = 0.0  # once it has looked lapsed from here, it is: others have acted on that
            return
        self._held_since(asked)
        if beat.cancelled:
            self.on_cancelled(beat.cancelled)

    def _left_s(self) -> float:
        """Seconds until the lease ends, so that its end is not slept over; a heartbeat once it has."""
        left = self._valid_until - time.monotonic()
        return left if left > 0 else self._heartbeat_s

    def _held_since(self, asked: float) -> None:
        self._valid_until = asked + self._lease_s * (1 - SAFETY)

    def _lose(self) -> None:
        if not self.executor_id:
            return
        log.error("lease_lost", executor_id=self.executor_id)
        metrics.LEASE_LOST.inc()
        self.executor_id = ""
        self.on_lost()
