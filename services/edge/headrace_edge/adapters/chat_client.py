"""The executor's ChatService as a port."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import grpc
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as grpc_pb
from headrace.llm.v1 import call_pb2

from headrace_edge.adapters import decoding
from headrace_edge.adapters.calls import Caller
from headrace_edge.openai.model import Answered, AnswerItem, Question, Restarted, ToolCall

MARGIN_S = 5.0
"""How much longer than the answer the call may take, so that the executor's own error arrives."""


class ExecutorChats:
    """`ports.Chats` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, caller: Caller) -> None:
        self._stub = grpc_pb.ChatServiceStub(channel)
        self._caller = caller

    async def ask(self, question: Question) -> AsyncGenerator[AnswerItem, None]:
        """See the port."""
        request = pb.ChatRequest(
            tenant_id=question.tenant,
            model=question.model,
            context=call_pb2.CallContext(priority=f"CALL_PRIORITY_{question.priority.upper()}"),
            deadline_s=question.timeout_s,
            body=question.body,
            cache=question.cache,
        )
        timeout_s = question.timeout_s + MARGIN_S
        async with aclosing(self._caller.stream(self._stub.Chat, request, timeout_s=timeout_s)) as answers:
            async for answer in answers:
                yield _item(answer)


def _item(answer: pb.ChatResponse) -> AnswerItem:
    match answer.WhichOneof("item"):
        case "text":
            return answer.text
        case "restarted_with":
            return Restarted()
        case _:
            return _answered(answer.completion)


def _answered(done: pb.ChatCompletion) -> Answered:
    calls = tuple(ToolCall(one.id, one.name, one.arguments) for one in done.tool_calls)
    return Answered(done.text, done.model, done.finish_reason, decoding.usage(done.usage), calls)
