"""Connections to Postgres, and the one place where asyncpg's errors become ours."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeAlias

import asyncpg
import tenacity
from asyncpg.pool import PoolConnectionProxy

from headrace_postgres.errors import StoreAway, StoreRefused

CONNECT_TIMEOUT_S = 5.0
"""Longest wait for a new connection."""
IDLE_S = 300.0
"""How long a connection beyond the first is kept without work."""

_AWAY = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.ObjectInUseError,
    asyncpg.LockNotAvailableError,
)

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"


@contextmanager
def translated(refused: type[StoreRefused] = StoreRefused) -> Iterator[None]:
    """What goes wrong with Postgres inside the block leaves it as `StoreAway` or as `refused`."""
    try:
        yield
    except _AWAY as error:
        if isinstance(error, ValueError):  # a value that asyncpg cannot encode
            raise refused(f"{type(error).__name__}: {error}") from error
        raise StoreAway from error
    except asyncpg.PostgresError as error:
        raise refused(f"{type(error).__name__}: {error}") from error


async def _as_it_was(_: object) -> None:
    """No statement of ours changes a session's state, so a returned connection needs no reset."""


class Pool:
    """A bounded pool. Every statement has a deadline, and none may change its session's state but with SET LOCAL."""

    def __init__(
        self, pool: "asyncpg.Pool[asyncpg.Record]", statement_timeout_s: float, refused: type[StoreRefused]
    ) -> None:
        self._pool = pool
        self._timeout_s = statement_timeout_s
        self._refused = refused

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for the block. Raises `StoreAway` and `StoreRefused` for what goes wrong inside, too."""
        try:
            connection = await self._pool.acquire(timeout=self._timeout_s)
        except (*_AWAY, asyncpg.PostgresError) as error:  # whatever refuses a connection may let us in later
            raise StoreAway from error
        with translated(self._refused):
            try:
                yield connection
            finally:
                await self._pool.release(connection)

    async def fetch(self, query: str, *args: object) -> "list[asyncpg.Record]":
        """All rows of one statement, which is a transaction of its own."""
        async with self.connection() as connection:
            return await connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: object) -> "asyncpg.Record | None":
        """The first row, None when there is none."""
        async with self.connection() as connection:
            return await connection.fetchrow(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        """Run one statement and return its status, such as DELETE 1."""
        async with self.connection() as connection:
            return await connection.execute(query, *args)


@asynccontextmanager
async def open_pool(
    dsn: str,
    *,
    application: str,
    size: int,
    statement_timeout_s: float,
    wait_s: float,
    fixed_plans: bool = False,
    refused: type[StoreRefused] = StoreRefused,
) -> AsyncIterator[Pool]:
    """Open a pool, waiting up to `wait_s` for a Postgres that is still starting. Raises `StoreAway`.

    `application` is its name in pg_stat_activity; `refused` is what its statements raise as `StoreRefused`. With
    `fixed_plans` a statement is planned once per connection, through indexes. For the few large statements of the hot
    path: planning them costs more than running them.
    """
    settings = {"application_name": application, "jit": "off"}
    if fixed_plans:
        settings |= {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(_AWAY),
        stop=tenacity.stop_after_delay(wait_s),
        wait=tenacity.wait_exponential_jitter(initial=0.1, max=2.0),
    )
    try:
        pool: asyncpg.Pool[asyncpg.Record] = await retrying(_create, dsn, size, statement_timeout_s, settings)
    except tenacity.RetryError as error:
        raise StoreAway("the database did not answer at start") from error.last_attempt.exception()
    try:
        yield Pool(pool, statement_timeout_s, refused)
    finally:
        try:
            await asyncio.wait_for(pool.close(), CONNECT_TIMEOUT_S)
        except (TimeoutError, OSError):
            pool.terminate()


async def _create(
    dsn: str, size: int, statement_timeout_s: float, settings: dict[str, str]
) -> "asyncpg.Pool[asyncpg.Record]":
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=statement_timeout_s,
        max_inactive_connection_lifetime=IDLE_S,
        reset=_as_it_was,
        server_settings=settings,
    )
