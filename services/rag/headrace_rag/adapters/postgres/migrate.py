"""Applies the numbered SQL files of `headrace_rag/migrations` with yoyo, one process at a time."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import asyncpg
import structlog

LOCK_KEY = 0x4845_4144_5F52_4147
"""The advisory lock that one migrating process holds; the letters of HEAD_RAG."""
LOCK_TIMEOUT_S = 120.0
"""How long a process waits for another one that migrates."""

log = structlog.get_logger()


@asynccontextmanager
async def migrated(dsn: str) -> AsyncIterator[None]:
    """Bring the schema up to date, and keep other processes from theirs until the block ends: LightRAG makes its own there.

    yoyo knows a lock of its own, a row that a killed process leaves behind for ever; the advisory lock goes with its
    connection, so it is the one that counts. Raises asyncpg's and yoyo's errors: no process starts without a schema.
    """
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY, timeout=LOCK_TIMEOUT_S)
        applied = await _applied(connection)
        if applied is None or not _known() <= applied:
            names = await asyncio.to_thread(_apply, dsn)
            log.info("migrated", migrations=names)
        yield
    finally:
        await connection.close()


def _folder() -> Any:
    return resources.files("headrace_rag") / "migrations"


def _known() -> frozenset[str]:
    names = (entry.name for entry in _folder().iterdir())
    return frozenset(n.removesuffix(".sql") for n in names if n.endswith(".sql") and not n.endswith(".rollback.sql"))


async def _applied(connection: Any) -> frozenset[str] | None:
    """The ids of the applied migrations without importing yoyo; None before the first."""
    with contextlib.suppress(asyncpg.UndefinedTableError):
        rows = await connection.fetch("SELECT migration_id FROM headrace_rag_migrations")
        return frozenset(row["migration_id"] for row in rows)
    return None


def _apply(dsn: str) -> list[str]:
    from yoyo import read_migrations
    from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
    from yoyo.connections import parse_uri

    class Backend(PostgresqlPsycopgBackend):
        log_table = "headrace_rag_migrations_log"
        lock_table = "headrace_rag_migrations_lock"
        version_table = "headrace_rag_migrations_version"

        def get_log_data(self, migration: Any = None, operation: str = "apply") -> dict[str, Any]:
            """Yoyo asks for the user's name, which a container's bare uid does not have, and resolves the host's."""
            now = datetime.now(UTC).replace(tzinfo=None)
            return {
                "id": os.urandom(16).hex(),
                "migration_id": migration.id if migration else None,
                "migration_hash": migration.hash if migration else None,
                "username": str(os.getuid()),
                "hostname": os.uname().nodename,
                "created_at_utc": now,
                "operation": operation,
            }

    uri = parse_uri(dsn)._replace(scheme="postgresql+psycopg")
    opened: Any = Backend  # its constructor is untyped
    with opened(uri, "headrace_rag_migrations") as backend:
        backend.init_database()
        backend.break_lock()
        pending = backend.to_apply(read_migrations(str(_folder())))
        backend.apply_migrations(pending)
        return [migration.id for migration in pending]
