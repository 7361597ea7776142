"""PlannerService on the wire: decode and check, call the planner, encode. No protobuf message goes below this module."""

import asyncio
from typing import Any

import grpc
import orjson
from headrace.planner.v1 import planner_pb2, planner_pb2_grpc
from headrace.router.v1 import router_pb2
from headrace_llm.call_context import CallContext
from headrace_runtime.errors import InvalidArgument, Violation

from headrace_planner.model import (
    MAX_MESSAGE_CHARS,
    MAX_NAME_CHARS,
    MAX_NAMES,
    MAX_TURNS,
    Intent,
    Origin,
    Plan,
    Request,
    Turn,
)
from headrace_planner.service import Planner

INLINE_BYTES = 16 * 1024
"""A larger blueprint is validated in a thread: the event loop goes on meanwhile."""

_INTENTS: dict[int, Intent] = {
    router_pb2.INTENT_CHAT: Intent.CHAT,
    router_pb2.INTENT_QA: Intent.QA,
    router_pb2.INTENT_BUILD: Intent.BUILD,
    router_pb2.INTENT_QUIZ: Intent.QUIZ,
    router_pb2.INTENT_PATCH: Intent.PATCH,
}
_ORIGINS = {
    Origin.BUILTIN: planner_pb2.ORIGIN_BUILTIN,
    Origin.MODEL: planner_pb2.ORIGIN_MODEL,
    Origin.REPAIRED: planner_pb2.ORIGIN_REPAIRED,
    Origin.TEMPLATE: planner_pb2.ORIGIN_TEMPLATE,
}


class PlannerServicer(planner_pb2_grpc.PlannerServiceServicer):
    """Decodes, calls `Planner`, encodes. At most `threads` large blueprints are validated at once; others wait."""

    def __init__(self, planner: Planner, *, threads: int = 1) -> None:
        self._planner = planner
        self._threads = asyncio.Semaphore(threads)

    async def Plan(  # noqa: N802 - the contract's name
        self, request: planner_pb2.PlanRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> planner_pb2.PlanResponse:
        """Make a valid blueprint. Raises `InvalidArgument`."""
        plan = await self._planner.plan(decode(request), budget_s=context.time_remaining())
        return encode(plan)

    async def Validate(  # noqa: N802 - the contract's name
        self, request: planner_pb2.ValidateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> planner_pb2.ValidateResponse:
        """List every fault of a blueprint."""
        if len(request.blueprint) <= INLINE_BYTES:
            faults = self._planner.faults(request.blueprint)
        else:
            async with self._threads:
                faults = await asyncio.to_thread(self._planner.faults, request.blueprint)
        return planner_pb2.ValidateResponse(
            faults=[planner_pb2.Fault(pointer=f.pointer, message=f.message, hint=f.hint) for f in faults]
        )


def decode(request: planner_pb2.PlanRequest) -> Request:
    """Check a request. Raises `InvalidArgument` with every violation."""
    violations = tuple(_violations(request))
    if violations:
        raise InvalidArgument("; ".join(f"{one.field}: {one.message}" for one in violations), violations=violations)
    return Request(
        tenant_id=request.tenant_id,
        intent=_INTENTS[request.intent],
        message=request.message,
        workspace=request.workspace,
        model=request.model,
        tools=tuple(request.tools),
        sources=tuple(request.sources),
        history=tuple(Turn(turn.role, turn.text) for turn in request.history),
        context=CallContext.from_proto(request.context),
    )


def encode(plan: Plan) -> planner_pb2.PlanResponse:
    """A plan's wire form."""
    return planner_pb2.PlanResponse(
        blueprint=orjson.dumps(plan.blueprint),
        origin=_ORIGINS[plan.origin],
        warnings=plan.warnings,
        usage=plan.usage.to_proto(),
    )


def _violations(request: planner_pb2.PlanRequest) -> list[Violation]:
    found = []
    if not request.message.strip():
        found.append(Violation("message", "must not be empty"))
    if len(request.message) > MAX_MESSAGE_CHARS:
        found.append(Violation("message", f"has {len(request.message)} characters, at most {MAX_MESSAGE_CHARS} are taken"))
    if request.intent not in _INTENTS:
        found.append(Violation("intent", "must be chat, qa, build, quiz or patch"))
    if len(request.history) > MAX_TURNS:
        found.append(Violation("history", f"has {len(request.history)} turns, at most {MAX_TURNS} are taken"))
    for field, names in (("tools", request.tools), ("sources", request.sources)):
        if len(names) > MAX_NAMES:
            found.append(Violation(field, f"has {len(names)} names, at most {MAX_NAMES} are taken"))
        found.extend(_long(f"{field}[{index}]", name) for index, name in enumerate(names) if len(name) > MAX_NAME_CHARS)
    for field, name in (("workspace", request.workspace), ("model", request.model)):
        if len(name) > MAX_NAME_CHARS:
            found.append(_long(field, name))
    return found


def _long(field: str, name: str) -> Violation:
    return Violation(field, f"has {len(name)} characters, at most {MAX_NAME_CHARS} are taken")
