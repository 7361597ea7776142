"""Claims runs while there are free slots, and drives each to its end through the pipeline."""

import asyncio
import enum
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from headrace_runtime import context

from headrace_executor import metrics, policy
from headrace_executor.errors import LeaseLost, RunFailed, StoreAway, StoreRefused
from headrace_executor.feeds import Hub
from headrace_executor.flush import Flusher
from headrace_executor.journal import BufferLimits, RunJournal
from headrace_executor.lease import Lease
from headrace_executor.model import Failure, FailureCode, Outcome, RunState
from headrace_executor.openings import Openings
from headrace_executor.ports import Pipeline
from headrace_executor.records import Claim
from headrace_executor.recovery import read_past
from headrace_executor.stores import ClaimStore, Hints, LogStore

REMEMBERED_RUNS = 64
"""Finished runs whose mean time is `seconds_per_run`."""

log = structlog.get_logger()


class Stop(enum.Enum):
    """Why a run is stopped before its end."""

    CANCEL = "cancel"
    DRAIN = "drain"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """How much this process does at once, and how long it waits for what."""

    slots: int = 32
    poll_s: float = 0.5
    """Longest time between two looks at the queue: it covers hints that were lost."""
    unwind_s: float = 5.0
    """How long a stopped pipeline may take to clean up before it is left behind."""
    buffer: BufferLimits = field(default_factory=BufferLimits)


@dataclass(slots=True)
class _Owned:
    claim: Claim
    stop: asyncio.Future[Stop]
    task: asyncio.Task[None] | None = None


class Worker:
    """The process's share of the queue."""

    def __init__(
        self,
        pipeline: Pipeline,
        claims: ClaimStore,
        logs: LogStore,
        *,
        lease: Lease,
        flusher: Flusher,
        hub: Hub,
        hints: Hints,
        limits: WorkerLimits,
    ) -> None:
        self._pipeline = pipeline
        self._claims = claims
        self._logs = logs
        self._lease = lease
        self._flusher = flusher
        self._hub = hub
        self._hints = hints
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
        await self._lease.resign()
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
        state = "lost"
        try:
            journal = await self._journal(owned.claim)
            state = await self._drive(owned, journal)
        except LeaseLost:
            log.warning("run_lost", attempt=run.attempt)
        except (StoreAway, StoreRefused) as error:
            log.warning("run_not_begun", error=str(error))
        except Exception:
            log.exception("run_broke_off")
        finally:
            feed.local = False
            metrics.ENDED.labels(state).inc()
        if state == "lost":
            await self._give_up(owned)
        elif state != RunState.QUEUED:
            self._seconds.append(time.monotonic() - started)
            metrics.RUN_SECONDS.labels(run.kind.value).observe(time.monotonic() - started)

    async def _journal(self, claim: Claim) -> RunJournal:
        steps, openings = None, Openings()
        if claim.run.attempt > 1:
            steps, openings = await read_past(self._logs, claim.run.run_id)
        return RunJournal(
            claim.run,
            last_seq=claim.last_seq,
            mark=self._flusher.mark,
            limits=self._limits.buffer,
            steps=steps,
            openings=openings,
        )

    async def _drive(self, owned: _Owned, journal: RunJournal) -> str:
        """Take the run to its end and say how it ended. Raises `LeaseLost`."""
        claim = owned.claim
        if claim.cancel_requested:
            await journal.cancel()
            return RunState.CANCELLED
        if policy.too_many_takeovers(claim.takeovers):
            await journal.fail(Failure(FailureCode.INTERNAL, _gave_up(claim.takeovers)))
            return RunState.FAILED
        left = (claim.run.deadline - datetime.now(UTC)).total_seconds()
        task = asyncio.create_task(self._pipeline.run(journal), name=f"pipeline {claim.run.run_id}")
        waits: set[asyncio.Future[Any]] = {task, owned.stop}
        await asyncio.wait(waits, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return await self._conclude(task, journal)
        await self._unwind(task)
        if not owned.stop.done():
            text = "the run was not done by its deadline; submit a smaller one"
            await journal.fail(Failure(FailureCode.DEADLINE, text))
            return RunState.FAILED
        return await self._stopped(owned.stop.result(), journal)

    async def _conclude(self, task: asyncio.Task[Outcome], journal: RunJournal) -> str:
        if task.cancelled():
            await journal.fail(Failure(FailureCode.INTERNAL, "something inside the executor stopped the run"))
            return RunState.FAILED
        try:
            outcome = task.result()
        except LeaseLost:
            raise
        except RunFailed as error:
            await journal.fail(error.failure)
            return RunState.FAILED
        except Exception:
            log.exception("pipeline_failed")
            text = "something broke inside the executor; its log has the run's id"
            await journal.fail(Failure(FailureCode.INTERNAL, text))
            return RunState.FAILED
        await journal.succeed(outcome)
        return RunState.SUCCEEDED

    async def _stopped(self, why: Stop, journal: RunJournal) -> str:
        match why:
            case Stop.CANCEL:
                await journal.cancel()
                return RunState.CANCELLED
            case Stop.DRAIN:
                await journal.hand_back()
                return RunState.QUEUED
            case Stop.LOST:
                journal.lose()
                raise LeaseLost(journal.run.run_id)

    async def _unwind(self, task: asyncio.Task[Outcome]) -> None:
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=self._limits.unwind_s)
        if not done:
            log.error("pipeline_does_not_stop")
        elif not task.cancelled() and task.exception() is not None:
            log.info("pipeline_stopped", error=repr(task.exception()))

    async def _give_up(self, owned: _Owned) -> None:
        """Put a run back that may still be ours in the database although nobody works on it."""
        while self._lease.valid():
            try:
                await self._claims.give_up(owned.claim.run.run_id, fence=owned.claim.run.fence)
                return
            except (StoreAway, StoreRefused) as error:
                log.warning("give_up_failed", error=str(error))
                await asyncio.sleep(self._limits.poll_s)


def _gave_up(takeovers: int) -> str:
    return (
        f"the run was taken over {takeovers} times and no step of it finished in between: each executor that worked on it "
        "died or broke off; it is not given to another one"
    )
