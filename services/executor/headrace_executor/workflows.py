"""The use cases of saved workflows: put, get, list, delete, validate, and the language's schema."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import orjson
from headrace_blueprint import validation
from headrace_blueprint.faults import Fault, InvalidBlueprint
from headrace_runtime import errors

from headrace_executor.model import Json
from headrace_executor.validation import Validator, flow_nodes, invalid

MAX_INPUTS_BYTES = 1024 * 1024
"""Of inputs that are only checked."""
MAX_LIST_BYTES = 4 * 1024 * 1024
"""Schemas of inputs in one page of a list; a page is shorter when they are large."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """A saved workflow. In lists its blueprint is left out."""

    workflow_id: str
    name: str
    description: str
    inputs: bytes
    """JSON Schema."""
    revision: int
    created_at: datetime
    updated_at: datetime
    blueprint: bytes = b""


@dataclass(frozen=True, slots=True)
class WorkflowWrite:
    """What is to be saved. It is valid."""

    workflow_id: str
    name: str
    description: str
    blueprint: bytes
    inputs: bytes
    flows: Sequence[str]
    """The workflows that it runs as nodes."""
    expected_revision: int | None
    """0: it must be new; None: whatever is there is replaced."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write: `workflow` is None when it was not done."""

    workflow: Workflow | None
    created: bool
    full: bool
    """Whether the tenant has as many workflows as it may, and this is none of them."""


class WorkflowStore(Protocol):
    """Keeps workflows. Every method raises `errors.StoreAway` and `errors.StoreRefused`."""

    async def put(self, tenant_id: str, write: WorkflowWrite, *, limit: int) -> Written:
        """Make or replace a workflow, if its revision is the expected one. The limit holds for writes of one moment."""

    async def find(self, tenant_id: str, workflow_id: str) -> Workflow | None:
        """One workflow, whole."""

    async def list(self, tenant_id: str, *, after: str, limit: int, size_bytes: int) -> tuple[Sequence[Workflow], bool]:
        """Workflows whose ids come after one, in the order of their ids, without their blueprints; and whether more follow.

        The one whose inputs' schema passes `size_bytes`, added to those before it, is the last.
        """

    async def delete(self, tenant_id: str, workflow_id: str, *, expected_revision: int | None) -> bool:
        """Remove a workflow, if its revision is the expected one; False when it was not."""


class SavedWorkflows:
    """What may be asked about workflows."""

    def __init__(
        self, store: WorkflowStore, validator: Validator, *, schema: Callable[[str], Json], max_per_tenant: int
    ) -> None:
        """`schema` is the language's JSON Schema with a tenant's tools, for no tenant without any."""
        self._store = store
        self._validator = validator
        self._schema = schema
        self._max_per_tenant = max_per_tenant

    async def put(
        self, tenant_id: str, workflow_id: str, blueprint: bytes, *, description: str, expected_revision: int | None
    ) -> tuple[Workflow, bool]:
        """Save a blueprint under an id, and say whether it is new: its revision is above those of all that were removed.

        Raises InvalidArgument with every fault, Aborted (WORKFLOW_CHANGED), AlreadyExists, ResourceExhausted
        (TOO_MANY_WORKFLOWS).
        """
        document, found = _read(blueprint)
        if not found:
            found = await self._validator.faults(tenant_id, document, None, size=len(blueprint), saved_as=workflow_id)
        if found:
            raise invalid(found)
        write = WorkflowWrite(
            workflow_id=workflow_id,
            name=document["name"],
            description=description,
            blueprint=orjson.dumps(document),
            inputs=orjson.dumps(document.get("inputs", {})),
            flows=sorted({flow for _, flow in flow_nodes(document)}),
            expected_revision=expected_revision,
        )
        written = await self._store.put(tenant_id, write, limit=self._max_per_tenant)
        if written.workflow is not None:
            return written.workflow, written.created
        if saved := await self._saved(tenant_id, write):
            return saved, False
        if written.full and not expected_revision:
            text = f"there are {self._max_per_tenant} workflows already; delete one first"
            raise errors.ResourceExhausted(text, reason="TOO_MANY_WORKFLOWS")
        if expected_revision == 0:
            raise errors.AlreadyExists(f"there is a workflow {workflow_id!r} already", reason="WORKFLOW_EXISTS")
        raise _changed(workflow_id, expected_revision)

    async def _saved(self, tenant_id: str, write: WorkflowWrite) -> Workflow | None:
        """What the same write saved whose answer was lost: the next revision has just that, and changed the workflow."""
        if not write.expected_revision:
            return None
        found = await self._store.find(tenant_id, write.workflow_id)
        if found is None or found.revision != write.expected_revision + 1 or found.updated_at == found.created_at:
            return None
        same = (found.blueprint, found.description) == (write.blueprint, write.description)
        return found if same else None

    async def get(self, tenant_id: str, workflow_id: str) -> Workflow:
        """One workflow. Raises NotFound."""
        found = await self._store.find(tenant_id, workflow_id)
        if found is None:
            raise not_found(workflow_id)
        return found

    async def list(self, tenant_id: str, *, after: str, limit: int) -> tuple[Sequence[Workflow], str | None]:
        """A page of workflows in the order of their ids, and after which one the next begins."""
        page, more = await self._store.list(tenant_id, after=after, limit=limit, size_bytes=MAX_LIST_BYTES)
        return page, page[-1].workflow_id if more else None

    async def delete(self, tenant_id: str, workflow_id: str, *, expected_revision: int | None) -> None:
        """Remove a workflow; runs that have its blueprint go on. Raises NotFound and Aborted (WORKFLOW_CHANGED)."""
        if await self._store.delete(tenant_id, workflow_id, expected_revision=expected_revision):
            return
        await self.get(tenant_id, workflow_id)
        raise _changed(workflow_id, expected_revision)

    async def validate(self, tenant_id: str, blueprint: bytes, inputs: bytes, *, workflow_id: str) -> Sequence[Fault]:
        """Every fault of a blueprint and, unless they are empty, of the inputs for it."""
        document, found = _read(blueprint)
        given, wrong = _given(inputs)
        if found:
            return [*found, *wrong]
        checked = await self._validator.faults(
            tenant_id, document, given, size=len(blueprint) + len(inputs), saved_as=workflow_id
        )
        return [*checked, *wrong]

    def schema(self, tenant_id: str) -> bytes:
        """The language's JSON Schema; with a tenant, its tools in it."""
        return orjson.dumps(self._schema(tenant_id))


def not_found(workflow_id: str) -> errors.NotFound:
    """There is no such workflow, or it is another tenant's."""
    return errors.NotFound(f"there is no workflow {workflow_id[:64]!r}", reason="WORKFLOW_NOT_FOUND")


def _changed(workflow_id: str, expected: int | None) -> errors.Aborted:
    text = f"the workflow {workflow_id!r} is not at revision {expected}; get it and change that"
    return errors.Aborted(text, reason="WORKFLOW_CHANGED")


def _read(blueprint: bytes) -> tuple[Json, Sequence[Fault]]:
    try:
        return validation.loads(blueprint), ()
    except InvalidBlueprint as error:
        return None, [Fault(f"/blueprint{fault.pointer}", fault.message, fault.hint) for fault in error.faults]


def _given(inputs: bytes) -> tuple[Json | None, Sequence[Fault]]:
    if not inputs:
        return None, ()
    if len(inputs) > MAX_INPUTS_BYTES:
        return None, (Fault("/inputs", f"they have more than {MAX_INPUTS_BYTES} bytes", "make them smaller"),)
    try:
        return orjson.loads(inputs), ()
    except orjson.JSONDecodeError as error:
        return None, (Fault("/inputs", f"this is not JSON: {error}"),)
