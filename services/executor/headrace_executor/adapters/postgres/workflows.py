"""Saved workflows."""

from collections.abc import Mapping, Sequence

import asyncpg
import orjson
from headrace_postgres.pool import Pool

from headrace_executor.adapters.postgres import rows
from headrace_executor.adapters.postgres.row_limits import counted
from headrace_executor.ports import SavedWorkflow
from headrace_executor.workflows import Workflow, WorkflowWrite, Written

_COLUMNS = "w.workflow_id, w.name, w.description, w.inputs, w.revision, w.created_at, w.updated_at"

_PUT = f"""
WITH known AS (
    SELECT NOT EXISTS (SELECT FROM workflows WHERE tenant_id = $1 AND workflow_id = $2) AS is_new,
           (SELECT count(*) FROM workflows WHERE tenant_id = $1) >= $8 AS is_full,
           COALESCE((SELECT revision FROM workflow_marks WHERE tenant_id = $1), 0) AS mark
), w AS (
    INSERT INTO workflows AS w (tenant_id, workflow_id, name, description, blueprint, inputs, flows, revision)
    SELECT $1, $2, $3, $4, $5, $6, $7, mark + 1 FROM known WHERE NOT (is_new AND is_full)
    ON CONFLICT (tenant_id, workflow_id) DO UPDATE SET
        name = excluded.name, description = excluded.description, blueprint = excluded.blueprint,
        inputs = excluded.inputs, flows = excluded.flows, revision = w.revision + 1, updated_at = now()
    WHERE NOT $9
    RETURNING w.*
)
SELECT is_new, is_new AND is_full AS is_full, {_COLUMNS} FROM known LEFT JOIN w ON true
"""
_DELETE = """
WITH gone AS (
    DELETE FROM workflows WHERE tenant_id = $1 AND workflow_id = $2 AND ($3::bigint IS NULL OR revision = $3)
    RETURNING tenant_id, revision
)
INSERT INTO workflow_marks AS m SELECT tenant_id, revision FROM gone
ON CONFLICT (tenant_id) DO UPDATE SET revision = greatest(m.revision, excluded.revision)
RETURNING 1
"""
_CHANGE = f"""
UPDATE workflows w SET name = $3, description = $4, blueprint = $5, inputs = $6, flows = $7,
    revision = w.revision + 1, updated_at = now()
WHERE w.tenant_id = $1 AND w.workflow_id = $2 AND w.revision = $8
RETURNING {_COLUMNS}
"""
_LIST = f"""
SELECT {_COLUMNS}, w.remaining FROM (
    SELECT w.*, count(*) OVER () AS remaining,
           sum(octet_length(w.inputs)) OVER (ORDER BY w.workflow_id) - octet_length(w.inputs) AS before
    FROM workflows w WHERE w.tenant_id = $1 AND w.workflow_id > $2 ORDER BY w.workflow_id LIMIT $3
) w WHERE w.before < $4 ORDER BY w.workflow_id
"""
_REACH = """
WITH RECURSIVE reached AS (
    SELECT workflow_id, flows FROM workflows WHERE tenant_id = $1 AND workflow_id = ANY($2::text[])
    UNION
    SELECT w.workflow_id, w.flows FROM reached r CROSS JOIN LATERAL unnest(r.flows) AS f(workflow_id)
    JOIN workflows w ON w.tenant_id = $1 AND w.workflow_id = f.workflow_id
)
SELECT workflow_id, flows FROM reached
"""


class WorkflowStore:
    """`workflows.WorkflowStore`, `validation.Flows` and `ports.Workflows` on Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get(self, tenant_id: str, workflow_id: str) -> SavedWorkflow | None:
        """A workflow as a run takes it."""
        row = await self._pool.fetchrow(
            "SELECT revision, blueprint FROM workflows WHERE tenant_id = $1 AND workflow_id = $2",
            tenant_id,
            rows.storable(workflow_id),
        )
        return SavedWorkflow(workflow_id, row["revision"], orjson.loads(row["blueprint"])) if row else None

    async def put(self, tenant_id: str, write: WorkflowWrite, *, limit: int) -> Written:
        """Make or replace a workflow, if its revision is the expected one."""
        values = (tenant_id, write.workflow_id, rows.storable(write.name), write.description, write.blueprint, write.inputs)
        flows = [rows.storable(flow) for flow in write.flows]
        expected = write.expected_revision
        if expected:
            row = await self._pool.fetchrow(_CHANGE, *values, flows, expected)
            return Written(_workflow(row, write.blueprint) if row else None, created=False, full=False)
        async with counted(self._pool, "workflows", tenant_id) as connection:
            row = await connection.fetchrow(_PUT, *values, flows, limit, expected == 0)
        assert row is not None
        saved = _workflow(row, write.blueprint) if row["revision"] else None
        return Written(saved, created=row["is_new"], full=row["is_full"])

    async def find(self, tenant_id: str, workflow_id: str) -> Workflow | None:
        """One workflow, whole."""
        row = await self._pool.fetchrow(
            f"SELECT {_COLUMNS}, w.blueprint FROM workflows w WHERE w.tenant_id = $1 AND w.workflow_id = $2",
            tenant_id,
            workflow_id,
        )
        return _workflow(row, row["blueprint"]) if row else None

    async def list(self, tenant_id: str, *, after: str, limit: int, size_bytes: int) -> tuple[Sequence[Workflow], bool]:
        """Workflows whose ids come after one, in the order of their ids, without their blueprints; and whether more follow.

        The one whose inputs' schema passes `size_bytes`, added to those before it, is the last.
        """
        found = await self._pool.fetch(_LIST, tenant_id, after, limit, size_bytes)
        return [_workflow(row, b"") for row in found], bool(found) and found[0]["remaining"] > len(found)

    async def delete(self, tenant_id: str, workflow_id: str, *, expected_revision: int | None) -> bool:
        """Remove a workflow, if its revision is the expected one; False when it was not."""
        # Alone, like those that make one: what is made after it begins above its revision.
        async with counted(self._pool, "workflows", tenant_id) as connection:
            return await connection.fetchval(_DELETE, tenant_id, workflow_id, expected_revision) is not None

    async def reach(self, tenant_id: str, workflow_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """For each of the workflows that exist, and each that they lead to: those that it names."""
        found = await self._pool.fetch(_REACH, tenant_id, [rows.storable(one) for one in workflow_ids])
        return {row["workflow_id"]: row["flows"] for row in found}

    async def ids(self, tenant_id: str) -> Sequence[str]:
        """The ids of all the tenant's workflows."""
        found = await self._pool.fetch("SELECT workflow_id FROM workflows WHERE tenant_id = $1", tenant_id)
        return [row["workflow_id"] for row in found]


def _workflow(row: asyncpg.Record, blueprint: bytes) -> Workflow:
    return Workflow(
        workflow_id=row["workflow_id"],
        name=row["name"],
        description=row["description"],
        inputs=row["inputs"],
        revision=row["revision"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        blueprint=blueprint,
    )
