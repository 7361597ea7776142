"""Writes what a flush has for all its runs, in one statement: one round trip, one transaction."""

from collections.abc import Sequence

from headrace_postgres.pool import Pool

from headrace_executor.adapters.postgres.parts import ROW_BYTES, rest
from headrace_executor.adapters.postgres.rows import storable
from headrace_executor.runs import ids
from headrace_executor.runs.records import RunWrite

# A run that is not ours any more joins with nothing, and the others of the batch are written all the same.
# The same statement may come twice, when its answer was lost: the second finds its own last_seq and changes nothing.
_CHANGES = """
WITH w AS (
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::boolean[], $5::text[], $6::bytea[], $7::text[],
                         $8::text[], $9::double precision[], $10::bytea[])
      AS w(run_id, fence, last_seq, progress, state, output, error_code, error_message, error_retry_after_s, usage)
), wrote AS (
    UPDATE runs r SET
        last_seq = w.last_seq,
        takeovers = CASE WHEN w.progress THEN 0 ELSE r.takeovers END,
        state = COALESCE(w.state, r.state),
        owner = CASE WHEN w.state IS NULL THEN r.owner END,
        finished_at = CASE WHEN w.state <> 'queued' THEN now() END,
        output = COALESCE(w.output, r.output),
        error_code = w.error_code,
        error_message = w.error_message,
        error_retry_after_s = w.error_retry_after_s,
        usage = COALESCE(w.usage, r.usage)
    FROM w
    WHERE r.run_id = w.run_id AND r.fence = w.fence AND (r.state = 'running' OR r.last_seq = w.last_seq)
    RETURNING r.run_id
), logged AS (
    INSERT INTO events (run_id, first_seq, last_seq, final, data)
    SELECT e.* FROM unnest($1::uuid[], $11::bigint[], $3::bigint[], $12::boolean[], $13::bytea[])
      AS e(run_id, first_seq, last_seq, final, data) JOIN wrote USING (run_id)
    WHERE e.last_seq >= e.first_seq
    ON CONFLICT DO NOTHING
), stepped AS (
    INSERT INTO steps (run_id, step, output, usage)
    SELECT s.* FROM unnest($14::uuid[], $15::text[], $16::bytea[], $17::bytea[])
      AS s(run_id, step, output, usage) JOIN wrote USING (run_id)
    ON CONFLICT DO NOTHING
), replied AS (
    INSERT INTO messages (message_id, session_id, run_id, role, body)
    SELECT m.message_id, m.session_id, m.run_id, 'assistant', m.body
    FROM unnest($18::uuid[], $19::uuid[], $20::uuid[], $21::text[]) AS m(message_id, session_id, run_id, body)
    JOIN wrote USING (run_id)
    WHERE NOT EXISTS (SELECT FROM runs WHERE runs.run_id = m.run_id AND runs.state <> 'running')
)
"""
_PARTS = """
, parted AS (
    INSERT INTO step_parts (run_id, step, part, data)
    SELECT p.* FROM unnest($22::uuid[], $23::text[], $24::smallint[], $25::bytea[])
      AS p(run_id, step, part, data) JOIN wrote USING (run_id)
    ON CONFLICT DO NOTHING
)
"""
_WRITE = f"{_CHANGES} SELECT run_id::text FROM wrote"
# A statement of its own, so that a batch without a large output does not pay for those that have one.
_WRITE_PARTS = f"{_CHANGES} {_PARTS} SELECT run_id::text FROM wrote"


class FlushStore:
    """`stores.FlushStore` on Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def write(self, writes: Sequence[RunWrite]) -> frozenset[str]:
        """Write a batch and return the runs that were still ours. Raises `StoreAway` and `StoreRefused`."""
        ends = [w.ending for w in writes]
        steps = [(w.run_id, s) for w in writes for s in w.steps]
        replies = [(w, w.ending.reply) for w in writes if w.ending and w.ending.reply is not None]
        parts = [(run_id, storable(s.name), *part) for run_id, s in steps for part in rest(s.output)]
        rows = await self._pool.fetch(
            _WRITE_PARTS if parts else _WRITE,
            [w.run_id for w in writes],
            [w.fence for w in writes],
            [w.chunk.last_seq for w in writes],
            [bool(w.steps) for w in writes],
            [e.state.value if e else None for e in ends],
            [e.output if e and e.state.ended else None for e in ends],
            [e.failure.code.value if e and e.failure else None for e in ends],
            [storable(e.failure.message) if e and e.failure else None for e in ends],
            [e.failure.retry_after_s if e and e.failure else None for e in ends],
            [e.usage if e and e.state.ended else None for e in ends],
            [w.chunk.first_seq for w in writes],
            [w.chunk.final for w in writes],
            [b"\n".join(w.chunk.events) for w in writes],
            [run_id for run_id, _ in steps],
            [storable(s.name) for _, s in steps],
            [s.output[:ROW_BYTES] for _, s in steps],
            [s.usage for _, s in steps],
            [ids.new() for _ in replies],
            [w.session_id for w, _ in replies],
            [w.run_id for w, _ in replies],
            [storable(reply) for _, reply in replies],
            *(zip(*parts, strict=True) if parts else ()),
        )
        return frozenset(row[0] for row in rows)
