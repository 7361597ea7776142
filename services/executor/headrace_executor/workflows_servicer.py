"""WorkflowService: a tenant's saved blueprints."""

import re
from typing import Any

from headrace.executor.v1 import workflows_pb2 as pb
from headrace.executor.v1 import workflows_pb2_grpc as pb_grpc

from headrace_executor import codec
from headrace_executor.workflows import SavedWorkflows, Workflow, not_found

MAX_DESCRIPTION = 1000
WORKFLOW_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

Context = Any


class WorkflowServicer(pb_grpc.WorkflowServiceServicer):
    """headrace.executor.v1.WorkflowService."""

    def __init__(self, workflows: SavedWorkflows) -> None:
        self._workflows = workflows

    async def PutWorkflow(self, request: pb.PutWorkflowRequest, context: Context) -> pb.PutWorkflowResponse:  # noqa: N802
        """Make or replace a workflow."""
        tenant_id = codec.tenant(request.tenant_id)
        if not WORKFLOW_ID.fullmatch(request.workflow_id):
            raise codec.invalid("workflow_id", f"must be {WORKFLOW_ID.pattern}")
        if len(request.description) > MAX_DESCRIPTION or "\x00" in request.description:
            raise codec.invalid("description", f"must have at most {MAX_DESCRIPTION} characters, none of them NUL")
        saved, created = await self._workflows.put(
            tenant_id,
            request.workflow_id,
            request.blueprint,
            description=request.description,
            expected_revision=codec.expected_revision(request),
        )
        return pb.PutWorkflowResponse(workflow=_workflow(saved), created=created)

    async def GetWorkflow(self, request: pb.GetWorkflowRequest, context: Context) -> pb.GetWorkflowResponse:  # noqa: N802
        """Answer with one workflow."""
        found = await self._workflows.get(codec.tenant(request.tenant_id), _known(request.workflow_id))
        return pb.GetWorkflowResponse(workflow=_workflow(found))

    async def ListWorkflows(self, request: pb.ListWorkflowsRequest, context: Context) -> pb.ListWorkflowsResponse:  # noqa: N802
        """Answer with a page of workflows."""
        page, rest = await self._workflows.list(
            codec.tenant(request.tenant_id),
            after=codec.page_key(request.page_token, WORKFLOW_ID),
            limit=codec.page_size(request.page_size),
        )
        token = codec.page_token(rest) if rest else ""
        return pb.ListWorkflowsResponse(workflows=[_workflow(one) for one in page], next_page_token=token)

    async def DeleteWorkflow(self, request: pb.DeleteWorkflowRequest, context: Context) -> pb.DeleteWorkflowResponse:  # noqa: N802
        """Remove a workflow."""
        await self._workflows.delete(
            codec.tenant(request.tenant_id), _known(request.workflow_id), expected_revision=codec.expected_revision(request)
        )
        return pb.DeleteWorkflowResponse()

    async def ValidateWorkflow(  # noqa: N802
        self, request: pb.ValidateWorkflowRequest, context: Context
    ) -> pb.ValidateWorkflowResponse:
        """Answer with every fault of a blueprint and its inputs."""
        faults = await self._workflows.validate(
            codec.tenant(request.tenant_id), request.blueprint, request.inputs, workflow_id=request.workflow_id
        )
        return pb.ValidateWorkflowResponse(
            faults=[pb.BlueprintFault(pointer=one.pointer, message=one.message, hint=one.hint) for one in faults]
        )

    async def GetBlueprintSchema(  # noqa: N802
        self, request: pb.GetBlueprintSchemaRequest, context: Context
    ) -> pb.GetBlueprintSchemaResponse:
        """Answer with the language's JSON Schema."""
        tenant_id = codec.name("tenant_id", request.tenant_id, required=False)
        return pb.GetBlueprintSchemaResponse(schema=self._workflows.schema(tenant_id))


def _known(workflow_id: str) -> str:
    """An id that there may be. Raises NotFound."""
    if not WORKFLOW_ID.fullmatch(workflow_id):
        raise not_found(workflow_id)
    return workflow_id


def _workflow(value: Workflow) -> pb.Workflow:
    return pb.Workflow(
        workflow_id=value.workflow_id,
        name=value.name,
        blueprint=value.blueprint,
        revision=value.revision,
        create_time=codec.timestamp(value.created_at),
        update_time=codec.timestamp(value.updated_at),
        inputs=value.inputs,
        description=value.description,
    )
