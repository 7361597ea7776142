"""The executor's workflow service as a port."""

from typing import Any

import grpc
from headrace.executor.v1 import workflows_pb2 as pb
from headrace.executor.v1 import workflows_pb2_grpc as grpc_pb

from headrace_edge.adapters import decoding
from headrace_edge.adapters.calls import Caller
from headrace_edge.model import Listing
from headrace_edge.workflows.model import BlueprintFault, Validity, Workflow, WorkflowEntry


class ExecutorWorkflows:
    """`ports.Workflows` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, caller: Caller) -> None:
        self._stub = grpc_pb.WorkflowServiceStub(channel)
        self._caller = caller

    async def put(
        self, tenant: str, workflow_id: str, *, blueprint: bytes, description: str, expected_revision: int | None
    ) -> tuple[Workflow, bool]:
        """See the port."""
        request = pb.PutWorkflowRequest(
            tenant_id=tenant,
            workflow_id=workflow_id,
            blueprint=blueprint,
            description=description,
            expected_revision=expected_revision,
        )
        answer: pb.PutWorkflowResponse = await self._caller.once(self._stub.PutWorkflow, request)
        return _workflow(answer.workflow), answer.created

    async def get(self, tenant: str, workflow_id: str) -> Workflow:
        """See the port."""
        request = pb.GetWorkflowRequest(tenant_id=tenant, workflow_id=workflow_id)
        answer: pb.GetWorkflowResponse = await self._caller.repeatable(self._stub.GetWorkflow, request)
        return _workflow(answer.workflow)

    async def list(self, tenant: str, *, cursor: str, limit: int) -> Listing[WorkflowEntry]:
        """See the port."""
        request = pb.ListWorkflowsRequest(tenant_id=tenant, page_size=limit, page_token=cursor)
        answer: pb.ListWorkflowsResponse = await self._caller.repeatable(self._stub.ListWorkflows, request)
        return Listing[WorkflowEntry](
            items=[WorkflowEntry(**_entry(one)) for one in answer.workflows], next_cursor=answer.next_page_token or None
        )

    async def delete(self, tenant: str, workflow_id: str, *, expected_revision: int | None) -> None:
        """See the port."""
        request = pb.DeleteWorkflowRequest(tenant_id=tenant, workflow_id=workflow_id, expected_revision=expected_revision)
        await self._caller.once(self._stub.DeleteWorkflow, request)

    async def validate(self, tenant: str, *, blueprint: bytes, inputs: bytes, workflow_id: str) -> Validity:
        """See the port."""
        request = pb.ValidateWorkflowRequest(tenant_id=tenant, blueprint=blueprint, inputs=inputs, workflow_id=workflow_id)
        answer: pb.ValidateWorkflowResponse = await self._caller.repeatable(self._stub.ValidateWorkflow, request)
        faults = [BlueprintFault(pointer=one.pointer, message=one.message, hint=one.hint) for one in answer.faults]
        return Validity(valid=not faults, faults=faults)

    async def schema(self, tenant: str) -> bytes:
        """See the port."""
        request = pb.GetBlueprintSchemaRequest(tenant_id=tenant)
        answer: pb.GetBlueprintSchemaResponse = await self._caller.repeatable(self._stub.GetBlueprintSchema, request)
        return answer.schema


def _entry(one: pb.Workflow) -> dict[str, Any]:
    return {
        "workflow_id": one.workflow_id,
        "name": one.name,
        "description": one.description,
        "revision": one.revision,
        "inputs": decoding.json_value(one.inputs) or {},
        "created_at": decoding.time(one.create_time),
        "updated_at": decoding.time(one.update_time),
    }


def _workflow(one: pb.Workflow) -> Workflow:
    return Workflow(**_entry(one), blueprint=decoding.json_value(one.blueprint) or {})
