"""Work that nobody's request pays for: notices to waiting runs, runs that waited too long, partitions, retention.

Every executor does it; each job finds nothing to do where another one was first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
import structlog
from headrace_runtime import errors

from headrace_executor import events, metrics, policy
from headrace_executor.errors import StoreRefused
from headrace_executor.model import Priority
from headrace_executor.runs.queue_view import QueueView
from headrace_executor.runs.records import Notice
from headrace_executor.runs.stores import Hints, UpkeepStore

FIRST_NOTICE = 0.1
"""The part of `notice_s` after which a waiting run hears of its place for the first time; most are claimed sooner."""
OVERDUE_BATCH = 100
"""Runs past their deadline that one round ends."""
BATCHES = 10
"""Batches of sessions, and of messages, that one look at retention removes."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class UpkeepLimits:
    """How often, how much and how long."""

    notice_s: float = 2.0
    """A waiting run hears of its place no more often than this."""
    notice_runs: int = 500
    """Runs at the front of the queue that hear of their place."""
    retention_s: float = 600.0
    """Time between two looks at partitions and retention."""
    partitions_ahead_days: int = 3
    log_retention_days: int = 7
    run_retention_days: int = 30
    usage_retention_days: int = 400
    session_retention_days: int = 180
    max_messages_per_session: int = 2_000


class Upkeep:
    """The two loops. A job that fails is logged, counted and done again at its next turn."""

    def __init__(
        self,
        store: UpkeepStore,
        *,
        queue: QueueView,
        pace: Callable[[Priority], policy.Pace],
        hints: Hints,
        limits: UpkeepLimits,
    ) -> None:
        self._store = store
        self.end_overdue: Callable[[str, str], Awaitable[None]] = _nobody
        """Fails a queued run, given by tenant and id, whose deadline has passed."""
        self._queue = queue
        self._pace = pace
        self._hints = hints
        self._limits = limits

    async def tend_queue(self) -> None:
        """Tell waiting runs their place and end those that waited too long, until cancelled."""
        while True:
            await asyncio.sleep(self._limits.notice_s / 2)
            await self._try("notices", self._notify)
            await self._try("overdue", self._overdue)

    async def tend_store(self) -> None:
        """Keep partitions ahead and old rows out, until cancelled."""
        while True:
            await self._try("partitions", self.partition)
            await self._try("retention", self._expire)
            await self._try("sessions", self._expire_sessions)
            await self._try("messages", self._trim_messages)
            await self._try("pages", self._measure)
            await self._try("session counts", self._measure_sessions)
            await asyncio.sleep(self._limits.retention_s)

    async def begin(self) -> None:
        """Have partitions before the first run. When another process holds that up, what comes first is moved later."""
        await self._try("partitions", self.partition)

    async def partition(self) -> int:
        """Add and drop partitions now. Raises `StoreAway` and `StoreRefused`."""
        limits = self._limits
        added, dropped = await self._store.partition(
            datetime.now(UTC).date(), ahead_days=limits.partitions_ahead_days, keep_days=limits.log_retention_days
        )
        return added + dropped

    async def _try(self, job: str, action: Callable[[], Awaitable[int]]) -> None:
        try:
            metrics.UPKEEP.labels(job).inc(await action())
        except (errors.ServiceError, StoreRefused) as error:
            metrics.UPKEEP_FAILED.labels(job).inc()
            log.warning("upkeep_failed", job=job, error=str(error))

    async def _notify(self) -> int:
        limits = self._limits
        waiting = await self._store.waiting(
            limit=limits.notice_runs, quiet_s=limits.notice_s, waited_s=limits.notice_s * FIRST_NOTICE
        )
        fleet = self._queue.fleet()
        paces = {priority: self._pace(priority) for priority in Priority}
        notices = []
        for one in waiting:
            if policy.worth_noticing(told=one.noticed, position=one.position):
                expected = policy.expectation(one.position, fleet, paces[one.priority])
                event = events.queued(
                    position=one.position, expected_wait_s=expected.wait_s, limited_by=expected.limited_by
                )
                notices.append(Notice(one.run_id, one.fence, one.position, orjson.dumps(event)))
        told = await self._store.notice(notices) if notices else ()
        if told:
            self._hints.events(told)
        return len(told)

    async def _overdue(self) -> int:
        overdue = await self._store.overdue(limit=OVERDUE_BATCH)
        for tenant_id, run_id in overdue:
            await self.end_overdue(tenant_id, run_id)
        return len(overdue)

    async def _expire(self) -> int:
        limits = self._limits
        return await self._store.expire(
            datetime.now(UTC).date(),
            keep_log_days=limits.log_retention_days,
            keep_run_days=limits.run_retention_days,
            keep_usage_days=limits.usage_retention_days,
        )

    async def _expire_sessions(self) -> int:
        keep_days = self._limits.session_retention_days
        return await _in_batches(lambda: self._store.expire_sessions(datetime.now(UTC).date(), keep_days=keep_days))

    async def _trim_messages(self) -> int:
        keep = self._limits.max_messages_per_session
        return await _in_batches(lambda: self._store.trim_messages(datetime.now(UTC).date(), keep=keep))

    async def _measure_sessions(self) -> int:
        found = await self._store.sessions()
        metrics.SESSIONS.set(found.sessions)
        metrics.SESSIONS_OF_LARGEST_TENANT.set(found.most)
        return 0

    async def _measure(self) -> int:
        found = await self._store.pages()
        metrics.PAGES.set(found.pages)
        metrics.PAGES_OF_LARGEST_TENANT.set(found.most)
        metrics.PAGE_BYTES.set(found.size_bytes)
        return 0


async def _in_batches(batch: Callable[[], Awaitable[int]]) -> int:
    """Do it until nothing is left, `BATCHES` times at most."""
    done = 0
    for _ in range(BATCHES):
        touched = await batch()
        if not touched:
            break
        done += touched
    return done


async def _nobody(tenant_id: str, run_id: str) -> None:
    return None
