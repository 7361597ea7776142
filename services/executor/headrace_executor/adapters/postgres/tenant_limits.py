"""What is counted per tenant, and holds for writes of one moment: who adds a row counts them while nobody else adds one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from headrace_postgres.pool import Connection, Pool


@asynccontextmanager
async def counted(pool: Pool, rows: Literal["pages", "sessions", "workflows"], tenant_id: str) -> AsyncIterator[Connection]:
    """A transaction that is alone in adding to these rows of the tenant; a statement in it sees all that were added before.

    It waits for such a transaction of the same tenant, and for no other. What is locked is a name and no row, so that
    readers and writers of rows that are there already go on.
    """
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtext($1), hashtext($2))", f"headrace_executor_{rows}", tenant_id
        )
        yield connection
