"""`ports.Index` on LightRAG."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from headrace_llm.embeddings import Embedder
from headrace_runtime.errors import ServiceError

from headrace_rag import chunking, policy
from headrace_rag.adapters.lightrag_index import instances, library
from headrace_rag.adapters.lightrag_index.asking import Asking, AskLimits
from headrace_rag.adapters.lightrag_index.instances import Instance, Instances
from headrace_rag.adapters.lightrag_index.library import Library
from headrace_rag.adapters.lightrag_index.tokens import Tokens
from headrace_rag.adapters.lightrag_index.vectors import Vectors
from headrace_rag.adapters.postgres.passages import PostgresPassages
from headrace_rag.adapters.postgres.pool import Pool, translated
from headrace_rag.errors import IndexFailed, StoreAway
from headrace_rag.job import Job
from headrace_rag.model import Entity, Found, Keywords, Mode, Passage, Relation, Source, Space
from headrace_rag.ports import Models

EMBED_BATCH = 4
"""Chunks whose vectors are made at once: a search waits for no more than these."""
EMBED_TIMEOUT_S = 120
SUMMARY_FROM_TOKENS, SUMMARY_FROM_PIECES, SUMMARY_INPUT_TOKENS = 600, 32, 1500
"""An entity's descriptions are merged by a model when they are that long or that many; before, they are only joined."""
SUMMARY_TOKENS = 200
LEAST_TOP_K = 10
"""Entities or relations that a graph search begins with, at least."""

_PRUNE = """
    DELETE FROM lightrag_llm_cache c WHERE c.workspace = $1 AND NOT EXISTS (
        SELECT FROM lightrag_doc_chunks d, jsonb_array_elements_text(d.llm_cache_list) AS used
        WHERE d.workspace = $1 AND used = c.id)"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class IndexLimits:
    """Bounds of the index."""

    connections: int
    statement_timeout_s: float
    workspaces_open: int
    cut: chunking.Cut
    parallel: int
    """Model calls for one document at once."""
    ask: AskLimits
    min_score: float
    exact_chunks: int


class LightRagIndex:
    """Implements `ports.Index`."""

    def __init__(self, kit: "_Kit", kept: Instances, passages: PostgresPassages) -> None:
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
        with _foreign_errors():
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


@dataclass(frozen=True, slots=True)
class _Kit:
    """What instances are made of."""

    library: Library
    models: Models
    vectors: Vectors
    tokens: Tokens
    pool: Pool
    limits: IndexLimits
    folder: str

    async def make(self, space: Space) -> Instance:
        asking = Asking(self.models, tenant_id=space.tenant_id, limits=self.limits.ask)
        rag = self._light_rag(policy.index_name(space), asking)
        await rag.initialize_storages()
        return Instance(rag, asking)

    def _light_rag(self, name: str, asking: Asking) -> Any:
        limits, tools = self.limits, self.library
        embed = self.vectors.embed
        tokens, cut = self.tokens, limits.cut

        async def embedding(texts: list[str], **_: Any) -> Any:
            return await embed(texts)

        async def chunker(_: Any, content: str, *__: Any) -> list[dict[str, Any]]:
            body = content.partition("\n")[2]
            found = await asyncio.to_thread(chunking.chunks, body, cut, count=tokens.count)
            return [{"content": c.text, "tokens": c.tokens, "chunk_order_index": at} for at, c in enumerate(found)]

        return tools.light_rag(
            workspace=name,
            working_dir=self.folder,
            kv_storage="PGKVStorage",
            vector_storage="PGVectorStorage",
            graph_storage="PGTableGraphStorage",
            doc_status_storage="PGDocStatusStorage",
            tokenizer=tools.tokenizer("minilm", tokens),
            chunking_func=chunker,
            chunk_token_size=cut.limit,
            embedding_func=tools.embedding_func(
                embedding_dim=self.vectors.dimensions, func=embedding, model_name=self.vectors.name
            ),
            embedding_batch_num=EMBED_BATCH,
            embedding_func_max_async=1,
            default_embedding_timeout=EMBED_TIMEOUT_S,
            llm_model_func=asking.function(),
            llm_model_max_async=limits.parallel,
            default_llm_timeout=int(limits.ask.timeout_s) + 30,
            entity_extract_max_gleaning=0,
            entity_extraction_use_json=True,
            force_llm_summary_on_merge=SUMMARY_FROM_PIECES,
            summary_max_tokens=SUMMARY_FROM_TOKENS,
            summary_context_size=SUMMARY_INPUT_TOKENS,
            summary_length_recommended=SUMMARY_TOKENS,
            max_parallel_insert=1,
            cosine_better_than_threshold=limits.min_score,
            addon_params={"language": "the language of the text"},
            user_prompt_prefix="",
        )


@asynccontextmanager
async def open_index(
    dsn: str, *, models: Models, embedder: Embedder, pool: Pool, limits: IndexLimits
) -> AsyncIterator[LightRagIndex]:
    """The index with its tables made. Only one process may be in here until it is open: LightRAG makes them unguarded.

    Raises `library.ForbiddenVariable`, `ValueError` for a URL that LightRAG cannot use, `StoreAway`.
    """
    with library.environment(dsn, connections=limits.connections, statement_timeout_s=limits.statement_timeout_s) as folder:
        tools = await asyncio.to_thread(library.load)
        tokens = await asyncio.to_thread(Tokens.load)
        vectors = Vectors(embedder, tokens)
        kit = _Kit(tools, models, vectors, tokens, pool, limits, folder)
        kept = Instances(kit.make, limit=limits.workspaces_open)
        async with _connected(tools), aclosing(kept):
            with _foreign_errors(), library.quiet():
                first = await kit.make(Space("", ""))
                table = first.rag.chunks_vdb.table_name
                await instances.close(first.rag)
            passages = PostgresPassages(
                pool, table=table, vectors=vectors.name, min_score=limits.min_score, exact_chunks=limits.exact_chunks
            )
            yield LightRagIndex(kit, kept, passages)


@asynccontextmanager
async def _connected(tools: Library) -> AsyncIterator[None]:
    """LightRAG's pool, held open: it closes with the last instance that uses it."""
    with _foreign_errors(), library.quiet():
        client = await tools.client_manager.get_client(vector_storage="PGVectorStorage")
    try:
        if client.workspace:
            raise library.ForbiddenVariable
        yield
    finally:
        await tools.client_manager.release_client(client)


@contextmanager
def _foreign_errors() -> Iterator[None]:
    """What LightRAG raises leaves the block as one of our errors."""
    try:
        with translated():
            yield
    except (ServiceError, library.ForbiddenVariable):
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
