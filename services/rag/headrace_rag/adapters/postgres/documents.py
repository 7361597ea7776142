"""The documents' own table, as `ports.Documents`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import asyncpg
from headrace_postgres.pool import Pool

from headrace_rag.model import Document, Mark, Source, Space, State

INTERRUPTED = "reading was interrupted; ingest it again"
"""Why a document failed whose writer died."""
OTHER_VECTORS = "read with other embeddings than these; ingest it again"
"""Why a document failed that was READY before the embeddings changed."""

_COLUMNS = "document_id, workspace, title, state, error, characters, chunks, digest, vectors, created_at, updated_at"
_KEY = "tenant_id = $1 AND workspace = $2"


class PostgresDocuments:
    """Implements `ports.Documents`. `vectors` names the embeddings in use."""

    def __init__(self, pool: Pool, *, vectors: str) -> None:
        self._pool = pool
        self._vectors = vectors

    async def get(self, space: Space, document_id: str) -> Document | None:
        """See `ports.Documents`."""
        row = await self._pool.fetchrow(
            f"SELECT {_COLUMNS} FROM rag_documents WHERE {_KEY} AND document_id = $3", *_key(space), document_id
        )
        return self._document(row) if row else None

    async def announce(self, space: Space, source: Source) -> None:
        """See `ports.Documents`."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO rag_workspaces (tenant_id, workspace) VALUES ($1, $2) ON CONFLICT DO NOTHING", *_key(space)
            )
            await connection.execute(
                """INSERT INTO rag_documents (tenant_id, workspace, document_id, title, state, characters, digest, vectors)
                   VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7) ON CONFLICT DO NOTHING""",
                *_key(space),
                source.document_id,
                source.title,
                len(source.text),
                source.digest,
                self._vectors,
            )

    async def start(self, space: Space, source: Source) -> None:
        """See `ports.Documents`."""
        await self._pool.execute(
            f"""UPDATE rag_documents SET title = $4, state = 'processing', error = '', characters = $5, chunks = 0,
                       digest = $6, vectors = $7, updated_at = clock_timestamp()
                WHERE {_KEY} AND document_id = $3""",
            *_key(space),
            source.document_id,
            source.title,
            len(source.text),
            source.digest,
            self._vectors,
        )

    async def hide(self, space: Space, document_id: str) -> None:
        """See `ports.Documents`."""
        await self._set(space, document_id, State.PROCESSING)

    async def finish(self, space: Space, document_id: str, *, chunks: int) -> None:
        """See `ports.Documents`."""
        await self._set(space, document_id, State.READY, chunks=chunks)

    async def fail(self, space: Space, document_id: str, *, error: str) -> None:
        """See `ports.Documents`."""
        await self._set(space, document_id, State.FAILED, error=error)

    async def give_up_waiting(self, space: Space, document_id: str, *, error: str) -> None:
        """See `ports.Documents`."""
        await self._pool.execute(
            f"""UPDATE rag_documents SET state = 'failed', error = $4, updated_at = clock_timestamp()
                WHERE {_KEY} AND document_id = $3 AND state = 'pending'""",
            *_key(space),
            document_id,
            error,
        )

    async def fail_interrupted(self, space: Space) -> None:
        """See `ports.Documents`."""
        await self._pool.execute(
            f"""UPDATE rag_documents SET state = 'failed', error = $3, updated_at = clock_timestamp()
                WHERE {_KEY} AND state = 'processing'""",
            *_key(space),
            INTERRUPTED,
        )

    async def remove(self, space: Space, document_id: str) -> None:
        """See `ports.Documents`."""
        await self._pool.execute(f"DELETE FROM rag_documents WHERE {_KEY} AND document_id = $3", *_key(space), document_id)

    async def count(self, space: Space) -> int | None:
        """See `ports.Documents`."""
        row = await self._pool.fetchrow(
            f"""SELECT (SELECT count(*) FROM rag_documents WHERE {_KEY})
                FROM rag_workspaces WHERE {_KEY}""",
            *_key(space),
        )
        return row[0] if row else None

    async def page(self, space: Space, *, after: Mark | None, limit: int) -> Sequence[Document]:
        """See `ports.Documents`."""
        behind, args = "", [*_key(space), limit]
        if after is not None:
            behind, args = "AND (created_at, document_id) < ($4, $5)", [*args, after.created_at, after.document_id]
        rows = await self._pool.fetch(
            f"""SELECT {_COLUMNS} FROM rag_documents WHERE {_KEY} {behind}
                ORDER BY created_at DESC, document_id DESC LIMIT $3""",
            *args,
        )
        return [self._document(row) for row in rows]

    async def titles(self, space: Space, document_ids: Sequence[str]) -> Mapping[str, str]:
        """See `ports.Documents`."""
        rows = await self._pool.fetch(
            f"""SELECT document_id, title FROM rag_documents
                WHERE {_KEY} AND document_id = ANY($3) AND state = 'ready' AND vectors = $4""",
            *_key(space),
            list(document_ids),
            self._vectors,
        )
        return {row["document_id"]: row["title"] for row in rows}

    async def _set(self, space: Space, document_id: str, state: State, *, error: str = "", chunks: int = 0) -> None:
        await self._pool.execute(
            f"""UPDATE rag_documents SET state = $4, error = $5, chunks = $6, updated_at = clock_timestamp()
                WHERE {_KEY} AND document_id = $3""",
            *_key(space),
            document_id,
            state.value,
            error,
            chunks,
        )

    def _document(self, row: asyncpg.Record) -> Document:
        document = Document(
            document_id=row["document_id"],
            workspace=row["workspace"],
            title=row["title"],
            state=State(row["state"]),
            error=row["error"],
            characters=row["characters"],
            chunks=row["chunks"],
            digest=row["digest"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )
        if document.state is State.READY and row["vectors"] != self._vectors:
            return replace(document, state=State.FAILED, error=OTHER_VECTORS)
        return document


def _key(space: Space) -> tuple[str, str]:
    return space.tenant_id, space.workspace
