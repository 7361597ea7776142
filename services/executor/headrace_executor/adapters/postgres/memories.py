"""What sessions remember. Vectors are compared one by one: a session has few."""

from collections.abc import Sequence

import asyncpg
from headrace_postgres.pool import Pool

from headrace_executor.adapters.postgres.row_limits import counted
from headrace_executor.adapters.postgres.sessions import TODAY
from headrace_executor.memories import Match, Memory, MemoryWrite, Pending, Vectors, Written

_COLUMNS = "m.key, m.value, m.text, m.metadata, m.revision, m.created_at, m.updated_at"
_OF_SESSION = """memories m WHERE m.session_id = $2
    AND EXISTS (SELECT FROM sessions s WHERE s.session_id = $2 AND s.tenant_id = $1)"""

_USE = f"""
WITH used AS (
    UPDATE sessions SET used_on = {TODAY} WHERE session_id = $2 AND tenant_id = $1 AND used_on < {TODAY}
)
SELECT FROM sessions WHERE session_id = $2 AND tenant_id = $1
"""
# The session's row is locked, so that it is not deleted before its memory is there.
_PUT = f"""
WITH s AS (
    SELECT session_id FROM sessions WHERE session_id = $2 AND tenant_id = $1 FOR KEY SHARE
), full_up AS (
    SELECT (SELECT count(*) FROM memories WHERE session_id = $2) >= $9
       AND NOT EXISTS (SELECT FROM memories WHERE session_id = $2 AND key = $3) AS is_full
), m AS (
    INSERT INTO memories AS m (session_id, key, value, text, metadata, model, vector)
    SELECT s.session_id, $3, $4, $5, $6, $7, $8::text::vector FROM s, full_up WHERE NOT is_full
    ON CONFLICT (session_id, key) DO UPDATE SET
        value = excluded.value, text = excluded.text, metadata = excluded.metadata, model = excluded.model,
        vector = excluded.vector, revision = m.revision + 1, updated_at = now()
    WHERE NOT $10
    RETURNING m.*
)
SELECT is_full, {_COLUMNS} FROM full_up LEFT JOIN m ON true
"""
_CHANGE = f"""
UPDATE memories m SET value = $4, text = $5, metadata = $6, model = $7, vector = $8::text::vector,
    revision = m.revision + 1, updated_at = now()
FROM sessions s
WHERE s.session_id = m.session_id AND s.tenant_id = $1 AND m.session_id = $2 AND m.key = $3 AND m.revision = $9
RETURNING {_COLUMNS}
"""
_SIZE = "octet_length(m.value) + octet_length(m.text) + octet_length(m.metadata)"
_LIST = f"""
SELECT {_COLUMNS}, m.remaining FROM (
    SELECT m.*, count(*) OVER () AS remaining, sum({_SIZE}) OVER (ORDER BY m.key) - ({_SIZE}) AS before
    FROM {_OF_SESSION} AND m.key > $3 ORDER BY m.key LIMIT $4
) m WHERE m.before < $5 ORDER BY m.key
"""
_PENDING = f"""
SELECT m.key, m.revision, m.text, count(*) OVER () AS pending FROM {_OF_SESSION} AND m.model <> $3 ORDER BY m.key LIMIT $4
"""
_SET_VECTORS = """
UPDATE memories m SET model = $2, vector = v.vector::vector
FROM unnest($3::text[], $4::bigint[], $5::text[]) AS v(key, revision, vector)
WHERE m.session_id = $1 AND m.key = v.key AND m.revision = v.revision
"""
_NEAREST = f"""
SELECT {_COLUMNS}, 1 - (m.vector <=> $3::text::vector) AS score FROM {_OF_SESSION} AND m.model = $4
ORDER BY m.vector <=> $3::text::vector, m.key LIMIT $5
"""


class MemoryStore:
    """`memories.MemoryStore` on Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def has_session(self, tenant_id: str, session_id: str) -> bool:
        """Whether the tenant has such a session."""
        row = await self._pool.fetchrow(
            "SELECT 1 FROM sessions WHERE session_id = $1 AND tenant_id = $2", session_id, tenant_id
        )
        return row is not None

    async def use_session(self, tenant_id: str, session_id: str) -> bool:
        """Note, the first time of a day, that a session is used, and say whether the tenant has such a one."""
        row = await self._pool.fetchrow(_USE, tenant_id, session_id)
        return row is not None

    async def put(
        self, tenant_id: str, session_id: str, write: MemoryWrite, vectors: Vectors | None, *, limit: int
    ) -> Written:
        """Make or replace a memory, if its revision is the expected one."""
        model, vector = (vectors.model, _literal(vectors.values[0])) if vectors else ("", None)
        values = (tenant_id, session_id, write.key, write.value, write.text, write.metadata, model, vector)
        expected = write.expected_revision
        if expected:
            row = await self._pool.fetchrow(_CHANGE, *values, expected)
            return Written(_memory(row) if row else None)
        async with counted(self._pool, "memories", session_id) as connection:
            row = await connection.fetchrow(_PUT, *values, limit, expected == 0)
        assert row is not None
        return Written(_memory(row) if row["revision"] else None, full=row["is_full"])

    async def find(self, tenant_id: str, session_id: str, key: str) -> Memory | None:
        """One memory."""
        row = await self._pool.fetchrow(f"SELECT {_COLUMNS} FROM {_OF_SESSION} AND m.key = $3", tenant_id, session_id, key)
        return _memory(row) if row else None

    async def list(
        self, tenant_id: str, session_id: str, *, after: str, limit: int, size_bytes: int
    ) -> tuple[Sequence[Memory], bool]:
        """Memories whose keys come after one, in the order of their keys; and whether more follow.

        The one that passes `size_bytes`, added to those before it, is the last.
        """
        found = await self._pool.fetch(_LIST, tenant_id, session_id, after, limit, size_bytes)
        return [_memory(row) for row in found], bool(found) and found[0]["remaining"] > len(found)

    async def delete(self, tenant_id: str, session_id: str, key: str, *, expected_revision: int | None) -> bool:
        """Remove a memory, if its revision is the expected one; False when it was not."""
        row = await self._pool.fetchrow(
            f"""DELETE FROM {_OF_SESSION} AND m.key = $3 AND ($4::bigint IS NULL OR m.revision = $4) RETURNING 1""",
            tenant_id,
            session_id,
            key,
            expected_revision,
        )
        return row is not None

    async def pending(self, tenant_id: str, session_id: str, *, model: str, limit: int) -> tuple[Sequence[Pending], int]:
        """Some memories without a vector of the model, and how many there are."""
        found = await self._pool.fetch(_PENDING, tenant_id, session_id, model, limit)
        return [Pending(row["key"], row["revision"], row["text"]) for row in found], found[0]["pending"] if found else 0

    async def set_vectors(self, session_id: str, memories: Sequence[Pending], vectors: Vectors) -> None:
        """Give memories their vectors, those that have not changed meanwhile."""
        await self._pool.execute(
            _SET_VECTORS,
            session_id,
            vectors.model,
            [one.key for one in memories],
            [one.revision for one in memories],
            [_literal(vector) for vector in vectors.values],
        )

    async def nearest(self, tenant_id: str, session_id: str, query: Vectors, *, limit: int) -> Sequence[Match]:
        """The memories nearest to a query's vector, the nearest first."""
        found = await self._pool.fetch(_NEAREST, tenant_id, session_id, _literal(query.values[0]), query.model, limit)
        return [Match(_memory(row), row["score"]) for row in found]


def _literal(vector: Sequence[float]) -> str:
    """A vector as pgvector reads it."""
    return "[" + ",".join(f"{value:.7g}" for value in vector) + "]"


def _memory(row: asyncpg.Record) -> Memory:
    return Memory(
        key=row["key"],
        value=row["value"],
        text=row["text"],
        metadata=row["metadata"],
        revision=row["revision"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
