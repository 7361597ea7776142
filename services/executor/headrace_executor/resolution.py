"""What a request for a run names, as the run will take it: saved workflows, pages, tools, inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson
from headrace_blueprint.faults import Fault
from headrace_runtime.errors import Violation

from headrace_executor.engine.requests import CONVERSATIONAL
from headrace_executor.pages import PageVersion, changed
from headrace_executor.pages import not_found as no_page
from headrace_executor.ports import Workflows
from headrace_executor.runs import ids
from headrace_executor.runs.bodies import Body, ConversationBody, PageBody, PatchBody, WholePage, title
from headrace_executor.validation import Validator, invalid, refusal, told
from headrace_executor.workflows import not_found as no_workflow


class Pages(Protocol):
    """Which pages there are."""

    async def find(self, tenant_id: str, page_id: str) -> PageVersion | None:
        """A page's current version."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A request that can be accepted."""

    body: bytes
    """What the run gets: later changes of what the request names do not reach it."""
    title: str = ""
    """For a new session, where the request itself has none."""


class Resolver:
    """Looks up what bodies name."""

    def __init__(self, workflows: Workflows, pages: Pages, validator: Validator) -> None:
        self._workflows = workflows
        self._pages = pages
        self._validator = validator

    async def resolve(self, tenant_id: str, body: Body, data: bytes) -> Resolved:
        """Check a body of the right shape, `data`, and put what it names into it.

        Raises InvalidArgument with every fault, NotFound (WORKFLOW_NOT_FOUND, PAGE_NOT_FOUND), Aborted (PAGE_CHANGED) and
        what `Validator` raises.
        """
        match body:
            case PageBody(workflow_id=str(workflow_id)) if workflow_id:
                return await self._saved(tenant_id, workflow_id, body)
            case PageBody(blueprint=dict(blueprint)):
                faults = await self._validator.faults(tenant_id, blueprint, body.inputs, size=len(data))
            case ConversationBody(blueprint=dict(blueprint)):
                faults = await self._validator.faults(tenant_id, blueprint, None, size=len(data))
            case ConversationBody(tools=[_, *_]):
                # Who talks has no other place to see that a tool was left out; a workflow's answer has warnings.
                faults = self._validator.tool_faults(tenant_id, body.tools, for_a_model=body.mode in CONVERSATIONAL)
            case PatchBody(page=None):
                await self._require_page(tenant_id, body.page_id, body.version)
                faults = ()
            case PatchBody(page=WholePage() as page):
                faults = await self._validator.faults(tenant_id, page.blueprint, page.inputs, size=len(data))
                faults = [Fault(f"/page{one.pointer}", one.message, one.hint) for one in faults]
            case _:
                faults = ()
        if faults:
            raise invalid(faults)
        return Resolved(data)

    async def _saved(self, tenant_id: str, workflow_id: str, body: PageBody) -> Resolved:
        saved = await self._workflows.get(tenant_id, workflow_id)
        if saved is None:
            raise no_workflow(workflow_id)
        taken = {
            "blueprint": saved.blueprint,
            "inputs": body.inputs,
            "workflow": {"id": saved.workflow_id, "revision": saved.revision},
        }
        data = orjson.dumps(taken)
        faults = await self._validator.faults(tenant_id, saved.blueprint, body.inputs, size=len(data))
        if faults:
            raise refusal(_of_saved(faults, f"the workflow {workflow_id!r} as it was saved cannot be run"))
        return Resolved(data, title(str(saved.blueprint.get("name", ""))))

    async def _require_page(self, tenant_id: str, page_id: str, version: int) -> None:
        known = ids.parse(page_id)
        found = await self._pages.find(tenant_id, known) if known else None
        if found is None:
            raise no_page()
        if version and found.version != version:
            raise changed(found.version, version)


def _of_saved(faults: Sequence[Fault], what: str) -> Sequence[Violation]:
    """Faults of inputs are the caller's; those of the blueprint came with what it uses, and the caller names but its id."""
    return [
        Violation(one.pointer, told(one))
        if one.pointer.startswith("/inputs")
        else Violation("/workflow_id", f"{what}: {one.pointer}: {told(one)}")
        for one in faults
    ]
