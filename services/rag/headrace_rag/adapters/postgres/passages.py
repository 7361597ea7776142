"""Passages by vector, straight from LightRAG's table of chunks: LightRAG's own query gives no score and knows no titles."""

from collections.abc import Sequence

from headrace_postgres.pool import Pool

from headrace_rag import policy
from headrace_rag.model import Passage, Space

_READY = "tenant_id = $1 AND workspace = $2 AND state = 'ready' AND vectors = $3"


class PostgresPassages:
    """Finds the chunks nearest to a vector in one workspace.

    A small workspace is read whole, which is exact; in a large one the HNSW index goes on until enough of the
    workspace's own rows were found (iterative scan), as all tenants' rows are in one index.
    """

    def __init__(self, pool: Pool, *, table: str, vectors: str, min_score: float, exact_chunks: int) -> None:
        self._pool = pool
        self._vectors = vectors
        self._min_score = min_score
        self._exact_chunks = exact_chunks
        self._exact = _sql(table, "(content_vector <=> $5::vector) + 0")
        self._indexed = _sql(table, "content_vector <=> $5::vector")

    async def nearest(self, space: Space, vector: Sequence[float], *, limit: int) -> Sequence[Passage]:
        """The nearest passages of READY documents, the nearest first."""
        literal = "[" + ",".join(f"{value:.7g}" for value in vector) + "]"
        key = (space.tenant_id, space.workspace, self._vectors)
        async with self._pool.connection() as connection, connection.transaction(readonly=True):
            chunks = await connection.fetchval(f"SELECT COALESCE(sum(chunks), 0) FROM rag_documents WHERE {_READY}", *key)
            exact = chunks <= self._exact_chunks
            if not exact:
                await connection.execute("SET LOCAL hnsw.iterative_scan = 'relaxed_order'")
                await connection.execute("SET LOCAL hnsw.max_scan_tuples = 200000")
            rows = await connection.fetch(
                self._exact if exact else self._indexed, *key, policy.index_name(space), literal, limit, self._min_score
            )
        return [Passage(row["document_id"], row["content"], row["score"], row["title"]) for row in rows]


def _sql(table: str, order: str) -> str:
    return f"""
        WITH hidden AS (
            SELECT array_agg('{policy.INDEX_PREFIX}' || document_id) AS ids FROM rag_documents
            WHERE tenant_id = $1 AND workspace = $2 AND NOT (state = 'ready' AND vectors = $3)
        ), near AS MATERIALIZED (
            SELECT full_doc_id, content, content_vector <=> $5::vector AS distance FROM {table}
            WHERE workspace = $4 AND NOT (full_doc_id = ANY(COALESCE((SELECT ids FROM hidden), '{{}}')))
            ORDER BY {order} LIMIT $6
        )
        SELECT d.document_id, d.title, near.content, 1 - near.distance AS score
        FROM near JOIN rag_documents d ON d.tenant_id = $1 AND d.workspace = $2
             AND '{policy.INDEX_PREFIX}' || d.document_id = near.full_doc_id AND d.state = 'ready' AND d.vectors = $3
        WHERE 1 - near.distance >= $7
        ORDER BY near.distance, d.document_id, near.content"""
