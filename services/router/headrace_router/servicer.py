"""RouterService on the wire: decode and check, route, encode. No protobuf message goes below this module."""

from typing import Any

import grpc
from headrace.router.v1 import router_pb2, router_pb2_grpc
from headrace_llm.call_context import CallContext
from headrace_runtime.errors import InvalidArgument, Violation

from headrace_router.model import MAX_MESSAGE_CHARS, MAX_TURNS, DecidedBy, Intent, Question, Routed, Turn
from headrace_router.service import Router

_INTENTS = {
    Intent.CHAT: router_pb2.INTENT_CHAT,
    Intent.QA: router_pb2.INTENT_QA,
    Intent.BUILD: router_pb2.INTENT_BUILD,
    Intent.QUIZ: router_pb2.INTENT_QUIZ,
    Intent.PATCH: router_pb2.INTENT_PATCH,
}
_MODES = {number: intent for intent, number in _INTENTS.items()}
_DECIDED_BY = {
    DecidedBy.RULES: router_pb2.DECIDED_BY_RULES,
    DecidedBy.EMBEDDING: router_pb2.DECIDED_BY_EMBEDDING,
    DecidedBy.MODEL: router_pb2.DECIDED_BY_MODEL,
}


class RouterServicer(router_pb2_grpc.RouterServiceServicer):
    """Decodes, calls `Router`, encodes."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def Route(  # noqa: N802 - the contract's name
        self, request: router_pb2.RouteRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> router_pb2.RouteResponse:
        """Decide the intent of one message. Raises `InvalidArgument`."""
        question = decode(request)
        routed = await self._router.route(
            question,
            tenant_id=request.tenant_id,
            budget_s=context.time_remaining(),
            context=CallContext.from_proto(request.context),
        )
        return encode(routed)


def decode(request: router_pb2.RouteRequest) -> Question:
    """Check a request. Raises `InvalidArgument` with every fault."""
    faults = tuple(_faults(request))
    if faults:
        raise InvalidArgument("; ".join(f"{fault.field}: {fault.message}" for fault in faults), violations=faults)
    return Question(
        message=request.message,
        mode=_MODES.get(request.mode),
        has_blueprint=request.has_blueprint,
        has_page=request.has_page,
        history=tuple(Turn(turn.role, turn.text) for turn in request.history),
    )


def encode(routed: Routed) -> router_pb2.RouteResponse:
    """A decision's wire form."""
    decision = routed.decision
    return router_pb2.RouteResponse(
        intent=_INTENTS[decision.intent],
        confidence=decision.confidence,
        decided_by=_DECIDED_BY[decision.decided_by],
        usage=routed.usage.to_proto(),
    )


def _faults(request: router_pb2.RouteRequest) -> list[Violation]:
    faults = []
    if not request.message.strip():
        faults.append(Violation("message", "must not be empty"))
    if len(request.message) > MAX_MESSAGE_CHARS:
        faults.append(Violation("message", f"has {len(request.message)} characters, at most {MAX_MESSAGE_CHARS} are taken"))
    if request.mode != router_pb2.INTENT_UNSPECIFIED and request.mode not in _MODES:
        faults.append(Violation("mode", f"{request.mode} is no intent"))
    if len(request.history) > MAX_TURNS:
        faults.append(Violation("history", f"has {len(request.history)} turns, at most {MAX_TURNS} are taken"))
    return faults
