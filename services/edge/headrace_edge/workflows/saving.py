"""Writes saved workflows under their preconditions."""

from headrace_runtime import errors

from headrace_edge import conditional, preconditions
from headrace_edge.policy import Refused
from headrace_edge.ports import Workflows
from headrace_edge.preconditions import Precondition
from headrace_edge.workflows.model import Workflow


async def save(
    workflows: Workflows, tenant: str, workflow_id: str, *, blueprint: bytes, description: str, when: Precondition
) -> tuple[Workflow, bool]:
    """Make or replace a workflow, and say whether it was made. Raises Refused (412, 428), ServiceError."""
    target = _target(workflows, tenant, workflow_id)

    async def put(revision: int | None) -> tuple[Workflow, bool]:
        return await workflows.put(
            tenant, workflow_id, blueprint=blueprint, description=description, expected_revision=revision
        )

    if when.kind == "unsaid":
        try:
            return await put(0)
        except errors.AlreadyExists as error:
            raise Refused(preconditions.required(target.what, await target.revision())) from error
    if when.kind == "absent":
        return await conditional.create(target, when, put)
    return await conditional.based(target, when, put)


async def remove(workflows: Workflows, tenant: str, workflow_id: str, *, when: Precondition) -> None:
    """Remove a workflow. Raises Refused (412), ServiceError."""

    async def delete(revision: int | None) -> None:
        await workflows.delete(tenant, workflow_id, expected_revision=revision)

    await conditional.remove(_target(workflows, tenant, workflow_id), when, delete)


def _target(workflows: Workflows, tenant: str, workflow_id: str) -> conditional.Target:
    async def read() -> int:
        return (await workflows.get(tenant, workflow_id)).revision

    return conditional.Target(f"workflow {workflow_id}", "WORKFLOW_CHANGED", "WORKFLOW_NOT_FOUND", read)
