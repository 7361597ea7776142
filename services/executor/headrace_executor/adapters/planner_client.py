"""The planner service over gRPC, as `ports.Planner`."""

from collections.abc import Sequence

import grpc
import orjson
from headrace.planner.v1 import planner_pb2, planner_pb2_grpc
from headrace_blueprint.tools import Tool
from headrace_llm.usage import Usage
from headrace_runtime import channels, errors

from headrace_executor.adapters.router_client import INTENTS, turns
from headrace_executor.model import ClaimedRun, Json
from headrace_executor.ports import Entity, Patched, Planned, SlotView, Turn

ATTEMPT_S = 120.0
"""Deadline of one call: a plan and two repairs by a slow model."""
MAX_TOOLS = 200
"""Tools beside the built-in ones that the planner is told of."""

_ORIGINS = {
    planner_pb2.ORIGIN_BUILTIN: "builtin",
    planner_pb2.ORIGIN_MODEL: "model",
    planner_pb2.ORIGIN_REPAIRED: "repaired",
    planner_pb2.ORIGIN_TEMPLATE: "template",
    planner_pb2.ORIGIN_REUSED: "reused",
}


class PlannerClient:
    """Calls the planner. Raises `headrace_runtime.errors.ServiceError`."""

    def __init__(self, channel: grpc.aio.Channel, *, attempt_s: float = ATTEMPT_S) -> None:
        self._stub = planner_pb2_grpc.PlannerServiceStub(channel)
        self._attempt_s = attempt_s

    async def plan(
        self,
        run: ClaimedRun,
        *,
        intent: str,
        message: str,
        workspace: str,
        model: str,
        tools: Sequence[str],
        sources: Sequence[str],
        history: Sequence[Turn],
        tool_specs: Sequence[Tool] = (),
        entities: Sequence[Entity] = (),
        recalled: bool = False,
    ) -> Planned:
        """Make a blueprint for an intent."""
        request = planner_pb2.PlanRequest(
            tenant_id=run.tenant_id,
            intent=INTENTS[intent],
            message=message,
            workspace=workspace,
            model=model,
            tools=tools,
            sources=sources,
            history=turns(history),
            context=run.call_context.to_proto(),
            tool_specs=[_spec(tool) for tool in tool_specs],
            entities=[
                planner_pb2.Entity(kind=one.kind, id=orjson.dumps(one.id), name=one.name, text=one.text) for one in entities
            ],
            recalled=recalled,
        )
        answer = await channels.unary(self._stub.Plan, request, timeout_s=self._attempt_s, wait_for_ready=True)
        blueprint = _loaded(answer.blueprint)
        origin = _ORIGINS.get(answer.origin, "builtin")
        return Planned(blueprint, origin, tuple(answer.warnings), Usage.from_proto(answer.usage))

    async def patch(
        self,
        run: ClaimedRun,
        *,
        blueprint: Json,
        inputs: Json,
        instruction: str,
        slots: Sequence[SlotView],
        model: str,
        tools: Sequence[Tool],
    ) -> Patched:
        """Map a sentence to what of a page changes."""
        request = planner_pb2.PatchRequest(
            tenant_id=run.tenant_id,
            blueprint=orjson.dumps(blueprint),
            inputs=orjson.dumps(inputs),
            instruction=instruction,
            slots=[
                planner_pb2.PageSlot(slot=one.slot, title=one.title, node=one.node, preview=one.preview) for one in slots
            ],
            model=model,
            tool_specs=[_spec(tool) for tool in tools[:MAX_TOOLS]],
            context=run.call_context.to_proto(),
        )
        answer = await channels.unary(self._stub.Patch, request, timeout_s=self._attempt_s, wait_for_ready=True)
        if answer.unclear:
            return Patched(None, None, (), (), "", (), Usage.from_proto(answer.usage), unclear=answer.unclear)
        return Patched(
            _loaded(answer.blueprint),
            _loaded(answer.inputs),
            tuple(answer.nodes),
            tuple(answer.rewritten),
            _ORIGINS.get(answer.origin, "model"),
            tuple(answer.warnings),
            Usage.from_proto(answer.usage),
        )


def _spec(tool: Tool) -> planner_pb2.ToolSpec:
    schema = orjson.dumps(tool.input_schema, default=dict)
    return planner_pb2.ToolSpec(name=tool.name, description=tool.description, input_schema=schema)


def _loaded(data: bytes) -> Json:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise errors.InternalError("the planner answered with what is not JSON") from error
