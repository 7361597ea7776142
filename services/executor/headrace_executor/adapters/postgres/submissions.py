"""Accepts runs, several at once: run, session, message and first event in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from headrace_postgres.pool import Pool

from headrace_executor.adapters.postgres.sessions import TODAY
from headrace_executor.runs import ids
from headrace_executor.runs.records import Preflight, Submission

# A session that is named, by its id or by its thread's name, is used: that is written the first time of a day, and by
# nobody who would have to wait for its row. Of a thread's sessions the one with that id comes first.
_PREFLIGHT = f"""
WITH q AS (
    SELECT place, tenant_id, request_id, counted, CASE WHEN thread_id IS NULL THEN session_id ELSE (
        SELECT s.session_id FROM sessions s
        WHERE s.tenant_id = q.tenant_id AND (s.session_id = q.session_id OR s.thread_id = q.thread_id)
        ORDER BY (s.session_id = q.session_id) IS TRUE DESC LIMIT 1
    ) END AS session_id
    FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::boolean[])
      WITH ORDINALITY AS q(tenant_id, request_id, session_id, thread_id, counted, place)
), used AS (
    UPDATE sessions SET used_on = {TODAY} WHERE session_id IN (
        SELECT s.session_id FROM q JOIN sessions s ON s.session_id = q.session_id AND s.tenant_id = q.tenant_id
        WHERE s.used_on < {TODAY} FOR NO KEY UPDATE OF s SKIP LOCKED
    )
)
SELECT r.run_id::text, r.request_hash, s.session_id::text,
       (SELECT count(*) FROM runs WHERE state = 'queued') AS queued,
       (SELECT count(*) FROM runs WHERE state = 'queued' AND tenant_id = q.tenant_id) AS queued_of_tenant,
       CASE WHEN q.counted THEN
           (SELECT count(*) FROM (SELECT FROM sessions c WHERE c.tenant_id = q.tenant_id LIMIT $6) counted)
       END AS sessions_of_tenant
FROM q
LEFT JOIN runs r ON r.tenant_id = q.tenant_id AND r.request_id = q.request_id
LEFT JOIN sessions s ON s.session_id = q.session_id AND s.tenant_id = q.tenant_id
ORDER BY q.place
"""

# Ordered by the unique key, so that two executors with the same requests wait for each other instead of deadlocking.
_ACCEPT = """
WITH q AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::uuid[], $6::text[], $7::smallint[],
                         $8::text[], $9::text[], $10::bytea[], $11::boolean[], $12::text[], $13::uuid[], $14::text[],
                         $15::bytea[], $17::text[])
      AS q(run_id, tenant_id, request_id, request_hash, session_id, kind, priority, traceparent, owner, body, new_session,
           title, message_id, message, started, thread_id)
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
    INSERT INTO sessions (session_id, tenant_id, title, thread_id)
    SELECT session_id, tenant_id, title, thread_id FROM q JOIN made USING (run_id) WHERE new_session
    ORDER BY tenant_id, thread_id
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

    async def preflight(
        self, submissions: Sequence[Submission], *, count: frozenset[int], count_to: int
    ) -> Sequence[Preflight]:
        """What is known about each submission, in their order, and note that the sessions that they name are used.

        For those at the places in `count` the sessions of their tenant are counted, to `count_to` at most.
        """
        rows = await self._pool.fetch(
            _PREFLIGHT,
            [s.tenant_id for s in submissions],
            [s.request_id or None for s in submissions],
            [ids.parse(s.thread_id) if s.thread_id else None if s.new_session else s.session_id for s in submissions],
            [s.thread_id or None for s in submissions],
            [place in count for place in range(len(submissions))],
            count_to,
        )
        return [
            Preflight(
                existing_run=row["run_id"],
                existing_hash=row["request_hash"] or b"",
                session_id=row["session_id"],
                queued=row["queued"],
                queued_of_tenant=row["queued_of_tenant"],
                sessions_of_tenant=row["sessions_of_tenant"],
            )
            for row in rows
        ]

    async def accept(
        self, submissions: Sequence[Submission], *, owners: Sequence[str | None], deadline_s: float
    ) -> Mapping[str, datetime]:
        """Make the runs, all or none, and return when each was made.

        A run with an owner begins as claimed by it. A run that is missing in the answer met an earlier request with its
        request id. Raises `StoreRefused` when a session is gone by now, or somebody else has opened one of that thread.
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
            [s.thread_id or None for s in submissions],
        )
        return {row["run_id"]: row["created_at"] for row in rows}
