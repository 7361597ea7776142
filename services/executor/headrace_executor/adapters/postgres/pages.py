"""Pages as runs make, change and read them: `ports.Pages`."""

import asyncio
import hashlib
from collections.abc import Mapping

import asyncpg
import orjson
from headrace_postgres.pool import Pool

from headrace_executor import metrics
from headrace_executor.adapters.postgres import rows
from headrace_executor.adapters.postgres.page_values import NODE, content, read_values
from headrace_executor.adapters.postgres.parts import cut
from headrace_executor.adapters.postgres.row_limits import counted
from headrace_executor.errors import LeaseLost, PageMoved, RunFailed, StoreRefused
from headrace_executor.model import ClaimedRun, FailureCode
from headrace_executor.ports import PageDraft, PageRef, StoredPage
from headrace_executor.runs import ids

MAX_VERSIONS = 200
"""Versions of one page that are kept."""
MAX_PAGE_BYTES = 64 * 1024 * 1024
"""Bytes of all that a page's versions hold; what they share counts once."""

# The run is locked first: who has claimed it meanwhile, or ends it at this moment, is either seen or waits for us.
_MINE = """
WITH mine AS (
    SELECT FROM runs WHERE run_id = $1::uuid AND fence = $2 AND tenant_id = $3 AND state = 'running' FOR NO KEY UPDATE
), made AS (
    SELECT page_id, version, parent_version FROM page_versions WHERE run_id = $1
)
"""
_NEW = """
, page AS (
    INSERT INTO pages (page_id, tenant_id, session_id, current_version, last_version, size_bytes)
    SELECT $4::uuid, $3, $5::uuid, 1, 1, $6::bigint FROM mine
    WHERE NOT EXISTS (SELECT FROM made) AND $6 <= $16::bigint
      AND (SELECT count(*) FROM pages WHERE tenant_id = $3) < $17::bigint
    RETURNING page_id, last_version
)
"""
# The page's row is locked by the update: of two versions of one moment the second finds that the page has moved.
_NEXT = """
, page AS (
    UPDATE pages p SET
        last_version = p.last_version + 1, current_version = p.last_version + 1, size_bytes = p.size_bytes + $6::bigint
    FROM mine
    WHERE p.page_id = $4 AND p.tenant_id = $3 AND p.current_version = $7::integer
      AND p.size_bytes + $6 <= $16::bigint AND NOT EXISTS (SELECT FROM made)
    RETURNING p.page_id, p.last_version
)
"""
_VERSION = """
, versioned AS (
    INSERT INTO page_versions
        (page_id, version, parent_version, run_id, session_id, instruction, title, usage, names, digests)
    SELECT page_id, last_version, $7::integer, $1, $5::uuid, $8::text, $9::text, $10::bytea, $11::text[], $12::bytea[]
    FROM page
), stored AS (
    INSERT INTO page_values (page_id, digest, part, data)
    SELECT page.page_id, v.digest, v.part, v.data
    FROM page, unnest($13::bytea[], $14::smallint[], $15::bytea[]) AS v(digest, part, data)
    ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT FROM mine) AS owned, COALESCE(made.page_id, page.page_id)::text AS page_id,
       COALESCE(made.version, page.last_version) AS version, COALESCE(made.parent_version, $7::integer) AS parent_version,
       made.version IS NOT NULL AS again
FROM (VALUES (1)) one LEFT JOIN made ON true LEFT JOIN page ON true
"""
_MADE = f"{_MINE} {_NEW} {_VERSION}"
_CHANGED = f"{_MINE} {_NEXT} {_VERSION}"
# The current version and the one that an undo goes to always stay.
_TRIM = """
WITH old AS (
    DELETE FROM page_versions v USING pages p, page_versions c
    WHERE p.page_id = $1 AND v.page_id = $1 AND c.page_id = $1 AND c.version = p.current_version
      AND v.version <= p.last_version - $2::integer AND v.version NOT IN (c.version, c.parent_version)
    RETURNING v.digests
)
SELECT array_agg(DISTINCT digest) AS digests FROM old, unnest(digests) AS digest
"""
_DROP_VALUES = """
DELETE FROM page_values WHERE page_id = $1 AND digest = ANY($2::bytea[])
  AND digest NOT IN (SELECT unnest(digests) FROM page_versions WHERE page_id = $1)
"""
_SIZE = """
UPDATE pages SET size_bytes = (SELECT sum(octet_length(data)) FROM page_values WHERE page_id = $1) WHERE page_id = $1
"""
_LOAD = """
SELECT v.page_id::text, v.version, v.parent_version, v.instruction, v.usage, v.names, v.digests
FROM pages p
JOIN page_versions v ON v.page_id = p.page_id AND v.version = COALESCE(NULLIF($3::integer, 0), p.current_version)
WHERE p.page_id = $1 AND p.tenant_id = $2
"""
_NEWEST = """
SELECT v.page_id::text FROM page_versions v JOIN pages p USING (page_id)
WHERE v.session_id = $1 AND p.tenant_id = $2 ORDER BY v.run_id DESC LIMIT 1
"""


class RunPages:
    """`ports.Pages` on Postgres."""

    def __init__(self, pool: Pool, *, max_per_tenant: int, max_versions: int = MAX_VERSIONS) -> None:
        self._pool = pool
        self._max_per_tenant = max_per_tenant
        self._max_versions = max_versions

    async def save(self, run: ClaimedRun, draft: PageDraft) -> PageRef:
        """Store what a run made, once, in one statement that its fence guards.

        Raises `LeaseLost`, `PageMoved` and `RunFailed`.
        """
        packed = await asyncio.to_thread(_Packed, draft)
        page_id = draft.parent.page_id if draft.parent else ids.new()
        known = await self._known(draft.parent, packed) if draft.parent else frozenset()
        try:
            row = await self._write(run, draft, page_id, packed, known)
        except StoreRefused:
            # The same save came twice at one moment, its answer lost: the first of them made the version.
            row = await self._write(run, draft, page_id, packed, known)
        if not row["owned"]:
            metrics.PAGE_VERSIONS.labels("fenced").inc()
            raise LeaseLost(run.run_id)
        if row["version"] is None:
            refusal = await self._refusal(run, page_id, parent=draft.parent)
            metrics.PAGE_VERSIONS.labels("moved" if isinstance(refusal, PageMoved) else "refused").inc()
            raise refusal
        metrics.PAGE_VERSIONS.labels("again" if row["again"] else "stored").inc()
        if row["version"] > self._max_versions:
            await self._trim(row["page_id"])
        return PageRef(row["page_id"], row["version"], row["parent_version"])

    async def load(self, run: ClaimedRun, page_id: str, version: int = 0) -> StoredPage | None:
        """A version of a page of the run's tenant, the current one for 0; None when there is none."""
        known = ids.parse(page_id)
        row = await self._pool.fetchrow(_LOAD, known, run.tenant_id, version) if known else None
        if row is None:
            return None
        held = content(await read_values(self._pool, row["page_id"], row["names"], row["digests"]))
        if held is None:  # deleted between the two
            return None
        parent = PageRef(row["page_id"], row["parent_version"]) if row["parent_version"] else None
        draft = PageDraft(
            blueprint=held.blueprint,
            inputs=held.inputs,
            outputs=held.outputs,
            gaps=held.gaps,
            sources=held.sources,
            usage=rows.usage(row["usage"]),
            parent=parent,
            instruction=row["instruction"],
        )
        return StoredPage(PageRef(row["page_id"], row["version"], row["parent_version"]), draft)

    async def newest(self, run: ClaimedRun) -> StoredPage | None:
        """The page that the run's session made or changed last."""
        row = await self._pool.fetchrow(_NEWEST, run.session_id, run.tenant_id)
        return await self.load(run, row["page_id"]) if row else None

    async def _known(self, parent: PageRef, packed: "_Packed") -> frozenset[bytes]:
        """Those of the values that the parent has already: they need not be sent.

        A version is only stored while its parent is the current one, and what that holds is never removed.
        """
        row = await self._pool.fetchrow(
            "SELECT digests FROM page_versions WHERE page_id = $1 AND version = $2", parent.page_id, parent.version
        )
        return frozenset(row["digests"] if row else ()) & packed.values.keys()

    async def _trim(self, page_id: str) -> None:
        """Remove the oldest versions of a page that are more than it may have, and what they alone hold."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT FROM pages WHERE page_id = $1 FOR NO KEY UPDATE", page_id)
            digests = await connection.fetchval(_TRIM, page_id, self._max_versions)
            if digests:
                await connection.execute(_DROP_VALUES, page_id, digests)
                await connection.execute(_SIZE, page_id)

    async def _write(
        self, run: ClaimedRun, draft: PageDraft, page_id: str, packed: "_Packed", known: frozenset[bytes]
    ) -> asyncpg.Record:
        parts = [
            (digest, part, data)
            for digest, value in packed.values.items()
            if digest not in known
            for part, data in enumerate(cut(value))
        ]
        values = (
            run.run_id,
            run.fence,
            run.tenant_id,
            page_id,
            run.session_id,
            sum(len(data) for _, _, data in parts),
            draft.parent.version if draft.parent else 0,
            rows.storable(draft.instruction),
            rows.storable(str(draft.blueprint.get("name", ""))),
            orjson.dumps(draft.usage.to_json()),
            list(packed.names),
            list(packed.names.values()),
            [digest for digest, _, _ in parts],
            [part for _, part, _ in parts],
            [data for _, _, data in parts],
            MAX_PAGE_BYTES,
        )
        if draft.parent:
            row = await self._pool.fetchrow(_CHANGED, *values)
        else:
            async with counted(self._pool, "pages", run.tenant_id) as connection:
                row = await connection.fetchrow(_MADE, *values, self._max_per_tenant)
        assert row is not None
        return row

    async def _refusal(self, run: ClaimedRun, page_id: str, *, parent: PageRef | None) -> RunFailed | PageMoved:
        """Why the version was not stored."""
        if parent is None:
            text = f"There are {self._max_per_tenant} pages already, or this one is too large; delete pages first."
            return RunFailed(FailureCode.INTERNAL, text)
        row = await self._pool.fetchrow(
            "SELECT current_version FROM pages WHERE page_id = $1 AND tenant_id = $2", page_id, run.tenant_id
        )
        if row is None:
            return RunFailed(FailureCode.INTERNAL, "The page was deleted while it was being changed.")
        if row["current_version"] != parent.version:
            return PageMoved(row["current_version"])
        text = (
            f"The page has no room for another version: its versions may hold {MAX_PAGE_BYTES} bytes. Make a new page "
            "of it, and delete this one."
        )
        return RunFailed(FailureCode.INTERNAL, text)


class _Packed:
    """A draft as the database takes it: names to digests, digests to JSON."""

    def __init__(self, draft: PageDraft) -> None:
        self.names: dict[str, bytes] = {}
        self.values: dict[bytes, bytes] = {}
        gaps = [gap.to_json() for gap in draft.gaps]
        parts: Mapping[str, object] = {
            "blueprint": draft.blueprint,
            "inputs": draft.inputs,
            "sources": list(draft.sources),
            "gaps": gaps,
        }
        for name, value in parts.items():
            self._add(name, value)
        for node, output in draft.outputs.items():
            self._add(f"{NODE}{node}", output)

    def _add(self, name: str, value: object) -> None:
        data = orjson.dumps(value)
        digest = self.names[name] = hashlib.sha256(data).digest()
        self.values[digest] = data
