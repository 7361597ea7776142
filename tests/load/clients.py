"""The clients that are compared: ours, in this process or over executors, with other gates, and LiteLLM's own ways."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from unittest import mock

import orjson
from headrace.executor.v1 import executor_pb2, executor_pb2_grpc
from headrace_llm import app
from headrace_llm.adapters.litellm_provider import LiteLlm
from headrace_llm.call_context import CallContext
from headrace_llm.client import ChatRequest, Message, Priority
from headrace_llm.gate.paced import PacedGate
from headrace_llm.ports import Ask, Grant
from headrace_llm.registry import Limits, ModelEntry, Price, Registry
from headrace_llm.settings import LlmSettings
from headrace_runtime import channels

from tests.load import gates
from tests.load.traffic import Current, Flow, Orders

MODEL = "load"
PROMPT = "How deep is the mill's head race, and why?"
MOST = 100_000
"""Calls that may wait in a gate that refuses nobody."""
CONNECT_S = 30.0
CALLER_S = 5.0
"""How long past its deadline a call to an executor is cut by the channel; its caller has left before."""

OURS = "headrace"
GATES: dict[str, type[PacedGate]] = {OURS: PacedGate, "off": gates.Off, "split": gates.Split, "fifo": gates.Fifo}
PATIENT = ("off", "fifo")
"""Those that refuse nobody."""
ROOM = {"max_waiting": MOST, "max_queue": MOST}
RETRIES, ROUTER = "litellm retries", "litellm router"

Call = Callable[[Flow], Awaitable[None]]
"""Makes a call. Returns when there is an answer, and raises else."""

current: ContextVar[Current] = ContextVar("current")


@asynccontextmanager
async def client(orders: Orders) -> AsyncIterator[Call]:
    """The client of that name, warm."""
    if orders.variant in GATES:
        async with _executors(orders) if orders.targets else _ours(orders) as call:
            yield call
        return
    litellm = await LiteLlm({}).warm()
    make = {RETRIES: _retries, ROUTER: _router}[orders.variant]
    yield make(litellm, orders)


@asynccontextmanager
async def _ours(orders: Orders) -> AsyncIterator[Call]:
    entry = ModelEntry(
        id=MODEL,
        model=f"openai/{MODEL}",
        api_base=f"{orders.provider_url}/v1",
        price=Price(prompt_usd_per_million=0, completion_usd_per_million=0),
        limits=Limits.model_validate(orders.limits),
    )
    room = ROOM if orders.variant in PATIENT else {}
    settings = LlmSettings.model_validate({"models_file": Path("none"), "redis_url": orders.redis_url, **room})
    async with AsyncExitStack() as stack:
        stack.enter_context(mock.patch.object(app, "PacedGate", _noting(GATES[orders.variant])))
        models = await stack.enter_async_context(app.model_client(settings, Registry.of([entry])))
        await asyncio.gather(*(one for one in asyncio.all_tasks() if one.get_name() == "litellm warm-up"))

        async def call(flow: Flow) -> None:
            request = ChatRequest(
                [Message("user", PROMPT)],
                flow.tenant,
                flow.deadline_s,
                priority=Priority(flow.priority),
                max_tokens=flow.max_tokens,
                cache=False,
            )
            await models.complete(request)

        yield call


@asynccontextmanager
async def _executors(orders: Orders) -> AsyncIterator[Call]:
    """Chats of executor processes, each call at one of them, as the edge asks them."""
    async with channels.open_channel(",".join(orders.targets)) as channel:
        async with asyncio.timeout(CONNECT_S):
            await channel.channel_ready()
        yield _chats(executor_pb2_grpc.ChatServiceStub(channel), orders.first_token_s)


def _chats(stub: "executor_pb2_grpc.ChatServiceAsyncStub", first_token_s: float | None) -> Call:
    async def call(flow: Flow) -> None:
        request = executor_pb2.ChatRequest(
            tenant_id=flow.tenant,
            model=MODEL,
            context=CallContext(priority=Priority(flow.priority)).to_proto(),
            deadline_s=flow.deadline_s,
            body=orjson.dumps({"messages": [{"role": "user", "content": PROMPT}], "max_tokens": flow.max_tokens}),
            cache=False,
        )
        one = current.get()
        async for item in channels.stream(stub.Chat, request, timeout_s=flow.deadline_s + CALLER_S):
            if item.HasField("text") and first_token_s is not None and one.record.waited_s is None:
                waited_s = asyncio.get_running_loop().time() - one.started - first_token_s
                one.record.waited_s = max(0.0, waited_s)

    return call


def _noting(gate: type[PacedGate]) -> type[PacedGate]:
    """The same gate; it writes down when a call was let through."""

    class Noting(gate):  # type: ignore[misc, valid-type]
        async def acquire(self, model: ModelEntry, ask: Ask) -> Grant:
            grant = await super().acquire(model, ask)
            one = current.get(None)
            if one is not None:
                one.record.waited_s = asyncio.get_running_loop().time() - one.started
            return grant

    return Noting


def _retries(litellm: Any, orders: Orders) -> Call:
    async def call(flow: Flow) -> None:
        await litellm.acompletion(
            model=f"openai/{MODEL}",
            api_base=f"{orders.provider_url}/v1",
            api_key="none",
            messages=[{"role": "user", "content": PROMPT}],
            max_tokens=flow.max_tokens,
            timeout=flow.deadline_s,
            num_retries=3,
        )

    return call


def _router(litellm: Any, orders: Orders) -> Call:
    """As its documentation has it for several processes and one limit."""
    router = litellm.Router(
        model_list=[
            {
                "model_name": MODEL,
                "litellm_params": {
                    "model": f"openai/{MODEL}",
                    "api_base": f"{orders.provider_url}/v1",
                    "api_key": "none",
                    **{name: orders.limits[name] for name in ("rpm", "tpm") if orders.limits.get(name)},
                },
            }
        ],
        routing_strategy="usage-based-routing-v2",
        redis_url=orders.redis_url,
        num_retries=3,
    )

    async def call(flow: Flow) -> None:
        await router.acompletion(
            model=MODEL,
            messages=[{"role": "user", "content": PROMPT}],
            max_tokens=flow.max_tokens,
            timeout=flow.deadline_s,
        )

    return call
