"""Accepts runs, several at once: run, session, message and first event in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from headrace_postgres.pool import Pool

from headrace_executor.runs.records import Preflight, Submission

_PREFLIGHT = """
SELECT r.run_id::text, r.request_hash, s.session_id IS NOT NULL AS session_found,
       (SELECT count(*) FROM runs WHERE state = 'queued') AS queued,
       (SELECT count(*) FROM runs WHERE state = 'queued' AND tenant_id = q.tenant_id) AS queued_of_tenant
FROM unnest($1::text[], $2::text[], $3::uuid[]) WITH ORDINALITY AS q(tenant_id, request_id, session_id, place)
LEFT JOIN runs r ON r.tenant_id = q.tenant_id AND r.request_id = q.request_id
LEFT JOIN sessions s ON s.session_id = q.session_id AND s.tenant_id = q.tenant_id
ORDER BY q.place
"""

# Ordered by the unique key, so that two executors with the same requests wait for each other instead of deadlocking.
_ACCEPT = """
WITH q AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::uuid[], $6::text[], $7::smallint[],
                         $8::text[], $9::text[], $10::bytea[], $11::boolean[], $12::text[], $13::uuid[], $14::text[],
                         $15::bytea[])
      AS q(run_id, tenant_id, request_id, request_hash, session_id, kind, priority, traceparent, owner, body, new_session,
           title, message_id, message, started)
), made AS (
    INSERT INTO runs (run_id, tenant_id, request_id, request_hash, session_id, kind, priority, traceparent, body, last_seq,
                      deadline, state, owner, fence, attempt, started_at)
    SELECT run_id, tenant_id, request_id, request_hash, session_id, kind, priority, traceparent, body, 1,
           now() + $16 * interval '1 second', CASE WHEN owner IS NULL THEN 'queued' ELSE 'running' END, owner,
           (owner IS NOT NULL)::integer, (owner IS NOT NULL)::integer, CASE WHEN owner IS NOT NULL THEN now() END
    FROM q ORDER BY tenant_id, request_id
    ON CONFLICT (tenant_id, request_id) DO NOTHING
    RETURNING run_id, created_at
), opened AS (
    INSERT INTO sessions (session_id, tenant_id, title)
    SELECT session_id, tenant_id, title FROM q JOIN made USING (run_id) WHERE new_session
), said AS (
    INSERT INTO messages (message_id, session_id, run_id, role, body)
    SELECT message_id, session_id, run_id, 'user', message FROM q JOIN made USING (run_id) WHERE message IS NOT NULL
), logged AS (
    INSERT INTO events (run_id, first_seq, last_seq, final, data)
    SELECT run_id, 1, 1, false, started FROM q JOIN made USING (run_id)
)
SELECT run_id::text, created_at FROM made
"""


class SubmissionStore:
    """`stores.SubmissionStore` on Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def preflight(self, submissions: Sequence[Submission]) -> Sequence[Preflight]:
        """What is known about each submission, in their order."""
        rows = await self._pool.fetch(
            _PREFLIGHT,
            [s.tenant_id for s in submissions],
            [s.request_id or None for s in submissions],
            [None if s.new_session else s.session_id for s in submissions],
        )
        return [
            Preflight(
                existing_run=row["run_id"],
                existing_hash=row["request_hash"] or b"",
                session_found=row["session_found"],
                queued=row["queued"],
                queued_of_tenant=row["queued_of_tenant"],
            )
            for row in rows
        ]

    async def accept(
        self, submissions: Sequence[Submission], *, owners: Sequence[str | None], deadline_s: float
    ) -> Mapping[str, datetime]:
        """Make the runs, all or none, and return when each was made.

        A run with an owner begins as claimed by it. A run that is missing in the answer met an earlier request with its
        request id. Raises `StoreRefused` when a session is gone by now.
        """
        rows = await self._pool.fetch(
            _ACCEPT,
            [s.run_id for s in submissions],
            [s.tenant_id for s in submissions],
            [s.request_id or None for s in submissions],
            [s.request_hash for s in submissions],
            [s.session_id for s in submissions],
            [s.kind.value for s in submissions],
            [int(s.priority) for s in submissions],
            [s.traceparent for s in submissions],
            list(owners),
            [s.body for s in submissions],
            [s.new_session for s in submissions],
            [s.title for s in submissions],
            [s.run_id for s in submissions],
            [s.message for s in submissions],
            [s.started for s in submissions],
            deadline_s,
        )
        return {row["run_id"]: row["created_at"] for row in rows}
