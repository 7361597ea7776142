"""The simulated provider as a process, asked by those who will ask it: the OpenAI SDK, LiteLLM, and its testers."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import litellm
import openai
import pytest
from headrace_cli.embedded.program import free_port
from litellm.exceptions import RateLimitError

from tests.support.simulator_server import SimulatorServer, simulator_server

HELLO: Any = [{"role": "user", "content": "What does a water mill do?"}]
QUICK = {"first_token_s": 0.005, "tokens_per_s": 10_000, "sigma": 0}


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorServer]:
    with simulator_server(free_port()) as server:
        yield server


@pytest.fixture
def server(running: SimulatorServer) -> SimulatorServer:
    httpx.delete(f"{running.url}/control").raise_for_status()
    running.change(latency=QUICK)
    running.reset()
    return running


@pytest.fixture
def client(server: SimulatorServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="school", max_retries=0, timeout=20) as made:
        yield made


def test_a_whole_answer_and_a_stream_say_what_they_cost(client: openai.OpenAI, server: SimulatorServer) -> None:
    whole = client.chat.completions.create(model="qwen", messages=HELLO)
    stream = client.chat.completions.create(
        model="qwen", messages=HELLO, stream=True, stream_options={"include_usage": True}, max_tokens=7
    )
    chunks = list(stream)
    account = server.report()["accounts"][0]

    assert whole.usage is not None
    assert whole.choices[0].message.content
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert len(text.split()) == 7
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7
    assert (account["key"], account["model"], account["accepted"]) == ("school", "qwen", 2)
    assert account["tokens"]["completion"] == whole.usage.completion_tokens + 7
    assert account["ended"]["completed"] == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_that_must_be_called_is_called_with_arguments_of_its_schema(client: openai.OpenAI, stream: bool) -> None:
    parameters = {"type": "object", "properties": {"city": {"enum": ["Wuhan"]}, "days": {"type": "integer"}}}
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": {**parameters, "required": ["city"]}}}]
    found: Any = client.chat.completions.create(
        model="m", messages=HELLO, tools=tools, tool_choice="required", stream=stream
    )
    if stream:
        calls = [call for chunk in found for choice in chunk.choices for call in choice.delta.tool_calls or ()]
        name, arguments = calls[0].function.name, "".join(call.function.arguments for call in calls)
    else:
        assert found.choices[0].finish_reason == "tool_calls"
        (call,) = found.choices[0].message.tool_calls
        name, arguments = call.function.name, call.function.arguments

    assert (name, json.loads(arguments)) == ("weather", {"city": "Wuhan"})


def test_json_is_answered_when_json_is_asked_for(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"mode": {"enum": ["chat", "build"]}}, "required": ["mode"]}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "mode", "schema": schema}}
    answer = client.chat.completions.create(model="m", messages=HELLO, response_format=wanted)

    assert json.loads(answer.choices[0].message.content or "") == {"mode": "chat"}


def test_beyond_its_quota_it_refuses_in_openais_words_and_says_truly_when_to_return(
    client: openai.OpenAI, server: SimulatorServer
) -> None:
    server.change(rpm=60, ratelimit_headers=True)
    client.chat.completions.create(model="m", messages=HELLO)
    with pytest.raises(openai.RateLimitError, match="Rate limit reached for m on requests per min") as caught:
        client.chat.completions.create(model="m", messages=HELLO)
    headers = caught.value.response.headers

    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "requests")
    assert 0 < float(headers["retry-after"]) <= 1
    assert headers["x-ratelimit-limit-requests"] == "60"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    patient = client.with_options(max_retries=3)
    assert patient.chat.completions.create(model="m", messages=HELLO).choices
    assert server.report()["total"]["accepted"] == 2


def test_in_dashscopes_words_and_without_retry_after(client: openai.OpenAI, server: SimulatorServer) -> None:
    server.change(rpm=None, tpm=60, dialect="dashscope", retry_after="none")
    client.chat.completions.create(model="m", messages=HELLO)
    with pytest.raises(openai.RateLimitError, match="Allocated quota exceeded") as caught:
        client.chat.completions.create(model="m", messages=HELLO)

    assert "retry-after" not in caught.value.response.headers


@pytest.mark.filterwarnings("ignore::UserWarning:pydantic")
async def test_litellm_maps_its_answers_and_refusals(server: SimulatorServer) -> None:
    server.change(rpm=60)

    async def ask() -> Any:
        return await litellm.acompletion(
            model="openai/m", messages=HELLO, api_base=server.base_url, api_key="k", num_retries=0, max_retries=0
        )

    answer = await ask()
    with pytest.raises(RateLimitError):
        await ask()

    assert answer.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_cut_answers_break_off(client: openai.OpenAI, server: SimulatorServer, stream: bool) -> None:
    server.change(faults={"cut": 1})
    with pytest.raises((httpx.RemoteProtocolError, openai.APIConnectionError)):
        list(client.chat.completions.create(model="m", messages=HELLO, stream=stream))

    assert server.report()["total"]["ended"]["cut"] == 1


def test_errors_are_the_servers(client: openai.OpenAI, server: SimulatorServer) -> None:
    server.change(faults={"error": 1, "error_status": 503})
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="m", messages=HELLO)

    assert caught.value.status_code == 503


async def test_a_client_that_leaves_is_counted(server: SimulatorServer) -> None:
    server.change(faults={"hang": 1})
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        asking = asyncio.ensure_future(client.chat.completions.create(model="m", messages=HELLO))
        async with asyncio.timeout(20):
            while (await asyncio.to_thread(server.report))["total"]["in_flight"] != 1:
                await asyncio.sleep(0.01)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            while (await asyncio.to_thread(server.report))["total"]["in_flight"] != 0:
                await asyncio.sleep(0.01)

    assert server.report()["total"]["ended"]["aborted"] == 1


def test_calls_with_a_tag_have_a_book_of_their_own(client: openai.OpenAI, server: SimulatorServer) -> None:
    client.chat.completions.create(model="m", messages=HELLO, extra_headers={"x-simulator-tag": "background"})
    client.chat.completions.create(model="m", messages=HELLO)
    report = server.report(series_s=60)

    assert report["tags"]["background"]["accepted"] == 1
    assert sum(report["total"]["series"]["accepted"]) == report["total"]["accepted"] == 2


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"{", "column"),
        (b"[]", "JSON object"),
        (b'{"model": "m", "messages": [{"content": ' + b"[" * 900 + b"]" * 900 + b"}]}", "recursion"),
        (b'{"messages": [{}]}', "model"),
        (b'{"model": "m", "messages": []}', "messages"),
        (b'{"model": "m", "messages": [{}], "max_tokens": 0}', "max_tokens"),
        (b'{"model": "m", "messages": [{}], "tool_choice": "required"}', "tool_choice"),
        (b'{"model": "m", "messages": [{}], "response_format": {"type": "json_schema"}}', "response_format"),
    ],
)
def test_a_body_that_is_no_request_gets_one_clear_error(server: SimulatorServer, body: bytes, word: str) -> None:
    answer = httpx.post(f"{server.base_url}/chat/completions", content=body)

    assert answer.status_code == 400
    assert word in answer.json()["error"]["message"]


def test_a_body_that_is_too_large_is_refused_and_the_connection_goes_on(server: SimulatorServer) -> None:
    with httpx.Client(base_url=server.url) as client:
        answer = client.post("/v1/chat/completions", content=b" " * (4 * 1024 * 1024 + 1))
        after = client.get("/health")

    assert (answer.status_code, after.status_code) == (413, 200)


def test_keys_and_models_that_are_not_there_are_refused_as_openai_does(server: SimulatorServer) -> None:
    server.change(keys=["right"], models=["qwen-max"])
    with openai.OpenAI(base_url=server.base_url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model="qwen-max", messages=HELLO)
        with pytest.raises(openai.NotFoundError, match="qwen-max"):
            client.with_options(api_key="right").chat.completions.create(model="m", messages=HELLO)
        assert [one.id for one in client.models.list()] == ["qwen-max"]

    assert server.report()["total"]["arrivals"] == 0


def test_a_setting_that_is_wrong_changes_nothing(server: SimulatorServer) -> None:
    before = httpx.get(f"{server.url}/control").json()
    answer = httpx.put(f"{server.url}/control", json={"rpm": -1, "latency": {"sigma": 99}, "nonsense": 1})

    assert answer.status_code == 400
    for name in ("rpm", "latency.sigma", "nonsense"):
        assert name in answer.json()["error"]["message"]
    assert httpx.get(f"{server.url}/control").json() == before


def test_the_environment_goes_before_the_profile_file(tmp_path: Path) -> None:
    file = tmp_path / "provider.yaml"
    file.write_text("rpm: 120\nlatency: {first_token_s: 1.5}\nquotas: [{model: 'qwen-*', group: all, tpm: 9000}]\n")
    env = {"HEADRACE_SIMULATOR_RPM": "null", "HEADRACE_SIMULATOR_FAULTS__ERROR": "0.25"}
    with simulator_server(free_port(), "--profile", str(file), env=env) as server:
        shown = httpx.get(f"{server.url}/control").json()

    assert (shown["rpm"], shown["faults"]["error"], shown["latency"]["first_token_s"]) == (None, 0.25, 1.5)
    assert shown["quotas"][0]["group"] == "all"


def test_wrong_settings_are_named_and_nothing_starts(tmp_path: Path) -> None:
    file = tmp_path / "provider.yaml"
    file.write_text("rpm: fast\ncolour: red\n")
    done = subprocess.run(
        [sys.executable, "-m", "headrace_simulator", "--profile", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "HEADRACE_SIMULATOR_RPM" in done.stderr
    assert "colour" in done.stderr
