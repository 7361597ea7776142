"""`ports.WriterLock` by Postgres advisory locks, each on a connection of its own."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from headrace_postgres.pool import CONNECT_TIMEOUT_S, translated

from headrace_rag import policy
from headrace_rag.errors import StoreRefused, WorkspaceBusy
from headrace_rag.model import Space

RETRY_AFTER_S = 2.0
"""When to come back to a workspace that another writer has."""

_SETTINGS = {
    "application_name": "headrace-rag-writer",
    # A writer whose machine vanished holds its lock until the server notices: about 25 s.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


class PostgresWriterLock:
    """Holds a workspace. Two workspaces whose keys are equal by chance (1 in 2^64) only wait for each other."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    @asynccontextmanager
    async def hold(self, space: Space, *, wait_s: float) -> AsyncIterator[asyncio.Event]:
        """See `ports.WriterLock`."""
        until = asyncio.get_running_loop().time() + wait_s
        lost = asyncio.Event()
        with translated(StoreRefused):
            connection = await asyncpg.connect(
                self._dsn,
                timeout=min(CONNECT_TIMEOUT_S, wait_s),
                server_settings=_SETTINGS,
            )
        connection.add_termination_listener(lambda _: lost.set())
        try:
            await _lock(connection, space, wait_s=until - asyncio.get_running_loop().time())
            yield lost
        finally:
            await _close(connection)


async def _lock(connection: Any, space: Space, *, wait_s: float) -> None:
    if wait_s <= 0:
        raise WorkspaceBusy(RETRY_AFTER_S)
    with translated(StoreRefused):
        try:
            await connection.execute("SELECT set_config('lock_timeout', $1, false)", f"{max(1, int(wait_s * 1000))}ms")
            await connection.execute("SELECT pg_advisory_lock($1)", _key(space), timeout=wait_s + CONNECT_TIMEOUT_S)
        except asyncpg.LockNotAvailableError as error:
            raise WorkspaceBusy(RETRY_AFTER_S) from error


async def _close(connection: Any) -> None:
    """Give the lock back by closing; a server that does not answer is left alone."""
    try:
        await asyncio.shield(connection.close(timeout=CONNECT_TIMEOUT_S))
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


def _key(space: Space) -> int:
    digest = hashlib.blake2b(policy.index_name(space).encode(), digest_size=8, person=b"rag-writer").digest()
    return int.from_bytes(digest, "big", signed=True)
