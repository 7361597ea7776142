"""Conversations and their messages."""

from collections.abc import Sequence

import asyncpg
from headrace_postgres.pool import Pool

from headrace_executor.adapters.postgres.row_limits import counted
from headrace_executor.model import ClaimedRun
from headrace_executor.ports import Turn
from headrace_executor.runs.records import Session, SessionMessage

TODAY = "(now() AT TIME ZONE 'UTC')::date"
"""What `used_on` is set to."""
_COLUMNS = """s.session_id::text, s.tenant_id, s.title, s.metadata, s.created_at, COALESCE(
    (SELECT m.created_at FROM messages m WHERE m.session_id = s.session_id ORDER BY m.position DESC LIMIT 1), s.created_at
) AS updated_at"""
# What was said at the same moment or earlier, but not by the run itself.
_HISTORY = """
SELECT role, body FROM messages
WHERE session_id = $1 AND run_id <> $2 AND created_at <= $3 ORDER BY position DESC LIMIT $4
"""
_CREATE = f"""
WITH known AS (
    SELECT * FROM sessions WHERE tenant_id = $2 AND request_id = $5
), room AS (
    SELECT (SELECT count(*) FROM (SELECT FROM sessions WHERE tenant_id = $2 LIMIT $6) counted) < $6 AS is_free
), opened AS (
    INSERT INTO sessions (session_id, tenant_id, title, metadata, request_id)
    SELECT $1, $2, $3, $4, $5 FROM room WHERE is_free AND NOT EXISTS (SELECT FROM known) RETURNING *
)
SELECT {_COLUMNS} FROM (SELECT * FROM known UNION ALL SELECT * FROM opened) s
"""


class SessionStore:
    """`stores.SessionStore` and `ports.Sessions` on Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def history(self, run: ClaimedRun, *, limit: int) -> Sequence[Turn]:
        """The session's newest messages before this run, oldest first."""
        found = await self._pool.fetch(_HISTORY, run.session_id, run.run_id, run.created_at, limit)
        return [Turn(row["role"], row["body"]) for row in reversed(found)]

    async def create(
        self, session_id: str, *, tenant_id: str, request_id: str, title: str, metadata: bytes, limit: int
    ) -> Session | None:
        """Open a session, or find the one that was opened for that request; None when the tenant has `limit` already."""
        async with counted(self._pool, "sessions", tenant_id) as connection:
            row = await connection.fetchrow(_CREATE, session_id, tenant_id, title, metadata, request_id or None, limit)
        return _session(row) if row else None

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
