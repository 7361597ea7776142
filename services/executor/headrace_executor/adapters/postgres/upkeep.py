"""What nobody's request pays for: notices to the queue, partitions, retention."""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import accumulate

from headrace_postgres.pool import Pool

from headrace_executor.adapters.postgres.claims import TURNS
from headrace_executor.adapters.postgres.usage import ADD_DAYS, FIGURES, day_of, models
from headrace_executor.model import Priority
from headrace_executor.runs import ids
from headrace_executor.runs.records import Notice, StoredPages, StoredSessions, Waiting

LOCK_TIMEOUT = "1s"
"""How long adding or dropping a partition may wait for the log's readers and writers; then it is tried again later."""
DELETE_BATCH = 1_000
"""Rows that one retention statement removes."""
HELD_BATCH = 10_000
"""Messages and memories that sessions removed by one statement take along; one that holds more goes alone."""
GROWN_DAYS = 1
GROWN_RUNS = 20_000
"""How far back, and to how many runs at most, sessions that have grown are looked for."""

_WAITING = f"""
SELECT t.run_id::text, t.fence, t.position, t.priority, r.noticed_position AS noticed
FROM (SELECT run_id, fence, priority, row_number() OVER (ORDER BY priority, share, run_id) AS position
      FROM ({TURNS}) q ORDER BY position LIMIT $1) t
JOIN runs r USING (run_id)
WHERE r.created_at < now() - $3 * interval '1 second'
  AND (r.noticed_at IS NULL OR r.noticed_at < now() - $2 * interval '1 second')
"""
_NOTICE = """
WITH n AS (
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::bytea[]) AS n(run_id, fence, position, event)
), free AS (
    SELECT r.run_id FROM runs r JOIN n USING (run_id)
    WHERE r.fence = n.fence AND r.state = 'queued' FOR NO KEY UPDATE OF r SKIP LOCKED
), told AS (
    UPDATE runs r SET last_seq = r.last_seq + 1, noticed_position = n.position, noticed_at = now()
    FROM n JOIN free USING (run_id) WHERE r.run_id = n.run_id
    RETURNING r.run_id, r.last_seq, n.event
)
INSERT INTO events (run_id, first_seq, last_seq, final, data)
SELECT run_id, last_seq, last_seq, false, event FROM told RETURNING run_id::text
"""
# What a run cost outlives it: it leaves runs and is added to its day in one statement, so that it always counts once.
_EXPIRE_RUNS = f"""
WITH gone AS (
    DELETE FROM runs WHERE run_id IN
        (SELECT run_id FROM runs WHERE run_id < $1 AND finished_at IS NOT NULL ORDER BY run_id LIMIT $2)
    RETURNING run_id, tenant_id, kind, usage
), spent AS (
    SELECT g.tenant_id, {day_of("g.run_id")} AS day, g.kind, m.key AS model, {FIGURES}
    FROM gone g CROSS JOIN LATERAL {models("g.usage")} m
), added AS ({
    ADD_DAYS.format(
        rows='''SELECT tenant_id, day, kind, model, sum(llm_calls), sum(cached_calls), sum(prompt_tokens),
                   sum(completion_tokens), CASE WHEN bool_and(cost_usd IS NOT NULL) THEN sum(cost_usd) END
            FROM spent GROUP BY tenant_id, day, kind, model ORDER BY tenant_id, day, kind, model'''
    )
})
SELECT run_id FROM gone
"""
# The rows' locks come first: what is submitted to a session afterwards finds it gone, and what was submitted before is
# seen by the removal, a statement of its own. Who is at work on a session is passed over.
_UNUSED = """
WITH unused AS (
    SELECT session_id, used_on FROM sessions WHERE used_on < $1 ORDER BY used_on LIMIT $2 FOR UPDATE SKIP LOCKED
)
SELECT session_id::text,
       (SELECT count(*) FROM messages m WHERE m.session_id = u.session_id)
       + (SELECT count(*) FROM memories m WHERE m.session_id = u.session_id) AS held
FROM unused u ORDER BY used_on
"""
_REMOVE_SESSIONS = """
DELETE FROM sessions s WHERE session_id = ANY($1::uuid[])
  AND NOT EXISTS (SELECT FROM runs r WHERE r.session_id = s.session_id AND r.finished_at IS NULL)
RETURNING 1
"""
# Only sessions that runs have come to can have grown. A session's newest message that is one too many is `last`.
_TRIM_MESSAGES = """
WITH grown AS (
    SELECT DISTINCT session_id FROM (
        SELECT session_id FROM runs WHERE run_id >= $1 ORDER BY run_id DESC LIMIT $3
    ) newest WHERE session_id IS NOT NULL
), long AS (
    SELECT session_id, (
        SELECT position FROM messages m WHERE m.session_id = g.session_id ORDER BY position DESC OFFSET $2 LIMIT 1
    ) AS last FROM grown g
), old AS (
    SELECT m.session_id, m.position FROM long l
    JOIN messages m ON m.session_id = l.session_id AND m.position <= l.last
    LIMIT $4 FOR UPDATE OF m SKIP LOCKED
)
DELETE FROM messages m USING old o WHERE m.session_id = o.session_id AND m.position = o.position RETURNING 1
"""
_SESSIONS = """
SELECT COALESCE(sum(sessions), 0)::bigint AS sessions, COALESCE(max(sessions), 0) AS most
FROM (SELECT count(*) AS sessions FROM sessions GROUP BY tenant_id) t
"""
_PAGES = """
SELECT COALESCE(sum(pages), 0)::bigint AS pages, COALESCE(max(pages), 0) AS most,
       COALESCE(sum(size_bytes), 0)::bigint AS size_bytes
FROM (SELECT count(*) AS pages, sum(size_bytes) AS size_bytes FROM pages GROUP BY tenant_id) t
"""
_PARTITIONS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'events'::regclass AND c.relname ~ '^events_[0-9]{8}$'
"""


class UpkeepStore:
    """`stores.UpkeepStore` on Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def waiting(self, *, limit: int, quiet_s: float, waited_s: float) -> Sequence[Waiting]:
        """Of the first `limit` queued runs those that waited `waited_s` seconds and heard nothing for `quiet_s`."""
        found = await self._pool.fetch(_WAITING, limit, quiet_s, waited_s)
        return [
            Waiting(row["run_id"], row["fence"], row["position"], Priority(row["priority"]), row["noticed"])
            for row in found
        ]

    async def notice(self, notices: Sequence[Notice]) -> Sequence[str]:
        """Append an event to each run that still waits, and return those."""
        found = await self._pool.fetch(
            _NOTICE,
            [n.run_id for n in notices],
            [n.fence for n in notices],
            [n.position for n in notices],
            [n.event for n in notices],
        )
        return [row[0] for row in found]

    async def overdue(self, *, limit: int) -> Sequence[tuple[str, str]]:
        """Tenant and id of queued runs whose deadline has passed, of the `limit` oldest."""
        found = await self._pool.fetch(
            """SELECT tenant_id, run_id::text FROM runs WHERE state = 'queued' AND deadline < now() LIMIT $1""", limit
        )
        return [(row[0], row[1]) for row in found]

    async def partition(self, today: date, *, ahead_days: int, keep_days: int) -> tuple[int, int]:
        """Add the partitions of the next days and drop those that are too old. Returns how many of each."""
        existing = {row[0] for row in await self._pool.fetch(_PARTITIONS)}
        wanted = [today + timedelta(days=n) for n in range(-1, ahead_days + 1)]
        new = [day for day in wanted if _name(day) not in existing]
        oldest = _name(today - timedelta(days=keep_days))
        old = sorted(name for name in existing if name < oldest)
        for day in new:
            await self._add(day)
        for name in old:
            await self._drop(name)
        return len(new), len(old)

    async def pages(self) -> StoredPages:
        """How much the pages of all tenants are: one look at the short row of each, and none at what they hold."""
        row = await self._pool.fetchrow(_PAGES)
        assert row is not None
        return StoredPages(row["pages"], row["most"], row["size_bytes"])

    async def sessions(self) -> StoredSessions:
        """How many sessions all tenants have, from the index of them."""
        row = await self._pool.fetchrow(_SESSIONS)
        assert row is not None
        return StoredSessions(row["sessions"], row["most"])

    async def _add(self, day: date) -> None:
        """Make the partition beside the log, with what the default one has of it, and attach it."""
        low, high = ids.first_of(day), ids.first_of(day + timedelta(days=1))
        name = _name(day)
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('headrace_executor_partitions'))")
            if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name):
                return
            await connection.execute(f"CREATE TABLE {name} (LIKE events INCLUDING ALL)")
            moved = await connection.execute(
                f"""WITH moved AS (DELETE FROM events_default WHERE run_id >= '{low}' AND run_id < '{high}' RETURNING *)
                    INSERT INTO {name} SELECT * FROM moved"""
            )
            assert moved.startswith("INSERT")
            await connection.execute(f"ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')")

    async def _drop(self, name: str) -> None:
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            await connection.execute(f"DROP TABLE IF EXISTS {name}")

    async def expire(self, today: date, *, keep_log_days: int, keep_run_days: int, keep_usage_days: int) -> int:
        """Remove old rows that no partition holds: logs in the default one, finished runs, usage, long-dead executors.

        What the runs cost is kept by day, kind and model.
        """
        log_end = ids.first_of(today - timedelta(days=keep_log_days))
        run_end = ids.first_of(today - timedelta(days=keep_run_days))
        await self._pool.fetch("DELETE FROM executors WHERE lease_until < now() - interval '1 hour'")
        logs = await self._pool.fetch(
            """DELETE FROM events_default WHERE (run_id, last_seq) IN
               (SELECT run_id, last_seq FROM events_default WHERE run_id < $1 LIMIT $2) RETURNING 1""",
            log_end,
            DELETE_BATCH,
        )
        runs = await self._pool.fetch(_EXPIRE_RUNS, run_end, DELETE_BATCH)
        days = await self._pool.fetch(
            """DELETE FROM usage_days WHERE (tenant_id, day, kind, model) IN
               (SELECT tenant_id, day, kind, model FROM usage_days WHERE day < $1 LIMIT $2) RETURNING 1""",
            today - timedelta(days=keep_usage_days),
            DELETE_BATCH,
        )
        return len(logs) + len(runs) + len(days)

    async def expire_sessions(self, today: date, *, keep_days: int) -> int:
        """Remove sessions that nobody has used since `keep_days` ago, the longest unused first, with what they hold.

        At most a batch, and none that a queued or running run belongs to. Returns how many.
        """
        async with self._pool.connection() as connection, connection.transaction():
            unused = await connection.fetch(_UNUSED, today - timedelta(days=keep_days), DELETE_BATCH)
            held = accumulate(row["held"] for row in unused)
            first = [row["session_id"] for row, sum_ in zip(unused, held, strict=True) if sum_ <= HELD_BATCH]
            removed = first or [row["session_id"] for row in unused[:1]]
            return len(await connection.fetch(_REMOVE_SESSIONS, removed)) if removed else 0

    async def trim_messages(self, today: date, *, keep: int) -> int:
        """Remove the oldest messages, a batch at most, of sessions with more than `keep` that runs have come to lately."""
        since = ids.first_of(today - timedelta(days=GROWN_DAYS))
        return len(await self._pool.fetch(_TRIM_MESSAGES, since, keep, GROWN_RUNS, DELETE_BATCH))


def _name(day: date) -> str:
    return f"events_{day:%Y%m%d}"
