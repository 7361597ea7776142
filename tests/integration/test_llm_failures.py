"""What becomes of a call when the provider fails: real LiteLLM against a server that fails over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from headrace_llm import app
from headrace_llm.client import ChatRequest, Completion, Message, ModelClient, Restarted
from headrace_llm.errors import (
    BreakerOpen,
    ProviderAuth,
    QuotaUsedUp,
    Throttled,
)
from headrace_llm.registry import ModelEntry, Registry
from headrace_llm.settings import LlmSettings
from pydantic import SecretStr

from tests.support.openai_server import OpenAiServer, Reply, openai_server

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:litellm")
OPENAI_USED_UP = "You exceeded your current quota, please check your plan and billing details."
INSPECTION = "Output data may contain inappropriate content."


@pytest.fixture
async def server() -> AsyncIterator[OpenAiServer]:
    async with openai_server() as value:
        yield value


@pytest.fixture
async def models(server: OpenAiServer, redis_url: str) -> AsyncIterator[ModelClient]:
    local = ModelEntry(id="local", model="openai/local", api_base=server.base_url)
    quick = {"fallback_wait_s": 2.0}
    entries = [
        local,
        local.model_copy(update={"id": "first", "model": "openai/first", "fallbacks": ("second", "large"), **quick}),
        local.model_copy(update={"id": "second", "model": "openai/second"}),
        local.model_copy(update={"id": "large", "model": "openai/large", "context_tokens": 1_000_000}),
        local.model_copy(update={"id": "hasty", "model": "openai/hasty", "fallbacks": ("second",), "timeout_s": 0.3}),
        local.model_copy(update={"id": "minutely", "model": "dashscope/qwen-max"}),
    ]
    address = SecretStr(redis_url)
    settings = LlmSettings(
        models_file=Path("unused"), redis_url=address, silence_s=0.5, first_token_s=2.0, cool_down_s=60, cache=False
    )
    async with app.model_client(settings, Registry.of(entries)) as client:
        await client.complete(ask(deadline_s=100))  # until here LiteLLM may be imported
        server.requests.clear()
        yield client


def ask(model: str = "", *, deadline_s: float = 10.0, **changes: object) -> ChatRequest:
    return ChatRequest((Message("user", "how is it"),), "t", deadline_s, model, **changes)  # type: ignore[arg-type]


async def read(models: ModelClient, request: ChatRequest) -> list[str | Restarted | Completion]:
    return [item async for item in models.stream(request)]


@pytest.mark.parametrize("fault", ["cut", "end", "stall"])
async def test_a_stream_that_breaks_off_goes_on_with_the_fallback(
    models: ModelClient, server: OpenAiServer, fault: str
) -> None:
    server.will(Reply(fault=fault))  # type: ignore[arg-type]
    *items, end = await read(models, ask("first"))
    assert items == ["all ", "is w", Restarted("second"), "all ", "is w", "ell"]
    assert isinstance(end, Completion)
    assert (end.model, set(end.usage.models)) == ("second", {"first", "second"})
    assert [body["model"] for body in server.requests] == ["first", "second"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reply", "asked"),
    [
        (Reply(status=500), ["first", "first", "first", "second"]),
        (Reply(status=504), ["first", "first", "first", "second"]),
        (Reply(status=401), ["first", "second"]),
        (Reply(status=402), ["first", "second"]),
        (Reply(status=429, code="insufficient_quota", error=OPENAI_USED_UP), ["first", "second"]),
        (Reply(status=429, headers={"Retry-After": "3"}), ["first", "second"]),
        (Reply(status=400, code="data_inspection_failed", error=INSPECTION), ["first", "second"]),
        (Reply(status=400, error="This model's maximum context length is 9 tokens."), ["first", "large"]),
        (Reply(status=400, error="Range of input length should be [1, 30720]"), ["first", "large"]),
        (Reply(status=413), ["first", "large"]),
    ],
)
async def test_another_model_answers_where_that_helps(
    models: ModelClient, server: OpenAiServer, reply: Reply, asked: list[str], stream: bool
) -> None:
    server.will(*[reply] * (len(asked) - 1))
    done = (await read(models, ask("first")))[-1] if stream else await models.complete(ask("first"))
    assert isinstance(done, Completion)
    assert done.model == asked[-1]
    assert [body["model"] for body in server.requests] == asked


async def test_a_stream_without_a_first_token_goes_on_with_the_fallback(models: ModelClient, server: OpenAiServer) -> None:
    server.will(Reply(fault="hang"))
    *_, end = await read(models, ask("first"))
    assert isinstance(end, Completion)
    assert end.model == "second"
    await asyncio.wait_for(server.gone.wait(), 5)


async def test_a_hung_call_ends_at_its_models_timeout(models: ModelClient, server: OpenAiServer) -> None:
    server.will(Reply(fault="hang"))
    done = await models.complete(ask("hasty"))
    assert (done.model, [body["model"] for body in server.requests]) == ("second", ["hasty", "second"])
    await asyncio.wait_for(server.gone.wait(), 5)


@pytest.mark.parametrize(
    ("error", "code", "what"),
    [
        ("Requests rate limit exceeded, please try again later.", "limit_requests", "requests"),
        ("Allocated quota exceeded, please increase your quota limit.", None, "tokens"),
        (OPENAI_USED_UP, "insufficient_quota", "tokens"),
        ("Request rate increased too quickly. To ensure system stability, adjust.", "limit_burst_rate", "burst"),
        ("Rate limit reached for gpt-4o on requests per min (RPM): Limit 3", "rate_limit_exceeded", "requests"),
        ("Rate limit reached for gpt-4o on tokens per min (TPM): Limit 3", "rate_limit_exceeded", "tokens"),
        ("Too many concurrent requests", None, "concurrency"),
        ("Come back later", None, "unknown"),
    ],
)
async def test_a_429_names_its_limit(
    models: ModelClient, server: OpenAiServer, error: str, code: str | None, what: str
) -> None:
    server.will(Reply(status=429, error=error, code=code))
    with pytest.raises(Throttled) as caught:
        await models.complete(ask("minutely", deadline_s=20))
    assert (caught.value.what, caught.value.retry_after_s) == (what, 60)


async def test_an_empty_account_says_that_waiting_does_not_help(models: ModelClient, server: OpenAiServer) -> None:
    server.will(Reply(status=429, error=OPENAI_USED_UP, code="insufficient_quota"))
    with pytest.raises(QuotaUsedUp, match="waiting does not help"):
        await models.complete(ask("local"))
    assert len(server.requests) == 1


async def test_a_model_that_keeps_failing_is_left_alone(models: ModelClient, server: OpenAiServer) -> None:
    server.will(*[Reply(status=401)] * 8)
    for _ in range(8):
        with pytest.raises(ProviderAuth):
            await models.complete(ask())
    with pytest.raises(BreakerOpen) as caught:
        await models.complete(ask())
    assert 0 < (caught.value.retry_after_s or 0) <= 5
    assert len(server.requests) == 8
    assert {one.model for one in models.signals() if one.breaker_open} == {"local"}
