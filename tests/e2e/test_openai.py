"""OpenAI's own client, pointed at the suite."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.e2e.suite import Suite
from tests.support.openai_server import OpenAiServer, Reply

HELLO: list[Any] = [{"role": "user", "content": "what does a mill do?"}]


class Mill(BaseModel):
    """What a model is to fill in."""

    river: str
    wheels: int


@pytest.fixture
async def client(suite: Suite) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{suite.url}/v1", api_key="none", max_retries=0) as one:
        yield one


async def test_an_answer_whole_and_streamed(client: openai.AsyncOpenAI, provider: OpenAiServer) -> None:
    provider.otherwise = Reply(text="It grinds corn.")
    whole = await client.chat.completions.create(model="scripted", messages=HELLO, temperature=0.7, seed=3)
    options: Any = {"stream_options": {"include_usage": True}}
    async with client.chat.completions.stream(model="scripted", messages=HELLO, **options) as events:
        streamed = await events.get_final_completion()

    for answer in (whole, streamed):
        assert answer.choices[0].message.content == "It grinds corn."
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 3)
    assert [(body["temperature"], body.get("seed")) for body in provider.requests] == [(0.7, 3), (1.0, None)]


async def test_a_loop_of_tools(client: openai.AsyncOpenAI, provider: OpenAiServer) -> None:
    provider.will(
        Reply(text="", tool_calls=(("c1", "level", '{"river": "Aar"}'),), finish_reason="tool_calls"), Reply("Low.")
    )
    tools: Any = [{"type": "function", "function": {"name": "level", "strict": True, "parameters": {"type": "object"}}}]
    turns = list(HELLO)
    async with client.chat.completions.stream(model="scripted", messages=turns, tools=tools) as events:
        asked = (await events.get_final_completion()).choices[0]
    assert asked.finish_reason == "tool_calls"
    call = (asked.message.tool_calls or [])[0]
    turns += [asked.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "2 m"}]
    done = await client.chat.completions.create(model="scripted", messages=turns, tools=tools)

    assert done.choices[0].message.content == "Low."
    _, wish, result = provider.requests[-1]["messages"]
    assert wish["tool_calls"][0]["function"] == {"name": "level", "arguments": '{"river": "Aar"}'}
    assert (result["tool_call_id"], result["content"]) == ("c1", "2 m")


async def test_an_answer_by_schema_is_parsed(client: openai.AsyncOpenAI, provider: OpenAiServer) -> None:
    provider.otherwise = Reply(text='{"river": "Aar", "wheels": 2}')
    answer = await client.chat.completions.parse(model="scripted", messages=HELLO, response_format=Mill)

    assert answer.choices[0].message.parsed == Mill(river="Aar", wheels=2)
    form = provider.requests[0]["response_format"]
    assert form["json_schema"]["schema"]["required"] == ["river", "wheels"]


async def test_headrace_answers_with_the_whole_pipeline(client: openai.AsyncOpenAI, provider: OpenAiServer) -> None:
    provider.otherwise = Reply(text="Your name is Ada.")
    said: list[Any] = [{"role": "user", "content": "I am Ada."}, {"role": "assistant", "content": "Hello."}]
    turns: list[Any] = [*said, {"role": "user", "content": "Who am I?"}]
    async with client.chat.completions.stream(model="headrace", messages=turns) as events:
        answer = await events.get_final_completion()

    assert answer.choices[0].message.content == "Your name is Ada."
    assert "I am Ada." in json.dumps(provider.requests[-1]["messages"])
    assert {model.id for model in (await client.models.list()).data} == {"headrace", "scripted"}


async def test_errors_are_the_clients_own(client: openai.AsyncOpenAI, provider: OpenAiServer) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="gone", messages=HELLO)
    with pytest.raises(openai.BadRequestError) as several:
        await client.chat.completions.create(model="scripted", messages=HELLO, n=2)
    with pytest.raises(openai.BadRequestError) as hot:
        await client.chat.completions.create(model="scripted", messages=HELLO, temperature=9)
    assert not provider.requests
    provider.otherwise = Reply(status=400, error="the prompt is too long")
    with pytest.raises(openai.BadRequestError, match="the prompt is too long") as refused:
        await client.chat.completions.create(model="scripted", messages=HELLO, stream=True)

    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert (several.value.param, hot.value.param) == ("n", "temperature")
    assert refused.value.code == "provider_rejected"


async def test_a_client_that_leaves_aborts_the_models_stream(client: openai.AsyncOpenAI, provider: OpenAiServer) -> None:
    provider.gone.clear()
    provider.otherwise = Reply(text="word " * 2000, pace_s=0.02)
    stream = await client.chat.completions.create(model="scripted", messages=HELLO, stream=True)
    assert (await anext(aiter(stream))).choices
    await stream.close()
    async with asyncio.timeout(20):
        while not provider.gone.is_set():
            await asyncio.sleep(0.05)
