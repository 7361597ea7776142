"""Writes saved workflows under their preconditions: the store compares and writes at once, so no writer is overlooked."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from headrace_runtime import errors

from headrace_edge.ports import Workflows
from headrace_edge.problems import Refused
from headrace_edge.workflows import preconditions
from headrace_edge.workflows.model import Workflow
from headrace_edge.workflows.preconditions import Precondition

CHANGED = "WORKFLOW_CHANGED"

Result = TypeVar("Result")


async def save(
    workflows: Workflows, tenant: str, workflow_id: str, *, blueprint: bytes, description: str, when: Precondition
) -> tuple[Workflow, bool]:
    """Make or replace a workflow, and say whether it was made. Raises Refused (412, 428), ServiceError."""

    async def put(revision: int | None) -> tuple[Workflow, bool]:
        return await workflows.put(
            tenant, workflow_id, blueprint=blueprint, description=description, expected_revision=revision
        )

    if when.kind in ("absent", "unsaid"):
        try:
            return await put(0)
        except errors.AlreadyExists as error:
            current = await _revision(workflows, tenant, workflow_id)
            if when.kind == "unsaid":
                raise Refused(preconditions.required(workflow_id, current)) from error
            raise Refused(preconditions.failed(workflow_id, when, current)) from error
    return await _based(workflows, tenant, workflow_id, when, put)


async def remove(workflows: Workflows, tenant: str, workflow_id: str, *, when: Precondition) -> None:
    """Remove a workflow. Raises Refused (412), ServiceError."""

    async def delete(revision: int | None) -> None:
        await workflows.delete(tenant, workflow_id, expected_revision=revision)

    if when.kind in ("absent", "unsaid"):
        await delete(None)
    else:
        await _based(workflows, tenant, workflow_id, when, delete)


async def _based(
    workflows: Workflows,
    tenant: str,
    workflow_id: str,
    when: Precondition,
    write: Callable[[int], Awaitable[Result]],
) -> Result:
    """Write on top of a revision that is there."""
    revision: int | None = when.revision
    if when.kind == "present":
        revision = await _revision(workflows, tenant, workflow_id)
    if not revision:
        raise Refused(preconditions.failed(workflow_id, when, await _revision(workflows, tenant, workflow_id)))
    try:
        return await write(revision)
    except (errors.Aborted, errors.NotFound) as error:
        if isinstance(error, errors.Aborted) and error.reason != CHANGED:
            raise
        current = await _revision(workflows, tenant, workflow_id)
        raise Refused(preconditions.failed(workflow_id, when, current)) from error


async def _revision(workflows: Workflows, tenant: str, workflow_id: str) -> int | None:
    """The revision that is there, None for none."""
    try:
        return (await workflows.get(tenant, workflow_id)).revision
    except errors.NotFound:
        return None
