"""Applies the numbered SQL files of a package's `migrations` folder with yoyo, one process at a time."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import asyncpg
import structlog

CONNECT_TIMEOUT_S = 10.0
"""Longest wait for the connection that holds the lock."""
LOCK_TIMEOUT_S = 120.0
"""How long a process waits for another one that migrates."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Schema:
    """What one service has in a database."""

    package: str
    """Whose `migrations` folder it is; `<package>_migrations` is the table of those that were applied."""
    lock_key: int
    """The advisory lock that one migrating process holds."""

    async def migrate(self, dsn: str) -> None:
        """Bring the database's schema up to date. Raises as `migrated` does."""
        async with self.migrated(dsn):
            pass

    @asynccontextmanager
    async def migrated(self, dsn: str) -> AsyncIterator[None]:
        """Bring the schema up to date, and keep other processes from theirs until the block ends.

        yoyo knows a lock of its own, a row that a killed process leaves behind for ever; the advisory lock goes with its
        connection, so it is the one that counts. Raises asyncpg's and yoyo's errors: no process starts without a schema.
        """
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", self.lock_key, timeout=LOCK_TIMEOUT_S)
            applied = await self._applied(connection)
            if applied is None or not self._known() <= applied:
                names = await asyncio.to_thread(_apply, dsn, folder=str(self._folder), table=self._table)
                log.info("migrated", migrations=names)
            yield
        finally:
            await connection.close()

    @property
    def _folder(self) -> Traversable:
        return resources.files(self.package) / "migrations"

    @property
    def _table(self) -> str:
        return f"{self.package}_migrations"

    def _known(self) -> frozenset[str]:
        names = (entry.name for entry in self._folder.iterdir())
        return frozenset(n.removesuffix(".sql") for n in names if n.endswith(".sql") and not n.endswith(".rollback.sql"))

    async def _applied(self, connection: Any) -> frozenset[str] | None:
        """The ids of the applied migrations without importing yoyo; None before the first."""
        with contextlib.suppress(asyncpg.UndefinedTableError):
            rows = await connection.fetch(f"SELECT migration_id FROM {self._table}")
            return frozenset(row["migration_id"] for row in rows)
        return None


def _apply(dsn: str, *, folder: str, table: str) -> list[str]:
    from yoyo import read_migrations
    from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
    from yoyo.connections import parse_uri

    class Backend(PostgresqlPsycopgBackend):
        log_table = f"{table}_log"
        lock_table = f"{table}_lock"
        version_table = f"{table}_version"

        def get_log_data(self, migration: Any = None, operation: str = "apply") -> dict[str, Any]:
            """Do without the user's name, which a container's bare uid lacks, and without resolving the host's."""
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
    with Backend(uri, table) as backend:  # type: ignore[no-untyped-call]
        backend.init_database()
        backend.break_lock()
        pending = backend.to_apply(read_migrations(folder))
        backend.apply_migrations(pending)
        return [migration.id for migration in pending]
