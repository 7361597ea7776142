"""Conversations and their messages."""

from collections.abc import Sequence

import asyncpg
from headrace_postgres.pool import Pool

from headrace_executor.model import ClaimedRun
from headrace_executor.ports import Turn
from headrace_executor.runs import ids
from headrace_executor.runs.records import Session, SessionMessage

_COLUMNS = """s.session_id::text, s.tenant_id, s.title, s.metadata, s.created_at, COALESCE(
    (SELECT m.created_at FROM messages m WHERE m.session_id = s.session_id ORDER BY m.position DESC LIMIT 1), s.created_at
) AS updated_at"""
# What was said at the same moment or earlier, but not by the run itself.
_HISTORY = """
SELECT role, body FROM messages
WHERE session_id = $1 AND run_id <> $2 AND created_at <= $3 ORDER BY position DESC LIMIT $4
"""
# The first arm finds the session of every turn but the first. Of first turns at the same moment one inserts the row; the
# others wait for it and get its id.
_OF_THREAD = """
WITH known AS (
    SELECT session_id FROM sessions WHERE tenant_id = $1 AND (session_id = $3 OR thread_id = $2)
    ORDER BY (session_id = $3) IS TRUE DESC LIMIT 1
), opened AS (
    INSERT INTO sessions (session_id, tenant_id, title, thread_id)
    SELECT $4, $1, $5, $2 WHERE NOT EXISTS (SELECT FROM known)
    ON CONFLICT (tenant_id, thread_id) WHERE thread_id IS NOT NULL DO UPDATE SET thread_id = EXCLUDED.thread_id
    RETURNING session_id
)
SELECT session_id::text FROM known UNION ALL SELECT session_id::text FROM opened
"""


class SessionStore:
    """`stores.SessionStore` and `ports.Sessions` on Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def history(self, run: ClaimedRun, *, limit: int) -> Sequence[Turn]:
        """The session's newest messages before this run, oldest first."""
        found = await self._pool.fetch(_HISTORY, run.session_id, run.run_id, run.created_at, limit)
        return [Turn(row["role"], row["body"]) for row in reversed(found)]

    async def create(self, session_id: str, *, tenant_id: str, title: str, metadata: bytes) -> Session:
        """Open a session."""
        row = await self._pool.fetchrow(
            f"""WITH s AS (
                    INSERT INTO sessions (session_id, tenant_id, title, metadata) VALUES ($1, $2, $3, $4) RETURNING *
                ) SELECT {_COLUMNS} FROM s""",
            session_id,
            tenant_id,
            title,
            metadata,
        )
        assert row is not None
        return _session(row)

    async def of_thread(self, tenant_id: str, thread_id: str, *, new_id: str, title: str) -> str:
        """The id of the tenant's session of that name, or with that id; opened as `new_id` when there is none."""
        row = await self._pool.fetchrow(_OF_THREAD, tenant_id, thread_id, ids.parse(thread_id), new_id, title)
        assert row is not None
        return str(row["session_id"])

    async def get(self, tenant_id: str, session_id: str) -> Session | None:
        """One session; None when the tenant has none of that id."""
        row = await self._pool.fetchrow(
            f"SELECT {_COLUMNS} FROM sessions s WHERE s.session_id = $1 AND s.tenant_id = $2", session_id, tenant_id
        )
        return _session(row) if row else None

    async def list(self, tenant_id: str, *, before: str | None, limit: int) -> Sequence[Session]:
        """Sessions older than `before`, newest first."""
        found = await self._pool.fetch(
            f"""SELECT {_COLUMNS} FROM sessions s WHERE s.tenant_id = $1 AND ($2::uuid IS NULL OR s.session_id < $2)
                ORDER BY s.session_id DESC LIMIT $3""",
            tenant_id,
            before,
            limit,
        )
        return [_session(row) for row in found]

    async def delete(self, tenant_id: str, session_id: str) -> int | None:
        """Remove a session and its messages. Returns how many unfinished runs forbid it, None when there is none such.

        The row lock comes first: a submission to the session either is seen by the count or finds the session gone.
        """
        async with self._pool.connection() as connection, connection.transaction():
            row = await connection.fetchrow(
                "SELECT FROM sessions WHERE session_id = $1 AND tenant_id = $2 FOR UPDATE", session_id, tenant_id
            )
            if row is None:
                return None
            unfinished: int = await connection.fetchval(
                "SELECT count(*) FROM runs WHERE session_id = $1 AND finished_at IS NULL", session_id
            )
            if not unfinished:
                await connection.execute("DELETE FROM sessions WHERE session_id = $1", session_id)
            return unfinished

    async def messages(self, session_id: str, *, after: int, limit: int) -> Sequence[SessionMessage]:
        """A session's messages after a position, oldest first."""
        found = await self._pool.fetch(
            """SELECT position, message_id::text, role, body, run_id::text, created_at FROM messages
               WHERE session_id = $1 AND position > $2 ORDER BY position LIMIT $3""",
            session_id,
            after,
            limit,
        )
        return [
            SessionMessage(r["position"], r["message_id"], r["role"], r["body"], r["run_id"], r["created_at"])
            for r in found
        ]


def _session(row: asyncpg.Record) -> Session:
    return Session(row["session_id"], row["tenant_id"], row["title"], row["metadata"], row["created_at"], row["updated_at"])
