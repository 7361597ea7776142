"""Claims runs while there are free slots, and drives each to its end through the pipeline."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from headrace_runtime import context

from headrace_executor import metrics
from headrace_executor.errors import LeaseLost, StoreAway, StoreRefused
from headrace_executor.model import ClaimedRun, RunState
from headrace_executor.runs.costs import KindCosts
from headrace_executor.runs.driver import Driven, Driver, Stop
from headrace_executor.runs.feeds import Hub
from headrace_executor.runs.lease import Lease
from headrace_executor.runs.records import Claim
from headrace_executor.runs.stores import ClaimStore, Hints

REMEMBERED_RUNS = 64
"""Finished runs whose mean time is `seconds_per_run`."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """How much this process does at once, and how long it waits for what."""

    slots: int = 32
    poll_s: float = 0.5
    """Longest time between two looks at the queue: it covers hints that were lost."""
    unwind_s: float = 5.0
    """How long stopped runs may take to clean up and to store their end."""


@dataclass(slots=True)
class _Owned:
    claim: Claim
    stop: asyncio.Future[Stop]
    task: asyncio.Task[None] | None = None


class Worker:
    """The process's share of the queue."""

    def __init__(
        self,
        driver: Driver,
        claims: ClaimStore,
        *,
        lease: Lease,
        hub: Hub,
        hints: Hints,
        costs: KindCosts,
        limits: WorkerLimits,
    ) -> None:
        self._driver = driver
        self._claims = claims
        self._lease = lease
        self._hub = hub
        self._hints = hints
        self._costs = costs
        self._limits = limits
        self._owned: dict[str, _Owned] = {}
        self._reserved = 0
        self._draining = False
        self._more = True
        self._wake = asyncio.Event()
        self._seconds: deque[float] = deque(maxlen=REMEMBERED_RUNS)
        lease.on_lost = self._lost
        lease.on_cancelled = self.cancel
        lease.measure = self.measure
        metrics.SLOTS.set(limits.slots)

    def wake(self) -> None:
        """Look at the queue now."""
        self._more = True
        self._wake.set()

    def cancel(self, run_ids: Sequence[str]) -> None:
        """Stop runs of ours that somebody asked to end; others' are ignored."""
        for run_id in run_ids:
            self._stop(run_id, Stop.CANCEL)

    def measure(self) -> tuple[float, int]:
        """Mean seconds from claim to end of the last runs, and how many they are."""
        return (sum(self._seconds) / len(self._seconds), len(self._seconds)) if self._seconds else (0.0, 0)

    def running(self) -> int:
        """Runs in hand."""
        return len(self._owned)

    def reserve(self, wanted: int) -> int:
        """Set up to `wanted` free slots aside for runs that begin as ours; `adopt` or `release` them."""
        if self._draining or not self._lease.valid():
            return 0
        granted = max(0, min(wanted, self._free()))
        self._reserved += granted
        return granted

    def release(self, count: int) -> None:
        """Give reserved slots back."""
        self._reserved -= count
        if count and self._more:
            self._wake.set()

    def adopt(self, claim: Claim, *, owner: str) -> None:
        """Work on a run that is `owner`'s, ours, from its first moment. Its slot was reserved."""
        self._reserved -= 1
        if owner == self._lease.executor_id:
            metrics.CLAIMED.labels("submitted").inc()
            self._begin(claim)

    async def run(self) -> None:
        """Claim until cancelled."""
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(looked + self._limits.poll_s):
                    await self._wake.wait()
            except TimeoutError:
                looked = loop.time()
                self._more = True
            self._wake.clear()
            free = self._free()
            if self._draining or not self._more or free <= 0 or not self._lease.valid():
                continue
            try:
                await self._claim(free)
            except (StoreAway, StoreRefused) as error:
                log.warning("claim_failed", error=type(error).__name__)

    async def drain(self, seconds: float) -> None:
        """Stop claiming, let runs go on for that long, then put the unfinished ones back for others, and resign."""
        self._draining = True
        tasks = [owned.task for owned in self._owned.values() if owned.task]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        left = [owned.task for owned in self._owned.values() if owned.task]
        for run_id in tuple(self._owned):
            self._stop(run_id, Stop.DRAIN)
        if left:
            log.info("handing_back", runs=len(left))
            await asyncio.wait(left, timeout=self._limits.unwind_s)
        try:
            await self._lease.resign()
        except (StoreAway, StoreRefused) as error:
            log.warning("not_resigned", error=str(error), effect="others take over when the lease has lapsed")
        self._hints.queued()

    async def abandon(self) -> None:
        """Stop everything at once and write nothing, as a killed process does."""
        self._draining = True
        tasks = [owned.task for owned in self._owned.values() if owned.task]
        self._lease.forget()
        self._lost()
        if tasks:
            await asyncio.wait(tasks, timeout=self._limits.unwind_s)

    def _free(self) -> int:
        return self._limits.slots - len(self._owned) - self._reserved

    def _lost(self) -> None:
        for run_id in tuple(self._owned):
            self._stop(run_id, Stop.LOST)

    def _stop(self, run_id: str, why: Stop) -> None:
        owned = self._owned.get(run_id)
        if owned is not None and not owned.stop.done():
            owned.stop.set_result(why)

    async def _claim(self, free: int) -> None:
        self._reserved += free
        me = self._lease.executor_id
        try:
            found = await self._claims.claim(me, limit=free)
        finally:
            self._reserved -= free
        if me != self._lease.executor_id:
            return  # the lease lapsed in the meantime: others take them
        self._more = len(found) == free
        for claim in found:
            metrics.CLAIMED.labels("takeover" if claim.takeovers else "queue").inc()
            self._begin(claim)

    def _begin(self, claim: Claim) -> None:
        run = claim.run
        if run.attempt == 1:
            waited = (datetime.now(UTC) - run.created_at).total_seconds()
            metrics.WAIT_SECONDS.labels(run.priority.name.lower()).observe(max(0.0, waited))
        owned = self._owned[run.run_id] = _Owned(claim, asyncio.get_running_loop().create_future())
        metrics.RUNNING.set(len(self._owned))
        owned.task = asyncio.create_task(self._own(owned), name=f"run {run.run_id}")
        owned.task.add_done_callback(lambda _: self._ended(run.run_id))

    def _ended(self, run_id: str) -> None:
        del self._owned[run_id]
        metrics.RUNNING.set(len(self._owned))
        if self._more:
            self._wake.set()

    async def _own(self, owned: _Owned) -> None:
        """Work on a run, and make sure that it never stays ours without anybody working on it."""
        run = owned.claim.run
        context.enter_run(run.run_id)
        feed = self._hub.open(run.run_id, run.tenant_id)
        feed.advance(owned.claim.last_seq, ended=False)
        feed.local = True
        started = time.monotonic()
        driven: Driven | None = None
        try:
            driven = await self._driver.drive(owned.claim, owned.stop)
        except LeaseLost:
            log.warning("run_lost", attempt=run.attempt)
        except (StoreAway, StoreRefused) as error:
            log.warning("run_not_begun", error=str(error))
        except Exception:
            log.exception("run_broke_off")
        finally:
            feed.local = False
            metrics.ENDED.labels(driven.state if driven else "lost").inc()
        if driven is None:
            await self._give_up(owned)
        elif driven.state is not RunState.QUEUED:
            self._finished(run, driven, time.monotonic() - started)

    def _finished(self, run: ClaimedRun, driven: Driven, seconds: float) -> None:
        self._seconds.append(seconds)
        metrics.RUN_SECONDS.labels(run.kind.value).observe(seconds)
        if driven.state is RunState.SUCCEEDED:
            self._costs.learn(run.kind, calls=driven.llm_calls, seconds=seconds)

    async def _give_up(self, owned: _Owned) -> None:
        """Put a run back that may still be ours in the database although nobody works on it."""
        while self._lease.valid():
            try:
                await self._claims.give_up(owned.claim.run.run_id, fence=owned.claim.run.fence)
                return
            except (StoreAway, StoreRefused) as error:
                log.warning("give_up_failed", error=str(error))
                await asyncio.sleep(self._limits.poll_s)
