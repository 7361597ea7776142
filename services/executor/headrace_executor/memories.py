"""The use cases of a session's long-term memory: put, get, list, delete, search, recall."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog
from headrace_runtime import errors

from headrace_executor import metrics
from headrace_executor.model import ClaimedRun
from headrace_executor.ports import Recalled

MAX_TEXT = 8_000
"""Characters of a memory's text and of a query."""
MAX_LIST_BYTES = 4 * 1024 * 1024
"""Memories in one page of a list; a page is shorter when they are large."""
EMBED_TEXTS, EMBED_CHARS = 32, 16_000
"""Texts that are sent for their vectors in one call: less than the rag service takes."""
PUT_S = 5.0
"""How long a write waits for its vector; then it is stored without one."""
QUERY_S = 3.0
"""How long a search waits for its query's vector."""
EMBED_PENDING_S, EMBED_PENDING_CALLS = 5.0, 8
"""What a search spends on memories without vectors; the next one goes on with what is left."""
RETRY_S = 2.0
"""When a search may find vectors again, if nobody knows better."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Memory:
    """A value that a session remembers under a key."""

    key: str
    value: bytes
    """JSON."""
    text: str
    metadata: bytes
    """A JSON object."""
    revision: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class MemoryWrite:
    """What is to be remembered. It is valid."""

    key: str
    value: bytes
    text: str
    metadata: bytes
    expected_revision: int | None
    """0: it must be new; None: whatever is there is replaced."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors of texts, in their order."""

    model: str
    """Vectors of different models cannot be compared."""
    values: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Pending:
    """A memory without a vector of the model in use."""

    key: str
    revision: int
    text: str


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write: `memory` is None when it was not done."""

    memory: Memory | None
    full: bool = False
    """Whether the session has as many memories as it may, and this is none of them."""


@dataclass(frozen=True, slots=True)
class Match:
    """A memory and its likeness to a query, -1 to 1."""

    memory: Memory
    score: float


@dataclass(frozen=True, slots=True)
class Matches:
    """What a search found, the nearest first."""

    matches: Sequence[Match]
    pending: int
    """Memories that could not be compared, as they have no vector yet."""


class MemoryStore(Protocol):
    """Keeps memories of tenants' sessions. Every method raises `errors.StoreAway` and `errors.StoreRefused`."""

    async def has_session(self, tenant_id: str, session_id: str) -> bool:
        """Whether the tenant has such a session."""

    async def use_session(self, tenant_id: str, session_id: str) -> bool:
        """Note that a session is used, and say whether the tenant has such a one."""

    async def put(
        self, tenant_id: str, session_id: str, write: MemoryWrite, vectors: Vectors | None, *, limit: int
    ) -> Written:
        """Make or replace a memory, if its revision is the expected one; `vectors` has one, or is None."""

    async def find(self, tenant_id: str, session_id: str, key: str) -> Memory | None:
        """One memory."""

    async def list(
        self, tenant_id: str, session_id: str, *, after: str, limit: int, size_bytes: int
    ) -> tuple[Sequence[Memory], bool]:
        """Memories whose keys come after one, in the order of their keys; and whether more follow.

        The one that passes `size_bytes`, added to those before it, is the last.
        """

    async def delete(self, tenant_id: str, session_id: str, key: str, *, expected_revision: int | None) -> bool:
        """Remove a memory, if its revision is the expected one; False when it was not."""

    async def pending(self, tenant_id: str, session_id: str, *, model: str, limit: int) -> tuple[Sequence[Pending], int]:
        """Some memories without a vector of the model, and how many there are."""

    async def set_vectors(self, session_id: str, memories: Sequence[Pending], vectors: Vectors) -> None:
        """Give memories their vectors, those that have not changed meanwhile."""

    async def nearest(self, tenant_id: str, session_id: str, query: Vectors, *, limit: int) -> Sequence[Match]:
        """The memories nearest to a query's vector, the nearest first."""


class Embeddings(Protocol):
    """Makes vectors in another process."""

    async def embed(self, texts: Sequence[str], *, timeout_s: float) -> Vectors:
        """A unit vector for each text. Raises `ServiceError`."""


class Memories:
    """What may be asked about memories. Each method raises NotFound for a session that is not the tenant's."""

    def __init__(self, store: MemoryStore, embeddings: Embeddings, *, max_per_session: int) -> None:
        self._store = store
        self._embeddings = embeddings
        self._max_per_session = max_per_session

    async def put(self, tenant_id: str, session_id: str, write: MemoryWrite) -> Memory:
        """Remember a value under a key. Its revision is 1 when it is new.

        Raises Aborted (MEMORY_CHANGED), AlreadyExists, ResourceExhausted (TOO_MANY_MEMORIES).
        """
        if not await self._store.use_session(tenant_id, session_id):
            raise session_not_found()
        vectors = await self._vector(write.text)
        written = await self._store.put(tenant_id, session_id, write, vectors, limit=self._max_per_session)
        if written.memory is not None:
            metrics.MEMORIES_WRITTEN.labels("with" if vectors else "without").inc()
            return written.memory
        await self._require(tenant_id, session_id)
        if written.full and not write.expected_revision:
            text = f"the session has {self._max_per_session} memories already; delete one first"
            raise errors.ResourceExhausted(text, reason="TOO_MANY_MEMORIES")
        if write.expected_revision == 0:
            raise errors.AlreadyExists(f"there is a memory {write.key!r} already", reason="MEMORY_EXISTS")
        raise _changed(write.key, write.expected_revision)

    async def get(self, tenant_id: str, session_id: str, key: str) -> Memory:
        """One memory. Raises NotFound."""
        found = await self._store.find(tenant_id, session_id, key)
        if found is None:
            await self._require(tenant_id, session_id)
            raise memory_not_found(key)
        return found

    async def list(self, tenant_id: str, session_id: str, *, after: str, limit: int) -> tuple[Sequence[Memory], str | None]:
        """A page of memories in the order of their keys, and after which one the next begins."""
        page, more = await self._store.list(tenant_id, session_id, after=after, limit=limit, size_bytes=MAX_LIST_BYTES)
        if not page:
            await self._require(tenant_id, session_id)
        return page, page[-1].key if more else None

    async def delete(self, tenant_id: str, session_id: str, key: str, *, expected_revision: int | None) -> None:
        """Forget a memory. Raises NotFound and Aborted (MEMORY_CHANGED)."""
        if await self._store.delete(tenant_id, session_id, key, expected_revision=expected_revision):
            return
        await self.get(tenant_id, session_id, key)
        raise _changed(key, expected_revision)

    async def search(self, tenant_id: str, session_id: str, query: str, *, top_k: int) -> Matches:
        """The memories nearest to what a query means. Raises Unavailable when its vector cannot be had."""
        result = "failed"
        try:
            with metrics.MEMORY_SEARCH_SECONDS.time():
                await self._require(tenant_id, session_id)
                vectors = await self._query(query)
                pending = await self._embed_pending(tenant_id, session_id, vectors.model)
                found = await self._store.nearest(tenant_id, session_id, vectors, limit=top_k)
            result = "found" if found else "nothing"
            return Matches(found, pending)
        finally:
            metrics.MEMORY_SEARCHES.labels(result).inc()

    async def recall(self, run: ClaimedRun, query: str, *, top_k: int) -> Sequence[Recalled]:
        """What the run's session remembers of a query's meaning, the nearest first. Raises as `search` does."""
        found = await self.search(run.tenant_id, run.session_id, query[:MAX_TEXT], top_k=top_k)
        return [Recalled(one.memory.key, one.memory.text, one.score) for one in found.matches]

    async def _require(self, tenant_id: str, session_id: str) -> None:
        if not await self._store.has_session(tenant_id, session_id):
            raise session_not_found()

    async def _vector(self, text: str) -> Vectors | None:
        """A text's vector, or None when the embedding service is away: the memory is stored all the same."""
        try:
            return await self._embeddings.embed([text], timeout_s=PUT_S)
        except errors.ServiceError as error:
            log.info("memory_without_vector", reason=error.reason)
            return None

    async def _query(self, query: str) -> Vectors:
        try:
            return await self._embeddings.embed([query], timeout_s=QUERY_S)
        except (errors.Unavailable, errors.DeadlineExceeded, errors.ResourceExhausted) as error:
            text = "memories cannot be searched, as the service that reads their meaning is away or busy; try again"
            raise errors.Unavailable(
                text, reason="EMBEDDINGS_AWAY", retry_after_s=error.retry_after_s or RETRY_S
            ) from error

    async def _embed_pending(self, tenant_id: str, session_id: str, model: str) -> int:
        """Give memories without vectors theirs, as many as a search has time for, and return how many are left."""
        loop = asyncio.get_running_loop()
        end = loop.time() + EMBED_PENDING_S
        calls = 0
        while True:
            found, pending = await self._store.pending(tenant_id, session_id, model=model, limit=EMBED_TEXTS)
            left_s = end - loop.time()
            if not found or calls == EMBED_PENDING_CALLS or left_s <= 0:
                return pending
            calls += 1
            batch = _batch(found)
            try:
                vectors = await self._embeddings.embed([one.text for one in batch], timeout_s=left_s)
            except errors.ServiceError as error:
                log.info("memories_without_vectors", reason=error.reason, pending=pending)
                return pending
            if vectors.model != model:
                return pending
            await self._store.set_vectors(session_id, batch, vectors)
            metrics.MEMORIES_EMBEDDED_LATE.inc(len(batch))


def memory_not_found(key: str) -> errors.NotFound:
    """There is no such memory."""
    return errors.NotFound(f"there is no memory {key[:128]!r}", reason="MEMORY_NOT_FOUND")


def session_not_found() -> errors.NotFound:
    """There is no such session, or it is another tenant's."""
    return errors.NotFound("no such session", reason="SESSION_NOT_FOUND")


def _changed(key: str, expected: int | None) -> errors.Aborted:
    text = f"the memory {key!r} is not at revision {expected}; get it and change that"
    return errors.Aborted(text, reason="MEMORY_CHANGED")


def _batch(pending: Sequence[Pending]) -> Sequence[Pending]:
    """As many of the first as one call takes; at least one."""
    characters = 0
    for count, one in enumerate(pending):
        characters += len(one.text)
        if count and characters > EMBED_CHARS:
            return pending[:count]
    return pending
