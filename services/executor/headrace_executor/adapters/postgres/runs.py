"""Reads runs and ends those that nobody works on."""

from collections.abc import Mapping, Sequence

from headrace_postgres.pool import Pool

from headrace_executor.adapters.postgres import rows
from headrace_executor.model import Failure, Priority, Run, RunKind, RunState
from headrace_executor.runs.costs import KindCost
from headrace_executor.runs.records import Chunk, QueueState, RunFilter

NEWEST_RUNS = 20_000
"""Runs that are looked through for those that succeeded; before them many may wait."""

_LIST = f"""
SELECT {rows.RUN_COLUMNS} FROM runs r
WHERE r.tenant_id = $1 AND ($2::uuid IS NULL OR r.run_id < $2) AND ($3::uuid IS NULL OR r.session_id = $3)
  AND ($4::text IS NULL OR r.state = $4) AND ($5::text IS NULL OR r.kind = $5)
ORDER BY r.run_id DESC LIMIT $6
"""
_END_QUEUED = """
WITH ended AS (
    UPDATE runs SET state = $4, last_seq = $5, finished_at = now(), error_code = $6, error_message = $7, usage = $8
    WHERE run_id = $1 AND fence = $2 AND last_seq = $3 AND state = 'queued' RETURNING run_id
)
INSERT INTO events (run_id, first_seq, last_seq, final, data)
SELECT run_id, $3 + 1, $5, true, $9 FROM ended RETURNING run_id
"""
_QUEUE = """
SELECT now() AS time,
       count(*) FILTER (WHERE state = 'queued' AND priority = 1)::integer AS interactive,
       count(*) FILTER (WHERE state = 'queued' AND priority = 2)::integer AS standard,
       count(*) FILTER (WHERE state = 'queued' AND priority = 3)::integer AS background,
       count(*) FILTER (WHERE state = 'running')::integer AS running,
       COALESCE(extract(epoch FROM now() - min(created_at) FILTER (WHERE state = 'queued')), 0)::double precision AS oldest,
       f.*
FROM (SELECT state, priority, created_at FROM runs WHERE state = 'queued'
      UNION ALL SELECT state, priority, created_at FROM runs WHERE state = 'running') r
RIGHT JOIN (
    SELECT count(*)::integer AS replicas, COALESCE(sum(slots), 0)::integer AS slots,
           COALESCE(sum(seconds_per_run * finished) / NULLIF(sum(finished), 0), 0)::double precision AS seconds_per_run
    FROM executors WHERE lease_until > now()
) f ON true
GROUP BY f.replicas, f.slots, f.seconds_per_run
"""
_COSTS = """
SELECT kind, count(*)::integer AS runs, avg(calls)::double precision AS calls, avg(seconds)::double precision AS seconds
FROM (SELECT kind, (convert_from(usage, 'UTF8')::jsonb ->> 'llm_calls')::integer AS calls,
             extract(epoch FROM finished_at - started_at) AS seconds
      FROM (SELECT * FROM runs ORDER BY run_id DESC LIMIT $2) newest
      WHERE state = 'succeeded' AND started_at IS NOT NULL AND usage <> '' ORDER BY run_id DESC LIMIT $1) r
GROUP BY kind
"""


class RunStore:
    """`stores.RunStore` on Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get(self, tenant_id: str, run_id: str) -> Run | None:
        """One run with its output; None when the tenant has none of that id."""
        row = await self._pool.fetchrow(
            f"SELECT {rows.RUN_COLUMNS}, r.output FROM runs r WHERE r.run_id = $1 AND r.tenant_id = $2", run_id, tenant_id
        )
        return rows.run(row) if row else None

    async def list(self, tenant_id: str, wanted: RunFilter, *, before: str | None, limit: int) -> Sequence[Run]:
        """Runs older than `before`, newest first, without their outputs."""
        state = wanted.state.value if wanted.state else None
        kind = wanted.kind.value if wanted.kind else None
        found = await self._pool.fetch(_LIST, tenant_id, before, wanted.session_id, state, kind, limit)
        return [rows.run(row) for row in found]

    async def request_cancel(self, tenant_id: str, run_id: str) -> bool:
        """Ask a running run's owner to end it; False when it does not run."""
        row = await self._pool.fetchrow(
            """UPDATE runs SET cancel_requested = true WHERE run_id = $1 AND tenant_id = $2 AND state = 'running'
               RETURNING run_id""",
            run_id,
            tenant_id,
        )
        return row is not None

    async def fence(self, run_id: str) -> int | None:
        """The fencing token of a queued run, None when it is not queued."""
        row = await self._pool.fetchrow("SELECT fence FROM runs WHERE run_id = $1 AND state = 'queued'", run_id)
        return row["fence"] if row else None

    async def end_queued(self, chunk: Chunk, *, fence: int, state: RunState, failure: Failure | None, usage: bytes) -> bool:
        """End a queued run with its last events; False when it was claimed, ended or noticed in the meantime."""
        row = await self._pool.fetchrow(
            _END_QUEUED,
            chunk.run_id,
            fence,
            chunk.first_seq - 1,
            state.value,
            chunk.last_seq,
            failure.code.value if failure else None,
            failure.message if failure else None,
            usage,
            b"\n".join(chunk.events),
        )
        return row is not None

    async def queue(self) -> QueueState:
        """Count the queue and the fleet."""
        row = await self._pool.fetchrow(_QUEUE)
        assert row is not None
        return QueueState(
            time=row["time"],
            queued={
                Priority.INTERACTIVE: row["interactive"],
                Priority.STANDARD: row["standard"],
                Priority.BACKGROUND: row["background"],
            },
            running=row["running"],
            oldest_wait_s=row["oldest"],
            replicas=row["replicas"],
            slots=row["slots"],
            seconds_per_run=row["seconds_per_run"],
        )

    async def costs(self, *, limit: int) -> Mapping[RunKind, KindCost]:
        """What the newest `limit` runs that succeeded took, by kind."""
        found = await self._pool.fetch(_COSTS, limit, NEWEST_RUNS)
        return {RunKind(row["kind"]): KindCost(row["runs"], row["calls"], row["seconds"]) for row in found}
