"""The queue: who is next, leases, and runs that go back."""

from collections.abc import Sequence

from headrace_postgres.pool import Pool

from headrace_executor.adapters.postgres import rows
from headrace_executor.runs.records import Beat, Claim

# The order of claims: priority, then max-min fair between tenants (a tenant's k-th waiting run counts as its running runs
# plus k), then age. What a dead owner left counts as already running, so it goes first within its priority.
TURNS = """
    SELECT run_id, fence, priority, rank + COALESCE(busy.runs, 0) AS share, 'queued' AS state
    FROM (SELECT run_id, fence, tenant_id, priority,
                 row_number() OVER (PARTITION BY priority, tenant_id ORDER BY run_id) AS rank
          FROM runs WHERE state = 'queued') waiting
    LEFT JOIN (SELECT tenant_id, count(*) AS runs FROM runs WHERE state = 'running' GROUP BY tenant_id) busy
      USING (tenant_id)
"""

# More candidates than places, because another executor may be locking the first of them at this moment.
_CLAIM = f"""
WITH me AS (
    SELECT FROM executors WHERE executor_id = $1 AND lease_until > now()
), turns AS (
    {TURNS}
    UNION ALL
    SELECT run_id, fence, priority, 0, 'running' FROM runs r
    WHERE state = 'running'
      AND NOT EXISTS (SELECT FROM executors e WHERE e.executor_id = r.owner AND e.lease_until > now())
    ORDER BY priority, share, run_id LIMIT $2 + 64
), mine AS (
    SELECT r.run_id, r.state
    FROM turns t JOIN runs r ON r.run_id = t.run_id AND r.fence = t.fence AND r.state = t.state
    WHERE EXISTS (SELECT FROM me)
    ORDER BY t.priority, t.share, t.run_id LIMIT $2
    FOR NO KEY UPDATE OF r SKIP LOCKED
)
UPDATE runs r SET
    state = 'running', owner = $1, fence = r.fence + 1, attempt = r.attempt + 1,
    takeovers = r.takeovers + (mine.state = 'running')::integer, started_at = COALESCE(r.started_at, now())
FROM mine WHERE r.run_id = mine.run_id
RETURNING r.run_id::text, r.tenant_id, r.session_id::text, r.kind, r.priority, r.attempt, r.fence, r.created_at, r.body,
    r.traceparent, r.last_seq, r.takeovers, r.cancel_requested,
    extract(epoch FROM r.deadline - now())::double precision AS left_s
"""

_BEAT = """
WITH beat AS (
    UPDATE executors SET lease_until = now() + $2 * interval '1 second', seconds_per_run = $3, finished = $4
    WHERE executor_id = $1 AND lease_until > now() RETURNING 1
)
SELECT EXISTS (SELECT FROM beat) AS held,
       ARRAY(SELECT run_id::text FROM runs WHERE state = 'running' AND owner = $1 AND cancel_requested) AS cancelled
"""


class ClaimStore:
    """`stores.ClaimStore` on Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def register(self, executor_id: str, *, lease_s: float, slots: int) -> None:
        """Begin a lease under a new id."""
        await self._pool.fetch(
            "INSERT INTO executors (executor_id, lease_until, slots) VALUES ($1, now() + $2 * interval '1 second', $3)",
            executor_id,
            lease_s,
            slots,
        )

    async def renew(self, executor_id: str, *, lease_s: float, seconds_per_run: float, finished: int) -> Beat:
        """Renew the lease on all runs of this executor, unless it has lapsed."""
        row = await self._pool.fetchrow(_BEAT, executor_id, lease_s, seconds_per_run, finished)
        assert row is not None
        return Beat(row["held"], row["cancelled"])

    async def resign(self, executor_id: str) -> None:
        """End the lease now: what is still ours others may claim at once."""
        await self._pool.fetch("DELETE FROM executors WHERE executor_id = $1", executor_id)

    async def claim(self, executor_id: str, *, limit: int) -> Sequence[Claim]:
        """Own up to `limit` runs from now on: those whose turn it is, and those of dead owners."""
        return [rows.claim(row) for row in await self._pool.fetch(_CLAIM, executor_id, limit)]

    async def give_up(self, run_id: str, *, fence: int) -> None:
        """Put a run back that went wrong in a way that its log cannot tell. It counts as a takeover."""
        await self._pool.fetch(
            """UPDATE runs SET state = 'queued', owner = NULL, takeovers = takeovers + 1
               WHERE run_id = $1 AND fence = $2 AND state = 'running'""",
            run_id,
            fence,
        )
