"""`ports.Index` on LightRAG."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import structlog
from headrace_postgres.pool import translated
from headrace_runtime.errors import ServiceError
from headrace_runtime.settings import InvalidSettings

from headrace_rag import policy
from headrace_rag.adapters.lightrag_index.instances import Instance, Instances
from headrace_rag.adapters.lightrag_index.kit import Kit
from headrace_rag.adapters.postgres.passages import PostgresPassages
from headrace_rag.errors import IndexFailed, StoreAway, StoreRefused
from headrace_rag.job import Job
from headrace_rag.model import Entity, Found, Keywords, Mode, Passage, Relation, Source, Space

LEAST_TOP_K = 10
"""Entities or relations that a graph search begins with, at least."""

_PRUNE = """
    DELETE FROM lightrag_llm_cache WHERE workspace = $1 AND id NOT IN (
        SELECT jsonb_array_elements_text(llm_cache_list) FROM lightrag_doc_chunks WHERE workspace = $1)"""

log = structlog.get_logger()


class LightRagIndex:
    """Implements `ports.Index`."""

    def __init__(self, kit: Kit, kept: Instances, passages: PostgresPassages) -> None:
        self._kit = kit
        self._kept = kept
        self._passages = passages

    @property
    def vectors(self) -> str:
        """Names the embeddings in use."""
        return self._kit.vectors.name

    async def add(self, space: Space, source: Source, job: Job) -> int:
        """See `ports.Index`."""
        name = policy.index_id(source.document_id)
        async with self._working(space, job) as instance:
            rag = instance.rag
            await self._delete(rag, name)
            # LightRAG takes a text only once, whatever its id. The id in the first line, which the chunker drops, makes it
            # another text.
            await rag.ainsert(f"{name}\n{source.text}", ids=[name], file_paths=[name])
            status = await rag.doc_status.get_by_id(name) or {}
            if status.get("status") == self._kit.library.statuses.PROCESSED:
                return len(status.get("chunks_list") or ())
            if job.error is not None:
                raise job.error
            raise await self._failure("the document could not be read")

    async def remove(self, space: Space, document_id: str, job: Job) -> None:
        """See `ports.Index`."""
        async with self._working(space, job) as instance:
            await self._delete(instance.rag, policy.index_id(document_id))
        # Two documents with the same passage share the model's answer about it, and the other one still needs it.
        await self._kit.pool.execute(_PRUNE, policy.index_name(space))

    async def clear(self, space: Space) -> None:
        """See `ports.Index`."""
        statuses = self._kit.library.statuses
        async with self._kept_open(space) as instance:
            rag = instance.rag
            left = await rag.doc_status.get_docs_by_statuses([one for one in statuses if one != statuses.PROCESSED])
            for name in left:
                await self._delete(rag, name)

    async def nearest(self, space: Space, query: str, *, limit: int) -> Sequence[Passage]:
        """See `ports.Index`."""
        vector = (await self._kit.vectors.embed([query]))[0]
        return await self._passages.nearest(space, vector.tolist(), limit=limit)

    async def related(self, space: Space, query: str, keywords: Keywords, *, mode: Mode, limit: int) -> Found | None:
        """See `ports.Index`."""
        param = self._kit.library.query_param(
            mode=mode.value,
            top_k=max(LEAST_TOP_K, limit),
            chunk_top_k=2 * limit,
            hl_keywords=list(keywords.themes),
            ll_keywords=list(keywords.names),
            enable_rerank=False,
        )
        async with self._kept_open(space) as instance:
            try:
                answer = await instance.rag.aquery_data(query, param)
            except self._kit.library.too_short:
                return None
        return _found(answer.get("data") or {})

    @asynccontextmanager
    async def _kept_open(self, space: Space) -> AsyncIterator[Instance]:
        with foreign_errors():
            async with self._kept.use(space) as instance:
                yield instance

    @asynccontextmanager
    async def _working(self, space: Space, job: Job) -> AsyncIterator[Instance]:
        """The instance for the block, its model calls made for `job`, and stopped with it."""
        async with self._kept_open(space) as instance:
            instance.asking.job = job
            watch = asyncio.create_task(self._cancel_when_stopped(space, job), name="index-cancel")
            try:
                yield instance
            finally:
                watch.cancel()
                instance.asking.job = None

    async def _cancel_when_stopped(self, space: Space, job: Job) -> None:
        await job.stopped.wait()
        state, lock = await self._kit.library.pipeline_status(policy.index_name(space))
        async with lock:
            if state.get("busy"):
                state["cancellation_requested"] = True

    async def _delete(self, rag: Any, name: str) -> None:
        if await rag.doc_status.get_by_id(name) is None:
            return
        result = await rag.adelete_by_doc_id(name, delete_llm_cache=False)
        if result.status not in ("success", "not_found"):
            raise await self._failure("what was learnt from the document could not be removed")

    async def _failure(self, message: str) -> ServiceError:
        """LightRAG turns errors into words: ask Postgres itself whether it is away."""
        try:
            await self._kit.pool.fetchrow("SELECT 1")
        except StoreAway as error:
            return error
        return IndexFailed(message)


@contextmanager
def foreign_errors() -> Iterator[None]:
    """What LightRAG raises leaves the block as one of our errors."""
    try:
        with translated(StoreRefused):
            yield
    except (ServiceError, InvalidSettings):
        raise
    except Exception as error:
        log.warning("lightrag_failed", error=type(error).__name__)
        raise IndexFailed(f"the index failed: {type(error).__name__}") from error


def _found(data: dict[str, Any]) -> Found:
    owners = [(policy.document_of(chunk.get("chunk_id") or ""), chunk) for chunk in data.get("chunks", ())]
    return Found(
        passages=tuple(Passage(owner, chunk["content"]) for owner, chunk in owners if owner is not None),
        entities=tuple(
            Entity(one["entity_name"], one.get("entity_type") or "", one.get("description") or "")
            for one in data.get("entities", ())
        ),
        relations=tuple(
            Relation(one["src_id"], one["tgt_id"], one.get("keywords") or "", one.get("description") or "")
            for one in data.get("relationships", ())
        ),
    )
