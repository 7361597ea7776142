"""Opens the index: environment, library, tables, and the closing of all of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from headrace_llm.embeddings import Embedder
from headrace_postgres.pool import Pool

from headrace_rag.adapters.lightrag_index import instances, library
from headrace_rag.adapters.lightrag_index.index import LightRagIndex, foreign_errors
from headrace_rag.adapters.lightrag_index.instances import Instances
from headrace_rag.adapters.lightrag_index.kit import IndexLimits, Kit
from headrace_rag.adapters.lightrag_index.library import Library
from headrace_rag.adapters.lightrag_index.tokens import Tokens
from headrace_rag.adapters.lightrag_index.vectors import Vectors
from headrace_rag.adapters.postgres.passages import PostgresPassages
from headrace_rag.model import Space
from headrace_rag.ports import Models


@asynccontextmanager
async def open_index(
    dsn: str, *, models: Models, embedder: Embedder, pool: Pool, limits: IndexLimits
) -> AsyncIterator[LightRagIndex]:
    """The index with its tables made. Only one process may be in here until it is open: LightRAG makes them unguarded.

    Raises `library.ForbiddenVariable`, `library.InvalidUrl`, `StoreAway`.
    """
    with library.environment(dsn, connections=limits.connections, statement_timeout_s=limits.statement_timeout_s) as folder:
        tools = await asyncio.to_thread(library.load)
        tokens = await asyncio.to_thread(Tokens.load)
        vectors = Vectors(embedder, tokens)
        kit = Kit(tools, models, vectors, tokens, pool, limits, folder)
        kept = Instances(kit.make, limit=limits.workspaces_open)
        async with _connected(tools), aclosing(kept):
            with foreign_errors(), library.quiet():
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
    with foreign_errors(), library.quiet():
        client = await tools.client_manager.get_client(vector_storage="PGVectorStorage")
    try:
        if client.workspace:
            raise library.ForbiddenVariable
        yield
    finally:
        await tools.client_manager.release_client(client)
