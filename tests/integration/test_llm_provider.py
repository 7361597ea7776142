"""Real LiteLLM against a small OpenAI-compatible server that misbehaves on purpose."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from headrace_llm import app
from headrace_llm.adapters.litellm_provider import LiteLlm
from headrace_llm.client import ChatRequest, Completion, Message, ModelClient, Restarted, ToolCall
from headrace_llm.errors import (
    CallTimeout,
    GateRefused,
    InvalidAnswer,
    InvalidRegistry,
    ModelSilent,
    ProviderAuth,
    ProviderRejected,
    ProviderUnavailable,
    Throttled,
)
from headrace_llm.registry import Limits, ModelEntry, Registry
from headrace_llm.settings import LlmSettings
from headrace_runtime.errors import InvalidArgument
from pydantic import SecretStr

from tests.support.openai_server import OpenAiServer, Reply, openai_server

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:litellm")
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture
async def server() -> AsyncIterator[OpenAiServer]:
    async with openai_server() as value:
        yield value


@pytest.fixture
async def models(server: OpenAiServer, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModelClient]:
    monkeypatch.setenv("TEST_KEY", "sk-secret")
    local = ModelEntry(id="local", model="openai/local", api_base=server.base_url)
    entries = [
        local,
        local.model_copy(update={"id": "keyed", "model": "openai/keyed", "api_key_env": "TEST_KEY"}),
        local.model_copy(update={"id": "keyless", "model": "openai/keyless", "api_key_env": "UNSET_KEY"}),
        local.model_copy(update={"id": "paced", "model": "openai/paced", "limits": Limits(rpm=600)}),
        local.model_copy(update={"id": "words", "model": "openai/words", "structured": "prompt"}),
        local.model_copy(update={"id": "priced", "model": "openai/gpt-4o"}),
        local.model_copy(update={"id": "picky", "model": "openai/o3-mini"}),
        local.model_copy(update={"id": "toolless", "model": "perplexity/sonar"}),
        ModelEntry(id="closed", model="openai/closed", api_base="http://127.0.0.1:9/v1"),
        ModelEntry(id="nowhere", model="nosuchprovider/x"),
    ]
    settings = LlmSettings(models_file=Path("unused"), redis_url=SecretStr(redis_url), silence_s=0.5, cache=False)
    async with app.model_client(settings, Registry.of(entries)) as client:
        yield client


def ask(model: str = "", *, deadline_s: float = 10.0, **changes: object) -> ChatRequest:
    return ChatRequest((Message("user", "how is it"),), "t", deadline_s, model, **changes)  # type: ignore[arg-type]


async def read(models: ModelClient, request: ChatRequest) -> list[str | Restarted | Completion]:
    return [item async for item in models.stream(request)]


async def test_a_whole_answer(models: ModelClient, server: OpenAiServer) -> None:
    done = await models.complete(ask(max_tokens=7, temperature=0.5))
    assert done.text == "all is well"
    assert (done.usage.total.prompt_tokens, done.usage.total.completion_tokens) == (3, 3)
    assert done.usage.total.cost_usd is None
    body = server.requests[0]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("local", 7, 0.5)
    assert body["messages"] == [{"role": "user", "content": "how is it"}]


async def test_a_second_client_in_the_process_takes_no_call_from_the_first(
    models: ModelClient, server: OpenAiServer
) -> None:
    server.otherwise = Reply(text="from the server")
    await models.complete(ask())
    for _ in range(8):
        calls = [models.complete(ask(deadline_s=20.0)) for _ in range(4)]
        answers, _ = await asyncio.gather(asyncio.gather(*calls), LiteLlm({}).warm())
        assert {answer.text for answer in answers} == {"from the server"}
    assert len(server.requests) == 1 + 8 * 4


async def test_a_streamed_answer(models: ModelClient, server: OpenAiServer) -> None:
    *pieces, end = await read(models, ask())
    assert pieces == ["all ", "is w", "ell"]
    assert isinstance(end, Completion)
    assert (end.text, end.finish_reason, end.usage.total.completion_tokens) == ("all is well", "stop", 3)
    server.will(Reply(finish_reason="length", usage=False))
    *_, end = await read(models, ask())
    assert isinstance(end, Completion)
    assert end.finish_reason == "length"
    assert end.usage.total.completion_tokens > 0


async def test_the_price_list_prices_what_the_registry_does_not(models: ModelClient) -> None:
    done = await models.complete(ask("priced"))
    assert done.usage.total.cost_usd == pytest.approx(3 * 2.5e-6 + 3 * 10e-6)


async def test_a_key_goes_where_the_registry_says_and_nowhere_else(models: ModelClient, server: OpenAiServer) -> None:
    await models.complete(ask("keyed"))
    await models.complete(ask("local"))
    assert server.keys == ["Bearer sk-secret", "Bearer none"]
    with pytest.raises(ProviderAuth, match="set UNSET_KEY in the environment"):
        await models.complete(ask("keyless"))
    assert len(server.requests) == 2


async def test_a_model_without_temperature_is_asked_without(models: ModelClient, server: OpenAiServer) -> None:
    for _ in range(2):
        assert (await models.complete(ask("picky", max_tokens=7))).text == "all is well"
    assert [("temperature" in body, body["max_completion_tokens"]) for body in server.requests] == [(False, 7)] * 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (401, ProviderAuth, "correct TEST_KEY in the environment"),
        (403, ProviderAuth, "models.keyed.api_key_env"),
        (404, ProviderAuth, "correct models.keyed.model"),
        (400, ProviderRejected, "too long for"),
        (422, ProviderRejected, "too long for"),
        (413, ProviderRejected, "too long for"),
    ],
)
async def test_a_refusal_is_not_tried_again_and_says_what_to_change(
    models: ModelClient, server: OpenAiServer, status: int, error: type[Exception], text: str, stream: bool
) -> None:
    server.will(Reply(status=status, error="too long for sk-secret"))
    with pytest.raises(error, match=text) as caught:
        await (read(models, ask("keyed")) if stream else models.complete(ask("keyed")))
    assert len(server.requests) == 1
    assert "sk-secret" not in str(caught.value)


async def test_an_unknown_provider_is_a_line_that_says_so(models: ModelClient) -> None:
    with pytest.raises(ProviderAuth, match=r"correct models\.nowhere\.model"):
        await models.complete(ask("nowhere"))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_failing_provider_is_tried_twice_more(
    models: ModelClient, server: OpenAiServer, status: int, stream: bool
) -> None:
    server.will(*[Reply(status=status)] * 3)
    with pytest.raises(ProviderUnavailable):
        await (read(models, ask()) if stream else models.complete(ask()))
    assert len(server.requests) == 3


async def test_a_closed_port_is_unavailable(models: ModelClient) -> None:
    with pytest.raises(ProviderUnavailable):
        await models.complete(ask("closed"))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_429_waits_as_long_as_it_says_and_no_call_is_hidden(
    models: ModelClient, server: OpenAiServer, stream: bool
) -> None:
    server.will(Reply(status=429, headers={"Retry-After": "1"}))
    await (read(models, ask()) if stream else models.complete(ask()))
    assert len(server.arrivals) == 2
    assert server.arrivals[1] - server.arrivals[0] >= 0.99
    server.will(Reply(status=429, headers={"Retry-After": "70"}))
    with pytest.raises(Throttled) as caught:
        await (read(models, ask()) if stream else models.complete(ask()))
    assert caught.value.retry_after_s == 70
    with pytest.raises(GateRefused):
        await models.complete(ask())
    assert len(server.requests) == 3


@pytest.mark.parametrize("fault", ["cut", "end"])
async def test_a_stream_that_breaks_off_is_begun_anew_once(models: ModelClient, server: OpenAiServer, fault: str) -> None:
    broken = Reply(fault=fault)  # type: ignore[arg-type]
    server.will(broken)
    *items, end = await read(models, ask())
    assert items == ["all ", "is w", Restarted("local"), "all ", "is w", "ell"]
    assert isinstance(end, Completion)
    assert (end.text, end.usage.total.llm_calls) == ("all is well", 2)
    server.will(broken, broken)
    with pytest.raises(ProviderUnavailable):
        await read(models, ask())
    assert len(server.requests) == 4


async def test_a_stream_that_stalls_is_given_up(models: ModelClient, server: OpenAiServer) -> None:
    server.will(Reply(fault="stall"), Reply(fault="stall"))
    with pytest.raises(ModelSilent):
        await read(models, ask())
    await asyncio.wait_for(server.gone.wait(), 5)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_deadline_holds_and_aborts_the_call(models: ModelClient, server: OpenAiServer, stream: bool) -> None:
    await models.complete(ask())
    server.will(Reply(fault="hang"))
    started = asyncio.get_running_loop().time()
    with pytest.raises(CallTimeout):
        await (read(models, ask(deadline_s=0.5)) if stream else models.complete(ask(deadline_s=0.5)))
    assert asyncio.get_running_loop().time() - started < 2
    await asyncio.wait_for(server.gone.wait(), 5)
    assert len(server.requests) == 2


async def test_a_reader_who_leaves_aborts_the_call(models: ModelClient, server: OpenAiServer) -> None:
    server.will(Reply(fault="stall"))
    stream = cast("AsyncGenerator[str | Completion, None]", models.stream(ask()))
    assert await anext(stream) == "all "
    await stream.aclose()
    await asyncio.wait_for(server.gone.wait(), 5)


async def test_a_cancelled_call_is_aborted(models: ModelClient, server: OpenAiServer) -> None:
    server.will(Reply(fault="hang"))
    task = asyncio.create_task(models.complete(ask()))
    async with asyncio.timeout(10):
        while not server.requests:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.gone.wait(), 5)


async def test_a_schema_is_sent_and_held(models: ModelClient, server: OpenAiServer) -> None:
    server.will(Reply(text='{"n": 3}'), Reply(text='{"n": "three"}'))
    assert json.loads((await models.complete(ask(schema=SCHEMA))).text) == {"n": 3}
    sent = server.requests[0]["response_format"]
    assert (sent["type"], sent["json_schema"]["schema"]) == ("json_schema", SCHEMA)
    with pytest.raises(InvalidAnswer):
        await models.complete(ask(schema=SCHEMA))


async def test_a_schema_can_be_asked_for_in_words(models: ModelClient, server: OpenAiServer) -> None:
    server.will(Reply(text='```json\n{"n": 3}\n```'))
    assert (await models.complete(ask("words", schema=SCHEMA))).text == '{"n": 3}'
    body = server.requests[0]
    assert body["response_format"] == {"type": "json_object"}
    assert json.dumps(SCHEMA) in body["messages"][0]["content"]


async def test_calls_reach_the_provider_at_the_pace_of_its_quota(models: ModelClient, server: OpenAiServer) -> None:
    await asyncio.gather(*(models.complete(ask("paced")) for _ in range(8)))
    gaps = [later - earlier for earlier, later in zip(server.arrivals, server.arrivals[1:], strict=False)]
    assert server.arrivals[-1] - server.arrivals[0] >= 0.65
    assert sorted(gaps)[len(gaps) // 2] >= 0.07


async def test_what_is_wrong_can_be_seen_before_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    registry = Registry.of_names(["dashscope/qwen-max", "nosuchprovider/x", "ollama/llama3"])
    found = await app.faults(registry)
    assert found[0] == "dashscope/qwen-max: set DASHSCOPE_API_KEY in the environment"
    assert "nosuchprovider" in found[1]
    monkeypatch.setenv("DASHSCOPE_API_KEY", "k")
    assert not [fault for fault in await app.faults(registry) if "dashscope" in fault]


async def test_a_models_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    settings = LlmSettings(models_file=tmp_path / "none.yaml")
    with pytest.raises(InvalidRegistry, match="cannot be read"):
        async with app.model_client(settings):
            pass


TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CALLS = (("c1", "look", '{"at": "the mill"}'), ("c2", "look", '{"at": "the weir"}'))


@pytest.mark.parametrize("stream", [False, True])
async def test_wishes_for_tools_come_back_whole(models: ModelClient, server: OpenAiServer, stream: bool) -> None:
    server.will(Reply(text="", tool_calls=CALLS, finish_reason="tool_calls"))
    request = ask(tools=(TOOL,), options={"tool_choice": "auto"})
    done = (await read(models, request))[-1] if stream else await models.complete(request)
    assert isinstance(done, Completion)
    assert done.tool_calls == tuple(ToolCall(*call) for call in CALLS)
    assert (done.text, done.finish_reason) == ("", "tool_calls")
    body = server.requests[0]
    assert (body["tools"], body["tool_choice"]) == ([TOOL], "auto")


async def test_a_long_wish_is_no_silence(models: ModelClient, server: OpenAiServer) -> None:
    long = Reply(text="", tool_calls=(("c1", "look", "x" * 80),), pace_s=0.04, finish_reason="stop")
    server.will(long)
    (done,) = await read(models, ask(tools=(TOOL,)))
    assert isinstance(done, Completion)
    assert (done.tool_calls[0].arguments, done.finish_reason) == ("x" * 80, "tool_calls")
    assert len(server.requests) == 1


async def test_a_model_without_tools_is_not_asked_without_them(models: ModelClient, server: OpenAiServer) -> None:
    with pytest.raises(ProviderRejected, match="toolless takes no tools"):
        await models.complete(ask("toolless", tools=(TOOL,)))
    assert not server.requests
    assert (await models.complete(ask("picky", tools=(TOOL,)))).text == "all is well"
    assert server.requests[0]["tools"] == [TOOL]


async def test_tools_turns_go_to_the_provider(models: ModelClient, server: OpenAiServer) -> None:
    turns = (
        Message("user", "look"),
        Message("assistant", "", (ToolCall("c1", "look", "{}"),)),
        Message("tool", "a wheel", tool_call_id="c1"),
    )
    await models.complete(ChatRequest(turns, "t", 10.0))
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    assert server.requests[0]["messages"][1:] == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "a wheel", "tool_call_id": "c1"},
    ]


FORM = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": SCHEMA}}


async def test_options_are_passed_on_as_they_are(models: ModelClient, server: OpenAiServer) -> None:
    options = {"top_p": 0.5, "stop": ["a"], "seed": 7, "presence_penalty": 1.0, "response_format": FORM}
    await models.complete(ask(options=options))
    assert {name: server.requests[0][name] for name in options} == options


async def test_a_schema_is_put_into_words_for_a_model_that_needs_it(models: ModelClient, server: OpenAiServer) -> None:
    await models.complete(ask("words", options={"response_format": FORM}))
    body = server.requests[0]
    assert body["response_format"] == {"type": "json_object"}
    assert json.dumps(SCHEMA) in body["messages"][0]["content"]


@pytest.mark.parametrize("name", ["model", "api_base", "api_key", "timeout", "num_retries", "stream", "extra_body"])
async def test_no_option_changes_where_a_call_goes_or_how_long(
    models: ModelClient, server: OpenAiServer, name: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"no option of a call: {name}"):
        await models.complete(ask(options={name: "x"}))
    assert not server.requests
