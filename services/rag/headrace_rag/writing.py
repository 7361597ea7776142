"""Reads and removes documents: one writer per workspace, each document once, nothing half-read after a failure."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import structlog
from headrace_llm.call_context import NO_CONTEXT, CallContext
from headrace_llm.usage import Usage
from headrace_runtime.errors import NotFound, ServiceError, Unavailable

from headrace_rag import metrics
from headrace_rag.errors import Draining, IndexFailed, LeaseLost, StoreAway, TooManyWriters, WorkspaceBusy
from headrace_rag.job import Job
from headrace_rag.model import Document, Source, Space, State
from headrace_rag.ports import Documents, Index, WriterLock

MARGIN_S, MARGIN_SHARE = 1.0, 0.1
"""Kept of a caller's deadline for the way back: so much, or this share of a short one."""
GRACE_S = 15.0
"""How long the index may take to end in order once the time is over."""
CANCELLED = "the caller went away; what was done is kept for the next try"
GAVE_UP = "its turn did not come; ingest it again"

log = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is written at once."""

    writers: int
    """Documents being written."""
    waiting: int
    """Documents that wait for that, beside them."""
    longest_s: float
    """How long one document may take when its caller has no deadline."""


class Writer:
    """The use cases that change a workspace.

    Work goes on in a task of its own: a caller who leaves stops it, but it ends in order, with its lock until then.
    """

    def __init__(self, index: Index, documents: Documents, lock: WriterLock, limits: Limits) -> None:
        self._index = index
        self._documents = documents
        self._lock = lock
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.writers)
        self._turns: dict[Space, tuple[asyncio.Lock, int]] = {}
        self._jobs: dict[asyncio.Task[object], Job] = {}
        self._draining = False

    async def ingest(
        self, space: Space, source: Source, *, budget_s: float | None, context: CallContext = NO_CONTEXT
    ) -> tuple[Document, Usage]:
        """Read a document, unless it was read already; another text under its id takes the old one's place.

        Raises `WorkspaceBusy`, `TooManyWriters`, `Draining`, `StoreAway`, and what the model's failure was: the document
        is FAILED then, and the same call again goes on where it ended.
        """
        known = await self._documents.get(space, source.document_id)
        if known and _read(known, source):
            metrics.INGESTS.labels("known").inc()
            return known, Usage()
        job = self._job(budget_s, context)
        try:
            await self._apart(job, lambda: self._ingest(space, source, job))
        except ServiceError as error:
            metrics.INGESTS.labels(error.code.name.lower()).inc()
            raise
        metrics.INGESTS.labels("read").inc()
        return await self._found(space, source.document_id), job.usage

    async def delete(self, space: Space, document_id: str, *, budget_s: float | None) -> None:
        """Remove a document. Raises `NotFound`, and as `ingest` does."""
        await self._found(space, document_id)
        job = self._job(budget_s)
        await self._apart(job, lambda: self._delete(space, document_id, job))

    async def drain(self) -> None:
        """Take nothing more and wait for what is in hand; on cancellation stop that, and wait on."""
        self._draining = True
        try:
            await self._idle()
        except asyncio.CancelledError:
            for job in self._jobs.values():
                job.stop(Draining())
            raise

    async def close(self, *, wait_s: float) -> None:
        """Stop what is in hand and give it `wait_s` seconds to end in order."""
        self._draining = True
        for job in self._jobs.values():
            job.stop(Draining())
        try:
            await asyncio.wait_for(self._idle(), wait_s)
        except TimeoutError:
            log.warning("writers_left_behind", writers=len(self._jobs))
            for task in tuple(self._jobs):
                task.cancel()
            await self._idle()

    async def _idle(self) -> None:
        while self._jobs:
            await asyncio.wait(tuple(self._jobs))

    def _job(self, budget_s: float | None, context: CallContext = NO_CONTEXT) -> Job:
        longest_s = self._limits.longest_s
        allowed_s = longest_s if budget_s is None else min(longest_s, budget_s - min(MARGIN_S, budget_s * MARGIN_SHARE))
        return Job(budget_s=allowed_s, clock=time.monotonic, context=context)

    async def _apart(self, job: Job, work: Callable[[], Awaitable[T]]) -> T:
        if self._draining:
            raise Draining
        if len(self._jobs) >= self._limits.writers + self._limits.waiting:
            raise TooManyWriters(len(self._jobs))

        async def run() -> T:
            with metrics.WRITERS.track_inprogress():
                return await work()

        task = asyncio.create_task(run(), name="writer")
        self._jobs[task] = job
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if job.begun:
                job.stop(Unavailable(CANCELLED))
            else:
                task.cancel()
            raise

    def _ended(self, task: asyncio.Task[object]) -> None:
        del self._jobs[task]
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, ServiceError):
            log.error("writer_failed", exc_info=error)

    async def _ingest(self, space: Space, source: Source, job: Job) -> None:
        await self._documents.announce(space, source)
        try:
            async with self._turn(space, job):
                known = await self._documents.get(space, source.document_id)
                if known is None or not _read(known, source):
                    await self._read(space, source, job, known)
        except (ServiceError, asyncio.CancelledError):
            await self._documents.give_up_waiting(space, source.document_id, error=GAVE_UP)
            raise

    async def _read(self, space: Space, source: Source, job: Job, known: Document | None) -> None:
        if known is None:
            await self._documents.announce(space, source)
        changed = known is not None and known.digest != source.digest
        job.begun = True
        with metrics.INGEST_SECONDS.time():
            await self._documents.start(space, source)
            try:
                async with _no_longer_than(job):
                    if changed:
                        await self._index.remove(space, source.document_id, job)
                    chunks = await self._index.add(space, source, job)
                await self._documents.finish(space, source.document_id, chunks=chunks)
            except ServiceError as error:
                log.info("ingest_failed", reason=error.reason, code=error.code.name)
                await self._forsake(space, source, error)
                raise
        log.info("ingested", chunks=chunks, unread_chunks=job.unread_chunks, characters=len(source.text))

    async def _forsake(self, space: Space, source: Source, error: ServiceError) -> None:
        """Leave nothing half-read. What cannot be done now is done by the workspace's next writer."""
        try:
            await self._documents.fail(space, source.document_id, error=error.message)
            await self._index.clear(space)
        except (Unavailable, IndexFailed) as second:
            log.warning("cleanup_postponed", reason=second.reason)

    async def _delete(self, space: Space, document_id: str, job: Job) -> None:
        async with self._turn(space, job):
            await self._found(space, document_id)
            job.begun = True
            await self._documents.hide(space, document_id)
            async with _no_longer_than(job):
                await self._index.remove(space, document_id, job)
            await self._documents.remove(space, document_id)

    async def _found(self, space: Space, document_id: str) -> Document:
        known = await self._documents.get(space, document_id)
        if known is None:
            raise NotFound(f"no document {document_id}")
        return known

    @asynccontextmanager
    async def _turn(self, space: Space, job: Job) -> AsyncIterator[None]:
        """Be the workspace's only writer for the block: first in this process, then among all."""
        started = time.perf_counter()
        async with self._local_turn(space, job), self._lock.hold(space, wait_s=job.remaining_s()) as lost:
            metrics.LOCK_SECONDS.observe(time.perf_counter() - started)
            watch = asyncio.create_task(_stop_when(lost, job), name="writer-lock-watch")
            try:
                await self._documents.fail_interrupted(space)
                await self._index.clear(space)
                yield
            finally:
                watch.cancel()

    @asynccontextmanager
    async def _local_turn(self, space: Space, job: Job) -> AsyncIterator[None]:
        turn, users = self._turns.get(space, (asyncio.Lock(), 0))
        self._turns[space] = (turn, users + 1)
        try:
            await _acquire(turn, job)
            try:
                await _acquire(self._slots, job)
                try:
                    yield
                finally:
                    self._slots.release()
            finally:
                turn.release()
        finally:
            turn, users = self._turns.pop(space)
            if users > 1:
                self._turns[space] = (turn, users - 1)


@asynccontextmanager
async def _no_longer_than(job: Job) -> AsyncIterator[None]:
    """A stopped job ends by itself, in order. One that does not, on a connection that died without a word, is cut off."""
    try:
        async with asyncio.timeout(job.remaining_s() + GRACE_S):
            yield
    except TimeoutError:
        raise StoreAway("the index did not end in time") from None


async def _acquire(lock: asyncio.Lock | asyncio.Semaphore, job: Job) -> None:
    wait_s = job.remaining_s()
    try:
        await asyncio.wait_for(lock.acquire(), wait_s)
    except TimeoutError:
        raise WorkspaceBusy(retry_after_s=2.0) from None


async def _stop_when(lost: asyncio.Event, job: Job) -> None:
    await lost.wait()
    job.stop(LeaseLost())


def _read(known: Document, source: Source) -> bool:
    return known.state is State.READY and known.digest == source.digest
