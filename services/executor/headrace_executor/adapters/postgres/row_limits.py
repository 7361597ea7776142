"""Limits on how many rows an owner has, which hold for writes of one moment too."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from headrace_postgres.pool import Connection, Pool


@asynccontextmanager
async def counted(
    pool: Pool, rows: Literal["pages", "sessions", "workflows", "memories"], owner_id: str
) -> AsyncIterator[Connection]:
    """A transaction that is alone in adding to these rows of the owner; a statement in it sees all that were added before.

    The owner is a tenant, or of memories a session. It waits for such a transaction of the same owner, and for no other.
    What is locked is a name and no row, so that readers and writers of rows that are there already go on.
    """
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtext($1), hashtext($2))", f"headrace_executor_{rows}", owner_id
        )
        yield connection
