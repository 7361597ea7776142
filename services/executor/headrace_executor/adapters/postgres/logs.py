"""Reads events and steps."""

from collections.abc import Mapping, Sequence

import asyncpg
import orjson
from headrace_postgres.pool import Pool

from headrace_executor.adapters.postgres import rows
from headrace_executor.adapters.postgres.parts import ROW_BYTES
from headrace_executor.model import RunState, StepRecord
from headrace_executor.runs.records import Chunk, Head

READ_BYTES = 256 * 1024
"""The chunk that reaches this size is the last that one reader is given at once: there are thousands, and slow ones."""

_READ = f"""
SELECT run_id::text, first_seq, final, data FROM (
    SELECT *, sum(octet_length(data)) OVER (ORDER BY last_seq) - octet_length(data) AS before
    FROM (SELECT * FROM events WHERE run_id = $1 AND last_seq > $2 ORDER BY last_seq LIMIT $3) next
) e WHERE before < {READ_BYTES} ORDER BY last_seq
"""
# Each run's next chunk comes before any run's second one. The length of a large value is known without reading it.
_READ_MANY = """
SELECT run_id::text, first_seq, final, data FROM (
    SELECT *, sum(octet_length(data)) OVER (ORDER BY place, run_id) - octet_length(data) AS before
    FROM unnest($1::uuid[], $2::bigint[]) AS w(run_id, after)
    CROSS JOIN LATERAL (
        SELECT first_seq, last_seq, final, data, row_number() OVER (ORDER BY last_seq) AS place FROM events
        WHERE events.run_id = w.run_id AND last_seq > w.after ORDER BY last_seq LIMIT $3
    ) next
) e WHERE before < $4 ORDER BY run_id, last_seq
"""
# An output that fills its row may have parts; only then are they looked for.
_STEPS = f"""
SELECT s.step, s.usage, s.output || COALESCE((
    SELECT string_agg(p.data, ''::bytea ORDER BY p.part) FROM step_parts p
    WHERE p.run_id = s.run_id AND p.step = s.step AND octet_length(s.output) = {ROW_BYTES}
), '') AS output
FROM steps s WHERE s.run_id = $1
"""
_OUTPUT = """
SELECT s.output FROM runs r LEFT JOIN steps s ON s.run_id = r.run_id AND s.step = $3
WHERE r.run_id = $1 AND r.tenant_id = $2
"""


class LogStore:
    """`stores.LogStore` on Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def head(self, run_id: str) -> Head | None:
        """Whose the run is and how far its log goes; None when there is no such run."""
        row = await self._pool.fetchrow("SELECT tenant_id, state, last_seq FROM runs WHERE run_id = $1", run_id)
        return Head(row["tenant_id"], RunState(row["state"]), row["last_seq"]) if row else None

    async def read(self, run_id: str, *, after: int, limit: int) -> Sequence[Chunk]:
        """The next chunks that hold events after a number, fewer of large ones; the first may begin before it."""
        return [_chunk(row) for row in await self._pool.fetch(_READ, run_id, after, limit)]

    async def read_many(self, after: Mapping[str, int], *, limit: int, max_bytes: int) -> Sequence[Chunk]:
        """The next chunks of several runs at once, see `stores.LogStore`."""
        found = await self._pool.fetch(_READ_MANY, list(after), list(after.values()), limit, max_bytes)
        return [_chunk(row) for row in found]

    async def steps(self, run_id: str) -> Mapping[str, StepRecord]:
        """The run's finished steps."""
        found = await self._pool.fetch(_STEPS, run_id)
        return {row["step"]: StepRecord(orjson.loads(row["output"]), rows.usage(row["usage"])) for row in found}

    async def output(self, tenant_id: str, run_id: str, step: str) -> Sequence[bytes] | None:
        """The parts of a finished step's output; none when there is no such step, None when there is no such run."""
        row = await self._pool.fetchrow(_OUTPUT, run_id, tenant_id, step)
        if row is None:
            return None
        first = row["output"]
        if first is None:
            return ()
        if len(first) < ROW_BYTES:
            return (first,)
        found = await self._pool.fetch(
            "SELECT data FROM step_parts WHERE run_id = $1 AND step = $2 ORDER BY part", run_id, step
        )
        return (first, *(part["data"] for part in found))


def _chunk(row: asyncpg.Record) -> Chunk:
    return Chunk(row["run_id"], row["first_seq"], tuple(row["data"].split(b"\n")), row["final"])
