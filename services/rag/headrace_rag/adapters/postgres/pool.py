"""Connections to Postgres, and the one place where asyncpg's errors become ours."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import asyncpg
import tenacity
from asyncpg.pool import PoolConnectionProxy

from headrace_rag.errors import StoreAway, StoreRefused

CONNECT_TIMEOUT_S = 5.0
"""Longest wait for a new connection."""

AWAY = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
)

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"


@contextmanager
def translated() -> Iterator[None]:
    """What goes wrong with Postgres inside the block leaves it as `StoreAway` or `StoreRefused`."""
    try:
        yield
    except AWAY as error:
        raise StoreAway from error
    except asyncpg.PostgresError as error:
        raise StoreRefused(f"{type(error).__name__}: {error}") from error


class Pool:
    """A bounded pool. Every statement has a deadline."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", statement_timeout_s: float) -> None:
        self._pool = pool
        self._timeout_s = statement_timeout_s

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for the block. Raises `StoreAway` and `StoreRefused` for what goes wrong inside, too."""
        with translated():
            async with self._pool.acquire(timeout=self._timeout_s) as connection:
                yield connection

    async def fetch(self, query: str, *args: Any) -> "list[asyncpg.Record]":
        """All rows of one statement, which is a transaction of its own."""
        async with self.connection() as connection:
            return await connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: Any) -> "asyncpg.Record | None":
        """The first row, None when there is none."""
        async with self.connection() as connection:
            return await connection.fetchrow(query, *args)

    async def execute(self, query: str, *args: Any) -> str:
        """Run one statement and return its status, such as DELETE 1."""
        async with self.connection() as connection:
            return await connection.execute(query, *args)


async def wait_until_there(dsn: str, *, wait_s: float) -> None:
    """Wait for a Postgres that is still starting. Raises `StoreAway` after `wait_s` seconds."""

    async def connect() -> None:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
        await connection.close()

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(AWAY),
        stop=tenacity.stop_after_delay(wait_s),
        wait=tenacity.wait_exponential_jitter(initial=0.1, max=2.0),
    )
    try:
        await retrying(connect)
    except tenacity.RetryError as error:
        raise StoreAway("the database did not answer at start") from error.last_attempt.exception()


@asynccontextmanager
async def open_pool(dsn: str, *, size: int, statement_timeout_s: float) -> AsyncIterator[Pool]:
    """A pool of at most `size` connections. Raises `StoreAway`."""
    with translated():
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=statement_timeout_s,
            max_inactive_connection_lifetime=300,
            server_settings={"application_name": "headrace-rag", "jit": "off"},
        )
    try:
        yield Pool(pool, statement_timeout_s)
    finally:
        try:
            await asyncio.wait_for(pool.close(), CONNECT_TIMEOUT_S)
        except (TimeoutError, OSError):
            pool.terminate()
