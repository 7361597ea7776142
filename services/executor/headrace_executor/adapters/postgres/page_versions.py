"""Pages as their readers see and undo them."""

from collections.abc import Sequence

import asyncpg
from headrace_postgres.pool import Pool

from headrace_executor.adapters.postgres import rows
from headrace_executor.adapters.postgres.page_values import content, read_values
from headrace_executor.pages import PageContent, PageVersion, Restored

LISTED_INSTRUCTION = 2_000
"""Characters of an instruction in a list."""

_COLUMNS = """v.page_id::text, v.version, v.version = p.current_version AS current, v.parent_version, v.title,
    v.run_id::text, COALESCE(v.session_id::text, '') AS session_id, v.created_at, v.usage"""
_WHOLE = f"{_COLUMNS}, v.instruction"
_BRIEF = f"{_COLUMNS}, left(v.instruction, {LISTED_INSTRUCTION}) AS instruction"
_CURRENT = "pages p JOIN page_versions v ON v.page_id = p.page_id AND v.version = p.current_version"
_ONE = """pages p JOIN page_versions v ON v.page_id = p.page_id AND v.version = COALESCE(NULLIF($3, 0), p.current_version)
    WHERE p.page_id = $1 AND p.tenant_id = $2"""
_LIST = f"""
SELECT {_BRIEF} FROM {_CURRENT}
WHERE p.tenant_id = $1 AND ($2::uuid IS NULL OR p.session_id = $2) AND ($3::uuid IS NULL OR p.page_id < $3)
ORDER BY p.page_id DESC LIMIT $4
"""
_VALUE = f"""
WITH held AS (
    SELECT v.page_id, v.digests[array_position(v.names, $4)] AS digest FROM {_ONE}
)
SELECT x.data FROM held LEFT JOIN page_values x ON x.page_id = held.page_id AND x.digest = held.digest ORDER BY x.part
"""


class PageStore:
    """`pages.PageStore` on Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, tenant_id: str, page_id: str, version: int) -> tuple[PageVersion, PageContent] | None:
        """A version, the current one for 0, with all that it holds."""
        row = await self._pool.fetchrow(f"SELECT {_WHOLE}, v.names, v.digests FROM {_ONE}", page_id, tenant_id, version)
        held = content(await read_values(self._pool, page_id, row["names"], row["digests"])) if row else None
        return (_version(row), held) if row and held else None

    async def value(self, tenant_id: str, page_id: str, version: int, name: str) -> Sequence[bytes] | None:
        """The parts of one value of a version; none when the version has no such, None when there is no such version."""
        found = await self._pool.fetch(_VALUE, page_id, tenant_id, version, name)
        return [row["data"] for row in found if row["data"] is not None] if found else None

    async def find(self, tenant_id: str, page_id: str) -> PageVersion | None:
        """A page's current version."""
        row = await self._pool.fetchrow(f"SELECT {_WHOLE} FROM {_ONE}", page_id, tenant_id, 0)
        return _version(row) if row else None

    async def list(
        self, tenant_id: str, *, session_id: str | None, before: str | None, limit: int
    ) -> Sequence[PageVersion]:
        """The current versions of pages older than `before`, the newest page first."""
        return [_version(row) for row in await self._pool.fetch(_LIST, tenant_id, session_id, before, limit)]

    async def versions(self, tenant_id: str, page_id: str) -> Sequence[PageVersion]:
        """All versions of a page, oldest first; none when there is no such page."""
        found = await self._pool.fetch(
            f"""SELECT {_BRIEF} FROM pages p JOIN page_versions v USING (page_id)
                WHERE p.page_id = $1 AND p.tenant_id = $2 ORDER BY v.version""",
            page_id,
            tenant_id,
        )
        return [_version(row) for row in found]

    async def restore(self, tenant_id: str, page_id: str, *, version: int, expected: int) -> Restored | None:
        """Make a version, the current one's parent for 0, the current one, if that is the expected one (0: any).

        The page's row is locked first: a version that is being made is either seen or waits.
        """
        async with self._pool.connection() as connection, connection.transaction():
            current = await connection.fetchval(
                "SELECT current_version FROM pages WHERE page_id = $1 AND tenant_id = $2 FOR NO KEY UPDATE",
                page_id,
                tenant_id,
            )
            if current is None:
                return None
            parent: int = await connection.fetchval(
                "SELECT parent_version FROM page_versions WHERE page_id = $1 AND version = $2", page_id, current
            )
            wanted = version or parent
            known = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM page_versions WHERE page_id = $1 AND version = $2)", page_id, wanted
            )
            done = known and (not expected or current == expected)
            if done:
                await connection.execute("UPDATE pages SET current_version = $2 WHERE page_id = $1", page_id, wanted)
            return Restored(current, parent, known, done)

    async def delete(self, tenant_id: str, page_id: str) -> bool:
        """Remove a page with all its versions; False when there is no such page."""
        row = await self._pool.fetchrow(
            "DELETE FROM pages WHERE page_id = $1 AND tenant_id = $2 RETURNING 1", page_id, tenant_id
        )
        return row is not None


def _version(row: asyncpg.Record) -> PageVersion:
    return PageVersion(
        page_id=row["page_id"],
        version=row["version"],
        current=row["current"],
        parent_version=row["parent_version"],
        instruction=row["instruction"],
        title=row["title"],
        run_id=row["run_id"],
        session_id=row["session_id"],
        created_at=row["created_at"],
        usage=rows.usage(row["usage"]),
    )
