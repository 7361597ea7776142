"""Watching runs: any number of readers per run, each with a cursor of its own, whoever owns the run.

A reader takes what its process's feed holds and reads the log where that does not reach. Feeds of runs that other
executors own are kept up to date by one tailer for all of them.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

import structlog
from headrace_runtime import errors

from headrace_executor import metrics
from headrace_executor.errors import StoreAway, StoreRefused
from headrace_executor.runs.feeds import Feed, Hub
from headrace_executor.runs.records import Chunk, Head
from headrace_executor.runs.stores import LogStore

MAX_RESPONSE_BYTES = 256 * 1024
"""Events in one answer; a larger event goes alone."""
PAGE = 16
"""Chunks of one run that one query reads."""
TAIL_BATCH = 500
"""Runs in one query of the tailer."""
TAIL_BYTES = 4 * 1024 * 1024
"""Events that one query of the tailer brings; the chunk that reaches this is its last."""

Numbered = tuple[int, bytes]
log = structlog.get_logger()


class Tailer:
    """Reads the new events of all watched runs that other executors own, in one query per hint or poll."""

    def __init__(self, logs: LogStore, hub: Hub, *, poll_s: float) -> None:
        self._logs = logs
        self._hub = hub
        self._poll_s = poll_s
        self._hinted: set[str] = set()
        self._wake = asyncio.Event()

    def hint(self, run_ids: Iterable[str]) -> None:
        """Some runs have new events; those that nobody here watches are ignored."""
        for run_id in run_ids:
            feed = self._hub.find(run_id)
            if feed is not None and feed.watchers and not feed.local:
                self._hinted.add(run_id)
                self._wake.set()

    async def run(self) -> None:
        """Follow until cancelled. A failure costs time, never an event."""
        while True:
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._wake.wait()
                feeds = [feed for feed in self._hub.remote() if feed.run_id in self._hinted]
            except TimeoutError:
                feeds = list(self._hub.remote())
            self._wake.clear()
            self._hinted.clear()
            try:
                for start in range(0, len(feeds), TAIL_BATCH):
                    await self._read(feeds[start : start + TAIL_BATCH])
            except (StoreAway, StoreRefused) as error:
                log.warning("tail_failed", error=type(error).__name__)

    async def _read(self, feeds: Sequence[Feed]) -> None:
        known = {feed.run_id: feed for feed in feeds}
        while known:
            metrics.TAIL_READS.inc()
            after = {run_id: feed.last_seq for run_id, feed in known.items()}
            chunks = await self._logs.read_many(after, limit=PAGE, max_bytes=TAIL_BYTES)
            for chunk in chunks:
                known[chunk.run_id].add(chunk)
            if sum(chunk.size for chunk in chunks) < TAIL_BYTES:  # else any of them may have more
                read = Counter(chunk.run_id for chunk in chunks)
                known = {run_id: known[run_id] for run_id, count in read.items() if count == PAGE}


class Watchers:
    """Opens readers."""

    def __init__(self, logs: LogStore, hub: Hub, *, limit: int) -> None:
        self._logs = logs
        self._hub = hub
        self._limit = limit
        self._open = 0

    def require_place(self) -> None:
        """Raise ResourceExhausted when there are as many watchers as there may be."""
        if self._open >= self._limit:
            raise errors.ResourceExhausted("too many watchers of this executor", reason="WATCHERS", retry_after_s=1.0)

    async def watch(self, tenant_id: str, run_id: str, *, after: int) -> AsyncIterator[Sequence[Numbered]]:
        """Yield the run's events after a number, those of one commit or more together, and end after its last.

        Raises NotFound, OutOfRange (`after` is past the end), DataLoss (the log is gone), ResourceExhausted (too many
        watchers) and `StoreAway`.
        """
        self.require_place()
        self._open += 1
        metrics.WATCHERS.inc()
        try:
            feed = await self._feed(tenant_id, run_id, after)
            with self._hub.watching(feed) as moved:
                async for chunks in self._chunks(feed, moved, after):
                    for batch in _batches(chunks, after):
                        yield batch
                    after = chunks[-1].last_seq
        finally:
            self._open -= 1
            metrics.WATCHERS.dec()

    async def ended(self, tenant_id: str, run_id: str, *, timeout_s: float) -> None:
        """Return when the run has ended or the time has passed. Raises as `watch` does."""
        feed = await self._feed(tenant_id, run_id, 0)
        with self._hub.watching(feed) as moved:
            try:
                async with asyncio.timeout(timeout_s):
                    while not feed.ended:
                        await moved.wait()
                        moved.clear()
            except TimeoutError:
                return

    def committed(self, chunk: Chunk) -> None:
        """Take in events that this process stored by itself."""
        feed = self._hub.find(chunk.run_id)
        if feed is not None:
            feed.add(chunk)

    async def _feed(self, tenant_id: str, run_id: str, after: int) -> Feed:
        """The run's feed, as fresh as the watcher needs it to be."""
        feed = self._hub.find(run_id)
        if feed is None or not (feed.local or feed.ended) or after > feed.last_seq:
            head = await self._logs.head(run_id)
            if head is None or head.tenant_id != tenant_id:
                raise errors.NotFound("no such run", reason="RUN_NOT_FOUND")
            if after > head.last_seq:
                raise errors.OutOfRange(f"the run's last event is {head.last_seq}", reason="AFTER_THE_END")
            feed = self._fresh(run_id, head)
        if feed.tenant_id != tenant_id:
            raise errors.NotFound("no such run", reason="RUN_NOT_FOUND")
        return feed

    def _fresh(self, run_id: str, head: Head) -> Feed:
        feed = self._hub.open(run_id, head.tenant_id)
        if not feed.local:
            feed.advance(head.last_seq, ended=head.state.ended)
        return feed

    async def _chunks(self, feed: Feed, moved: asyncio.Event, after: int) -> AsyncIterator[Sequence[Chunk]]:
        while True:
            moved.clear()
            chunks = feed.after(after)
            if chunks is None:
                metrics.CATCH_UPS.inc()
                chunks = await self._logs.read(feed.run_id, after=after, limit=PAGE)
                if not chunks or chunks[0].first_seq > after + 1:
                    raise errors.DataLoss("the run's events are gone by retention", reason="LOG_EXPIRED")
            if chunks:
                yield chunks
                after = chunks[-1].last_seq
            elif feed.ended:
                return
            else:
                await moved.wait()


def _batches(chunks: Sequence[Chunk], after: int) -> Iterator[list[Numbered]]:
    """Number the events after `after` and group them to the size of an answer."""
    batch: list[Numbered] = []
    size = 0
    for chunk in chunks:
        for seq, event in enumerate(chunk.events, chunk.first_seq):
            if seq <= after:
                continue
            if batch and size + len(event) > MAX_RESPONSE_BYTES:
                yield batch
                batch, size = [], 0
            batch.append((seq, event))
            size += len(event)
    if batch:
        yield batch
