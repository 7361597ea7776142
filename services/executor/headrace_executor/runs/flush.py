"""Group commit: everything that all runs of this process have to store goes in one transaction per flush.

No timer: a flush leaves as soon as the last one has returned and something waits. Only when nothing but tokens waits, it
leaves at most every `token_delay_s`.
"""

import asyncio
import time
from collections.abc import Sequence

import structlog

from headrace_executor import metrics
from headrace_executor.errors import StoreAway, StoreRefused
from headrace_executor.runs.feeds import Hub
from headrace_executor.runs.journal import RunJournal
from headrace_executor.runs.lease import Lease
from headrace_executor.runs.records import RunWrite
from headrace_executor.runs.stores import FlushStore, Hints

MAX_RUNS = 256
"""Runs in one flush; the others go in the next."""
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""The run whose events and steps reach this size is the last of its flush."""
FIRST_RETRY_S = 0.05
LAST_RETRY_S = 0.5
"""Back-off between attempts while the database is away; the lease's end is the end of them."""

log = structlog.get_logger()


class Flusher:
    """Stores what journals hold. One per process."""

    def __init__(self, store: FlushStore, hub: Hub, hints: Hints, lease: Lease, *, token_delay_s: float) -> None:
        self._store = store
        self._hub = hub
        self._hints = hints
        self._lease = lease
        self._delay = token_delay_s
        self._waiting: dict[RunJournal, None] = {}
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0

    def mark(self, journal: RunJournal, urgent: bool) -> None:
        """Note that a journal holds something. Tokens alone are not urgent."""
        self._waiting[journal] = None
        if urgent:
            self._due.set()
        elif self._timer is None and not self._due.is_set():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._last + self._delay), self._tokens_due)

    def _tokens_due(self) -> None:
        self._timer = None
        self._due.set()

    async def run(self) -> None:
        """Flush until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._due.wait()
            await asyncio.sleep(0)  # those that the last flush woke go along
            self._due.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            batch = self._collect()
            if batch:
                self._last = loop.time()
                await self._store_batch(batch)

    def _collect(self) -> dict[RunJournal, RunWrite]:
        batch: dict[RunJournal, RunWrite] = {}
        size = 0
        for journal in tuple(self._waiting)[:MAX_RUNS]:
            if size >= MAX_BATCH_BYTES:
                break
            del self._waiting[journal]
            write = journal.take()
            if write is not None:
                batch[journal] = write
                size += write.size
        if self._waiting:
            self._due.set()
        return batch

    async def _store_batch(self, batch: dict[RunJournal, RunWrite]) -> None:
        """Store a batch, the same one again while the database is away, or lose its runs."""
        delay = FIRST_RETRY_S
        while True:
            try:
                await self._attempt(batch)
                return
            except StoreAway:
                metrics.FLUSHES.labels("away").inc()
                if not self._lease.valid():
                    self._lose(tuple(batch))
                    return
            except StoreRefused as error:
                metrics.FLUSHES.labels("refused").inc()
                await self._one_by_one(batch, error)
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_RETRY_S)

    async def _attempt(self, batch: dict[RunJournal, RunWrite]) -> None:
        started = time.perf_counter()
        accepted = await self._store.write(tuple(batch.values()))
        metrics.FLUSH_SECONDS.observe(time.perf_counter() - started)
        metrics.FLUSHES.labels("ok").inc()
        metrics.FLUSH_RUNS.observe(len(batch))
        for journal, write in batch.items():
            if write.run_id in accepted:
                self._committed(journal, write)
            else:
                metrics.FENCED.inc()
                log.warning("fenced", run_id=write.run_id, fence=write.fence)
                self._lose((journal,))
        self._hints.events(list(accepted))

    def _committed(self, journal: RunJournal, write: RunWrite) -> None:
        metrics.EVENTS.inc(len(write.chunk.events))
        feed = self._hub.find(write.run_id)
        if feed is not None and write.chunk.events:
            feed.add(write.chunk)
        journal.stored(write)

    async def _one_by_one(self, batch: dict[RunJournal, RunWrite], error: StoreRefused) -> None:
        """Find the run whose data the database refuses; it alone is lost."""
        if len(batch) > 1:
            for journal, write in batch.items():
                await self._store_batch({journal: write})
            return
        for journal in batch:
            log.error("flush_refused", run_id=journal.run.run_id, error=str(error))
        self._lose(tuple(batch))

    def _lose(self, journals: Sequence[RunJournal]) -> None:
        for journal in journals:
            journal.lose()
