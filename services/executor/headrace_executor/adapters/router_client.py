"""The router service over gRPC, as `ports.Router`."""

from collections.abc import Sequence

import grpc
from headrace.router.v1 import router_pb2, router_pb2_grpc
from headrace_llm.usage import Usage
from headrace_runtime import channels, errors

from headrace_executor.model import ClaimedRun
from headrace_executor.ports import Routed, Turn

ATTEMPT_S = 15.0
"""Deadline of one call; the pipeline's step has its own."""

INTENTS = {
    "chat": router_pb2.INTENT_CHAT,
    "qa": router_pb2.INTENT_QA,
    "build": router_pb2.INTENT_BUILD,
    "quiz": router_pb2.INTENT_QUIZ,
    "patch": router_pb2.INTENT_PATCH,
}
"""Intents by the names that clients know them by."""

_NAMES = {number: name for name, number in INTENTS.items()}
_DECIDED = {
    router_pb2.DECIDED_BY_RULES: "rules",
    router_pb2.DECIDED_BY_EMBEDDING: "embedding",
    router_pb2.DECIDED_BY_MODEL: "model",
}


def turns(history: Sequence[Turn]) -> list[router_pb2.Turn]:
    """Encode earlier messages."""
    return [router_pb2.Turn(role=turn.role, text=turn.text) for turn in history]


class RouterClient:
    """Calls the router. Raises `headrace_runtime.errors.ServiceError`."""

    def __init__(self, channel: grpc.aio.Channel, *, attempt_s: float = ATTEMPT_S) -> None:
        self._stub = router_pb2_grpc.RouterServiceStub(channel)
        self._attempt_s = attempt_s

    async def route(
        self, run: ClaimedRun, *, message: str, mode: str, has_blueprint: bool, history: Sequence[Turn]
    ) -> Routed:
        """Decide the intent of a message; a mode that is no intent is automatic."""
        request = router_pb2.RouteRequest(
            tenant_id=run.tenant_id,
            message=message,
            mode=INTENTS.get(mode, router_pb2.INTENT_UNSPECIFIED),
            has_blueprint=has_blueprint,
            history=turns(history),
            context=run.call_context.to_proto(),
        )
        answer = await channels.unary(self._stub.Route, request, timeout_s=self._attempt_s, wait_for_ready=True)
        intent = _NAMES.get(answer.intent)
        if intent is None:
            raise errors.InternalError(f"the router answered with the unknown intent {answer.intent}")
        decided = _DECIDED.get(answer.decided_by, "rules")
        return Routed(intent, round(answer.confidence, 4), decided, Usage.from_proto(answer.usage))
