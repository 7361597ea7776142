"""Wires the rag service: database, embedder, model client, index, use cases, servicer."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from headrace.rag.v1 import rag_pb2, rag_pb2_grpc
from headrace_llm import app as llm
from headrace_llm import embeddings
from headrace_llm.settings import LlmSettings
from headrace_postgres.pool import open_pool
from headrace_runtime import serve
from headrace_runtime.settings import load

from headrace_rag import embedding, searching, writing
from headrace_rag.adapters.lightrag_index.asking import AskLimits
from headrace_rag.adapters.lightrag_index.kit import IndexLimits
from headrace_rag.adapters.lightrag_index.opening import open_index
from headrace_rag.adapters.postgres.documents import PostgresDocuments
from headrace_rag.adapters.postgres.schema import SCHEMA
from headrace_rag.adapters.postgres.writer_lock import PostgresWriterLock
from headrace_rag.chunking import Cut
from headrace_rag.errors import StoreRefused
from headrace_rag.ports import Models
from headrace_rag.servicer import RagServicer
from headrace_rag.settings import Settings

SERVICE = rag_pb2.DESCRIPTOR.services_by_name["RagService"].full_name
CLOSE_S = 5.0
"""How long documents in hand get to end in order after the drain."""


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[serve.Service]:
    """The service with the real models and embeddings. Health says SERVING once all of it is ready."""
    async with AsyncExitStack() as stack:
        models = await stack.enter_async_context(llm.model_client(load(LlmSettings)))
        embedder = await stack.enter_async_context(embeddings.open_embedder())
        multilingual = await stack.enter_async_context(embeddings.open_multilingual_embedder())
        made = wired(settings, models=models, embedder=embedder, multilingual=multilingual)
        yield await stack.enter_async_context(made)


@asynccontextmanager
async def wired(
    settings: Settings, *, models: Models, embedder: embeddings.Embedder, multilingual: embeddings.Embedder
) -> AsyncIterator[serve.Service]:
    """The service over any models and embeddings: one for documents, one for `Embed`.

    Raises `StoreAway` and `InvalidSettings`.
    """
    dsn = settings.database_url.get_secret_value()
    async with AsyncExitStack() as stack:
        connections = await stack.enter_async_context(
            open_pool(
                dsn,
                application="headrace-rag",
                size=settings.connections,
                statement_timeout_s=settings.statement_timeout_s,
                wait_s=settings.start_timeout_s,
                refused=StoreRefused,
            )
        )
        async with SCHEMA.migrated(dsn):  # LightRAG makes its own there
            index = await stack.enter_async_context(
                open_index(dsn, models=models, embedder=embedder, pool=connections, limits=_index_limits(settings))
            )
        documents = PostgresDocuments(connections, vectors=index.vectors)
        reader = searching.Reader(index, documents, models, _search_limits(settings))
        writer = writing.Writer(index, documents, PostgresWriterLock(dsn), _write_limits(settings))
        vectors = embedding.Embeddings(multilingual, embedding.Limits(settings.embed_slots, settings.embed_longest_s))
        servicer = RagServicer(reader, writer, vectors)
        endpoint = serve.Endpoint(SERVICE, servicer, rag_pb2_grpc.add_RagServiceServicer_to_server)
        try:
            yield serve.Service((endpoint,), drain=writer.drain)
        finally:
            await writer.close(wait_s=CLOSE_S)


def _index_limits(settings: Settings) -> IndexLimits:
    return IndexLimits(
        connections=settings.index_connections,
        statement_timeout_s=settings.statement_timeout_s,
        workspaces_open=settings.workspaces_open,
        cut=Cut(settings.chunk_tokens, settings.chunk_overlap_tokens),
        parallel=settings.extract_parallel,
        ask=AskLimits(settings.extract_timeout_s, settings.extract_max_tokens),
        min_score=settings.min_score,
        exact_chunks=settings.exact_chunks,
    )


def _search_limits(settings: Settings) -> searching.Limits:
    return searching.Limits(settings.search_timeout_s, settings.keywords_timeout_s)


def _write_limits(settings: Settings) -> writing.Limits:
    return writing.Limits(settings.writers, settings.waiting_writers, settings.ingest_longest_s)
