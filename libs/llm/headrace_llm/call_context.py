"""For whom a model is called, as services pass it on to one another: headrace.llm.v1.CallContext."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from headrace.llm.v1 import call_pb2

from headrace_llm.client import ChatRequest, Priority

_PRIORITIES: Mapping[int, Priority] = {
    call_pb2.CALL_PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    call_pb2.CALL_PRIORITY_STANDARD: Priority.STANDARD,
    call_pb2.CALL_PRIORITY_BACKGROUND: Priority.BACKGROUND,
}
_NUMBERS = {priority: number for number, priority in _PRIORITIES.items()}


@dataclass(frozen=True, slots=True)
class CallContext:
    """The work that a call belongs to."""

    run_id: str = ""
    priority: Priority | None = None
    """None leaves it to the service that makes the call."""
    started_at: float | None = None
    """Seconds since 1970; see `ChatRequest`."""

    @staticmethod
    def of_run(run_id: str, priority: int, created_at: datetime) -> "CallContext":
        """The context of a run's calls."""
        return CallContext(run_id, Priority(priority), created_at.timestamp())

    def applied(self, request: ChatRequest) -> ChatRequest:
        """The request as a call of this work; a purpose and a priority of the request's own stay where nothing is known."""
        priority = request.priority if self.priority is None else self.priority
        return replace(request, run_id=self.run_id, priority=priority, started_at=self.started_at)

    def to_proto(self) -> call_pb2.CallContext:
        """The wire form."""
        number = call_pb2.CALL_PRIORITY_UNSPECIFIED if self.priority is None else _NUMBERS[self.priority]
        message = call_pb2.CallContext(run_id=self.run_id, priority=number)  # type: ignore[arg-type]
        if self.started_at is not None:
            message.started.SetInParent()
            message.started.FromMicroseconds(round(self.started_at * 1e6))
        return message

    @staticmethod
    def from_proto(message: call_pb2.CallContext) -> "CallContext":
        """Decode the wire form; a priority that is not known is left open."""
        started_at = message.started.ToMicroseconds() / 1e6 if message.HasField("started") else None
        return CallContext(message.run_id, _PRIORITIES.get(message.priority), started_at)


NO_CONTEXT = CallContext()
"""Of a call that belongs to no work that is known."""
