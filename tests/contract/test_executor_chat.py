"""ChatService against its proto, through a real server, with a model that answers from a script."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import orjson
import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as pb_grpc
from headrace.llm.v1 import call_pb2
from headrace_executor import metrics
from headrace_executor.app import PACKAGE
from headrace_executor.chat import Chats
from headrace_executor.chat_servicer import ChatServicer
from headrace_llm.client import Message, Priority, ToolCall
from headrace_llm.errors import GateRefused, InvalidAnswer, ProviderUnavailable
from headrace_llm.usage import ModelUsage, Usage
from headrace_runtime import channels, errors, serve

from tests.support.executor_durable import eventually, refused
from tests.support.models import Scripted, ScriptedModels

HELLO = {"messages": [{"role": "user", "content": "hello"}]}


@dataclass
class Served:
    models: ScriptedModels
    chats: Chats
    stub: "pb_grpc.ChatServiceAsyncStub"
    spent: list[tuple[str, Usage]] = field(default_factory=list)

    def record(self, tenant_id: str, usage: Usage) -> None:
        self.spent.append((tenant_id, usage))

    def call(self, body: Any = HELLO, **fields: Any) -> Any:
        """An open call of grpc's, to be read or cancelled."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        return self.stub.Chat(pb.ChatRequest(**{"tenant_id": "t", "body": data, **fields}), timeout=20)

    async def ask(self, body: Any = HELLO, **fields: Any) -> list[pb.ChatResponse]:
        """All answers. Raises ServiceError."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        request = pb.ChatRequest(**{"tenant_id": "t", "body": data, **fields})
        return [answer async for answer in channels.stream(self.stub.Chat, request, timeout_s=20)]


@asynccontextmanager
async def served(*answers: Any, limit: int = 8, otherwise: Any = "ok") -> AsyncIterator[Served]:
    models = ScriptedModels(answers, otherwise)
    one = Served(models, None, None)  # type: ignore[arg-type]
    one.chats = Chats(models, one, limit=limit, text_delay_s=0.005)
    endpoint = serve.Endpoint(f"{PACKAGE}.ChatService", ChatServicer(one.chats), pb_grpc.add_ChatServiceServicer_to_server)
    server, _, port = await serve.start(serve.Service((endpoint,)), "127.0.0.1:0")
    channel = channels.open_channel(f"127.0.0.1:{port}")
    one.stub = pb_grpc.ChatServiceStub(channel)
    try:
        yield one
    finally:
        await channel.close()
        await server.stop(0)


async def test_an_answer_comes_in_texts_and_ends_with_the_completion() -> None:
    async with served("one two three") as one:
        *texts, last = await one.ask()
    assert "".join(item.text for item in texts) == "one two three"
    done = last.completion
    assert (done.text, done.model, done.finish_reason) == ("one two three", "big", "stop")
    assert (done.usage.llm_calls, done.usage.prompt_tokens, done.usage.completion_tokens) == (1, 10, 3)
    assert one.spent == [("t", Usage.from_proto(done.usage))]


async def test_texts_that_come_at_once_leave_together() -> None:
    async with served(Scripted(pieces=["x"] * 500)) as one:
        *texts, _ = await one.ask()
    assert "".join(item.text for item in texts) == "x" * 500
    assert len(texts) < 50


async def test_what_was_asked_reaches_the_model() -> None:
    tool = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}
    form = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}}
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    body = {
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "be "}, {"type": "text", "text": "brief"}]},
            {"role": "user", "content": "hi", "name": "ada"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
        ],
        "temperature": 0.5, "max_completion_tokens": 7, "max_tokens": 9, "tools": [tool], "tool_choice": "auto",
        "response_format": form, "top_p": 0.5, "stop": ["a"], "seed": 1, "user": "u", "store": True,
        "api_base": "http://elsewhere", "api_key": "k", "timeout": 1, "num_retries": 5,
    }  # fmt: skip
    context = call_pb2.CallContext(run_id="r", priority=call_pb2.CALL_PRIORITY_BACKGROUND)
    context.started.FromSeconds(1000)
    async with served() as one:
        await one.ask(body, model="small", deadline_s=5, context=context, cache=True)
        await one.ask()
    asked, plain = one.models.requests
    assert asked.messages == (
        Message("system", "be brief"),
        Message("user", "hi"),
        Message("assistant", "", (ToolCall("c1", "look", "{}"),)),
        Message("tool", "found", (), "c1"),
    )
    assert (asked.model, asked.deadline_s, asked.priority, asked.run_id) == ("small", 5, Priority.BACKGROUND, "r")
    assert (asked.temperature, asked.max_tokens, asked.cache, asked.started_at) == (0.5, 7, True, 1000)
    assert list(asked.tools) == [tool]
    assert asked.options == {
        "tool_choice": "auto", "response_format": form, "top_p": 0.5, "stop": ["a"], "seed": 1, "user": "u",
    }  # fmt: skip
    assert (plain.temperature, plain.max_tokens, plain.cache, plain.started_at) == (1.0, None, None, None)
    assert (plain.model, plain.deadline_s, plain.priority) == ("", 120, Priority.INTERACTIVE)
    assert not plain.options


async def test_wishes_for_tools_and_restarts_are_told() -> None:
    wish = ToolCall("c1", "look", '{"at": 1}')
    answers = (
        Scripted(pieces=(), finish_reason="tool_calls", tool_calls=(wish,)),
        Scripted(pieces=("wrong", "right"), restarted_at=1),
    )
    async with served(*answers) as one:
        (called,) = await one.ask()
        begun, again, text, done = await one.ask()
    assert called.completion.finish_reason == "tool_calls"
    assert [(c.id, c.name, c.arguments) for c in called.completion.tool_calls] == [("c1", "look", '{"at": 1}')]
    assert (begun.text, again.restarted_with, text.text, done.completion.text) == ("wrong", "big", "right", "right")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (b"[]", ""),
        (b"{", "body"),
        ({"messages": []}, "/messages"),
        ({}, "/messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "/messages/0/role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "/messages/0/content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "/messages/0"),
        ({**HELLO, "temperature": 3}, "/temperature"),
        ({**HELLO, "max_tokens": 0}, "/max_tokens"),
        ({**HELLO, "tools": [{"type": "web"}]}, "/tools/0/type"),
        ({**HELLO, "response_format": {"type": "json_schema"}}, "/response_format"),
    ],
)
async def test_a_wrong_body_is_refused_with_its_field_and_asks_nobody(change: Any, field: str) -> None:
    async with served() as one:
        error = await refused(one.ask(change))
        assert isinstance(error, errors.InvalidArgument)
        assert error.violations[0].field.startswith(field)
        assert not one.models.requests


@pytest.mark.parametrize(
    "fields", [{"tenant_id": ""}, {"model": "x" * 129}, {"deadline_s": 0.5}, {"deadline_s": 3601}, {"deadline_s": -1}]
)
async def test_a_wrong_request_is_refused(fields: Any) -> None:
    async with served() as one:
        assert isinstance(await refused(one.ask(**fields)), errors.InvalidArgument)
        assert not one.models.requests


async def test_an_unknown_model_is_not_found() -> None:
    async with served() as one:
        error = await refused(one.ask(model="gone"))
    assert (type(error), error.reason) == (errors.NotFound, "UNKNOWN_MODEL")


async def test_failures_are_passed_on_and_a_failed_call_is_made_once() -> None:
    failures = (GateRefused("later", retry_after_s=7.0), ProviderUnavailable("away"))
    async with served(*failures, Scripted(pieces=("half",), error=ProviderUnavailable("cut"))) as one:
        late = await refused(one.ask())
        away = await refused(one.ask())
        cut = await refused(one.ask())
    assert (type(late), late.retry_after_s) == (errors.ResourceExhausted, 7.0)
    assert (type(away), away.reason) == (errors.Unavailable, "PROVIDER_UNAVAILABLE")
    assert isinstance(cut, errors.Unavailable)
    assert len(one.models.requests) == 3


async def test_what_a_failed_chat_has_cost_is_noted() -> None:
    usage = Usage({"big": ModelUsage(1, 0, 5, 5, 0.5)})
    async with served(InvalidAnswer("no", text="", faults=(), usage=usage)) as one:
        await refused(one.ask())
    assert one.spent == [("t", usage)]


async def test_a_full_house_refuses_and_takes_again() -> None:
    gate = asyncio.Event()
    async with served(Scripted(pieces=("a", "b"), gate=gate), limit=1) as one:
        first = aiter(one.call())
        assert (await anext(first)).text == "a"
        error = await refused(one.ask())
        assert (type(error), error.reason) == (errors.ResourceExhausted, "TOO_MANY_CHATS")
        assert error.retry_after_s
        gate.set()
        assert [item async for item in first][-1].completion.text == "ab"
        assert (await one.ask())[-1].completion.text == "ok"
    assert metrics.CHATS._value.get() == 0


async def test_a_caller_who_leaves_aborts_the_call_and_frees_the_place() -> None:
    async with served(Scripted(pieces=("a", "b"), gate=asyncio.Event()), limit=1) as one:
        call = one.call()
        assert (await call.read()).text == "a"
        call.cancel()
        await eventually(lambda: one.models.closed_early == 1)
        assert (await one.ask())[-1].completion.text == "ok"


async def test_what_a_caller_who_left_had_is_noted() -> None:
    async with served(Scripted(pieces=("a", "b"), gate=asyncio.Event())) as one:
        call = one.call()
        assert (await call.read()).text == "a"
        call.cancel()
        await eventually(lambda: bool(one.spent))
        assert one.spent == [("t", Usage({"big": ModelUsage(1, 0, 10, 1)}))]


async def test_a_caller_who_reads_nothing_holds_the_model_back_and_may_leave() -> None:
    async with served(Scripted(pieces=["x" * 1000] * 20_000), limit=1) as one:
        call = one.call()
        assert (await call.read()).text
        call.cancel()
        await eventually(lambda: one.models.closed_early == 1)
        assert (await one.ask())[-1].completion.text == "ok"


async def test_a_drain_lets_open_chats_end_and_takes_no_more() -> None:
    gate = asyncio.Event()
    async with served(Scripted(pieces=("a", "b"), gate=gate)) as one:
        first = aiter(one.call())
        assert (await anext(first)).text == "a"
        drained = asyncio.create_task(one.chats.drain())
        await asyncio.sleep(0)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await one.call().read()
        assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
        assert not drained.done()
        gate.set()
        assert [item async for item in first][-1].completion.text == "ab"
        await drained
