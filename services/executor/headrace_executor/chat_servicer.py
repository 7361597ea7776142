"""ChatService: one model asked directly."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as pb_grpc
from headrace.llm.v1 import call_pb2
from headrace_llm.call_context import CallContext
from headrace_llm.client import ChatRequest, Completion, Priority, Restarted
from headrace_llm.errors import UnknownModel
from headrace_runtime import errors

from headrace_executor import chat_body, codec
from headrace_executor.chat import Chats, Item

MAX_DEADLINE_S = 3600.0
DEFAULT_DEADLINE_S = 120.0
MAX_MODEL = 128
"""Characters of a model's id."""


class ChatServicer(pb_grpc.ChatServiceServicer):
    """headrace.executor.v1.ChatService."""

    def __init__(self, chats: Chats) -> None:
        self._chats = chats

    async def Chat(  # noqa: N802
        self, request: pb.ChatRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[pb.ChatResponse]:
        """Stream an answer."""
        asked = _asked(request)
        with self._chats.place():
            # With its headers sent, the call is the client's own to repeat: a channel's retries would multiply ours.
            await context.send_initial_metadata(())
            try:
                async with aclosing(self._chats.ask(asked)) as items:
                    async for item in items:
                        yield _answered(item)
            except UnknownModel as error:
                raise errors.NotFound(error.message, reason=error.reason) from error


def _asked(request: pb.ChatRequest) -> ChatRequest:
    if len(request.model) > MAX_MODEL:
        raise codec.invalid("model", f"must have at most {MAX_MODEL} characters")
    if request.deadline_s and not 1 <= request.deadline_s <= MAX_DEADLINE_S:
        raise codec.invalid("deadline_s", f"must be 1 to {MAX_DEADLINE_S:g}, or 0 for {DEFAULT_DEADLINE_S:g}")
    if request.context.priority not in call_pb2.CallPriority.values():
        raise codec.invalid("context.priority", "must be one of CallPriority")
    codec.name("context.run_id", request.context.run_id, required=False)
    body = chat_body.read(request.body)
    asked = ChatRequest(
        messages=body.messages,
        tenant_id=codec.tenant(request.tenant_id),
        deadline_s=request.deadline_s or DEFAULT_DEADLINE_S,
        model=request.model,
        priority=Priority.INTERACTIVE,
        max_tokens=body.max_tokens,
        temperature=body.temperature,
        tools=body.tools,
        options=body.options,
        cache=request.cache if request.HasField("cache") else None,
    )
    return CallContext.from_proto(request.context).applied(asked)


def _answered(item: Item) -> pb.ChatResponse:
    match item:
        case str():
            return pb.ChatResponse(text=item)
        case Restarted():
            return pb.ChatResponse(restarted_with=item.model)
        case Completion():
            return pb.ChatResponse(completion=_completion(item))


def _completion(value: Completion) -> pb.ChatCompletion:
    return pb.ChatCompletion(
        text=value.text,
        model=value.model,
        finish_reason=value.finish_reason,
        tool_calls=[pb.ChatToolCall(id=one.id, name=one.name, arguments=one.arguments) for one in value.tool_calls],
        usage=value.usage.to_proto(),
    )
