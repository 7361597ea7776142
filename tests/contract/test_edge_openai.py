"""OpenAI's protocol as its own client speaks it, before an executor that does what a test says."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace.llm.v1 import call_pb2, usage_pb2
from headrace_edge import metrics
from headrace_runtime import errors

from tests.support import edge_suite
from tests.support.edge_fakes import FakeRun
from tests.support.edge_suite import Suite, until

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
USAGE = usage_pb2.Usage(llm_calls=1, prompt_tokens=7, completion_tokens=2)


def text(value: str) -> pb.ChatResponse:
    return pb.ChatResponse(text=value)


def done(value: str = "hi there", reason: str = "stop", *calls: pb.ChatToolCall) -> pb.ChatResponse:
    completion = pb.ChatCompletion(text=value, model="small", finish_reason=reason, tool_calls=calls, usage=USAGE)
    return pb.ChatResponse(completion=completion)


ANSWER = (text("hi "), text("there"), done())


@pytest.fixture
async def edge() -> AsyncIterator[Suite]:
    async with edge_suite.suite() as one:
        one.executor.chat = ANSWER
        yield one


@asynccontextmanager
async def sdk(edge: Suite, **options: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"http://127.0.0.1:{edge.port}/v1"
    async with openai.AsyncOpenAI(base_url=url, **{"api_key": "none", "max_retries": 0, **options}) as client:
        yield client


@pytest.fixture
async def client(edge: Suite) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(edge) as one:
        yield one


async def post(edge: Suite, body: Any, **headers: str) -> Any:
    return await edge.client.post("/v1/chat/completions", json=body, headers=headers)


async def test_a_whole_answer(edge: Suite, client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="small", messages=HELLO, temperature=0)
    (choice,) = answer.choices
    assert (choice.message.content, choice.message.role, choice.finish_reason) == ("hi there", "assistant", "stop")
    assert answer.object == "chat.completion"
    assert answer.model == "small"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 2, 9)
    (asked,) = edge.executor.chats
    assert (asked.tenant_id, asked.model, asked.deadline_s) == ("default", "small", 120)
    assert asked.context.priority == call_pb2.CALL_PRIORITY_INTERACTIVE
    assert not asked.HasField("cache")
    assert json.loads(asked.body) == {"messages": HELLO, "temperature": 0}


@pytest.mark.parametrize("include_usage", [False, True])
async def test_a_streamed_answer(client: openai.AsyncOpenAI, include_usage: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if include_usage else {}
    chunks = [c async for c in await client.chat.completions.create(model="m", messages=HELLO, stream=True, **options)]
    assert len({chunk.id for chunk in chunks}) == 1
    first, *_ = chunks
    assert (first.choices[0].delta.role, first.choices[0].finish_reason) == ("assistant", None)
    with_choices = [chunk for chunk in chunks if chunk.choices]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in with_choices) == "hi there"
    assert [c.choices[0].finish_reason for c in with_choices if c.choices[0].finish_reason] == ["stop"]
    if include_usage:
        assert chunks[-1].choices == []
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens == 9
        assert all(chunk.usage is None for chunk in with_choices)
    else:
        assert with_choices == chunks


async def test_the_bytes_of_a_stream_are_plain_sse(edge: Suite) -> None:
    response = await post(edge, {"model": "m", "messages": HELLO, "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    assert "x-run-id" not in response.headers
    *blocks, end = response.text.split("\n\n")
    assert (blocks[-1], end) == ("data: [DONE]", "")
    assert all(block.startswith("data: {") and "\n" not in block for block in blocks[:-1])


@pytest.mark.parametrize("stream", [False, True])
async def test_wishes_for_tools(edge: Suite, client: openai.AsyncOpenAI, stream: bool) -> None:
    calls = [pb.ChatToolCall(id=f"c{n}", name="look", arguments=f'{{"n": {n}}}') for n in (1, 2)]
    edge.executor.chat = (done("", "tool_calls", *calls),)
    tools: Any = [{"type": "function", "function": {"name": "look", "strict": True, "parameters": {"type": "object"}}}]
    if stream:
        async with client.chat.completions.stream(model="m", messages=HELLO, tools=tools) as events:
            answer: Any = await events.get_final_completion()
    else:
        answer = await client.chat.completions.create(model="m", messages=HELLO, tools=tools)
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert not choice.message.content
    assert [(c.id, c.function.name, c.function.arguments) for c in choice.message.tool_calls] == [
        ("c1", "look", '{"n": 1}'),
        ("c2", "look", '{"n": 2}'),
    ]
    assert json.loads(edge.executor.chats[0].body)["tools"] == tools


async def test_headers_say_whose_turn_how_long_and_whether_from_the_cache(edge: Suite) -> None:
    body = {"model": "m", "messages": HELLO}
    headers = {"X-Headrace-Priority": "background", "X-Headrace-Timeout": "7.5", "X-Headrace-Cache": "off"}
    assert (await post(edge, body, **headers)).status_code == 200
    (asked,) = edge.executor.chats
    assert asked.context.priority == call_pb2.CALL_PRIORITY_BACKGROUND
    assert asked.deadline_s == 7.5
    assert (asked.HasField("cache"), asked.cache) == (True, False)
    for wrong in ({"X-Headrace-Priority": "now"}, {"X-Headrace-Timeout": "0"}, {"X-Headrace-Cache": "maybe"}):
        refused = await post(edge, body, **wrong)
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == next(iter(wrong))


async def test_what_is_not_known_is_ignored_and_passed_by_nobody_it_concerns(edge: Suite) -> None:
    body = {"model": "m", "messages": [{**HELLO[0], "name": "ada"}], "store": True, "api_base": "http://elsewhere"}
    assert (await post(edge, body)).status_code == 200


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        (
            {"messages": [*HELLO, {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]},
            "messages[1].content",
        ),
        ({"model": "headrace", "tools": [{"type": "function"}]}, "tools"),
        ({"model": "headrace", "tool_choice": "required"}, "tool_choice"),
        ({"model": "headrace", "response_format": {"type": "json_object"}}, "response_format"),
        ({"model": "headrace", "messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"model": "headrace", "messages": [{"role": "user", "content": " "}]}, "messages[0].content"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_cannot_be_done_is_refused_by_name(edge: Suite, change: Any, param: str, stream: bool) -> None:
    response = await post(edge, {"model": "m", "messages": HELLO, "stream": stream, **change})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["message"].startswith(param)
    assert not edge.executor.chats
    assert not edge.executor.runs


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "raised", "code"),
    [
        (errors.NotFound("no model", reason="UNKNOWN_MODEL"), openai.NotFoundError, "model_not_found"),
        (errors.ResourceExhausted("later", reason="QUOTA_WAIT_TOO_LONG", retry_after_s=6.2), openai.RateLimitError,
         "rate_limit_exceeded"),
        (errors.ResourceExhausted("spent", reason="BUDGET_SPENT", retry_after_s=900), openai.RateLimitError,
         "insufficient_quota"),
        (errors.InvalidArgument("x", violations=(errors.Violation("/tools/0/type", "no"),)), openai.BadRequestError,
         "invalid_argument"),
        (errors.FailedPrecondition("too long", reason="PROVIDER_REJECTED"), openai.BadRequestError, "provider_rejected"),
        (errors.FailedPrecondition("key", reason="PROVIDER_AUTH"), openai.InternalServerError, "provider_auth"),
        (errors.Unavailable("down", reason="PROVIDER_UNAVAILABLE"), openai.InternalServerError, "provider_unavailable"),
        (errors.DeadlineExceeded("late", reason="MODEL_TIMEOUT"), openai.InternalServerError, "model_timeout"),
        (errors.InternalError("secret"), openai.InternalServerError, "internal"),
    ],
)  # fmt: skip
async def test_errors_are_the_clients_own(
    edge: Suite, client: openai.AsyncOpenAI, error: Any, raised: type[openai.APIStatusError], code: str, stream: bool
) -> None:
    edge.executor.chat = (error,)
    with pytest.raises(raised) as caught:
        await client.chat.completions.create(model="m", messages=HELLO, stream=stream)
    assert caught.value.code == code
    assert "secret" not in str(caught.value)
    if caught.value.status_code in (429, 503):
        assert int(caught.value.response.headers["retry-after"]) >= 1
    if code == "rate_limit_exceeded":
        assert caught.value.response.headers["retry-after"] == "7"
    if code == "invalid_argument":
        assert caught.value.param == "tools[0].type"
    assert (caught.value.response.headers.get("x-should-retry") == "false") == (
        code in ("insufficient_quota", "provider_auth")
    )
    assert len(edge.executor.chats) == 1


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (errors.Unavailable("cut", reason="PROVIDER_UNAVAILABLE"), "provider_unavailable"),
        (pb.ChatResponse(restarted_with="other"), "model_restarted"),
    ],
)
async def test_an_error_in_the_middle_ends_the_stream(
    edge: Suite, client: openai.AsyncOpenAI, step: Any, code: str
) -> None:
    edge.executor.chat = (text("half"), step, text("again"), done())
    seen = ""

    async def read() -> None:
        nonlocal seen
        async for chunk in await client.chat.completions.create(model="m", messages=HELLO, stream=True):
            seen += chunk.choices[0].delta.content or ""

    with pytest.raises(openai.APIError) as caught:
        await read()
    assert (seen, caught.value.code) == ("half", code)
    await until(lambda: edge.streams == 0 and edge.executor.chats_open == 0)


async def test_an_executor_that_dies_ends_the_stream_with_an_error(edge: Suite) -> None:
    edge.executor.chat = (text("half"), asyncio.Event())
    body = {"model": "m", "messages": HELLO, "stream": True}
    async with edge.client.stream("POST", "/v1/chat/completions", json=body) as response:
        lines = (line async for line in response.aiter_lines() if line)
        assert json.loads((await anext(lines)).removeprefix("data: "))["choices"][0]["delta"]["role"] == "assistant"
        await edge.executor_part.kill()
        *_, last = [line async for line in lines]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "service_unavailable"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_nobody_has_seen_may_begin_anew(edge: Suite, client: openai.AsyncOpenAI, stream: bool) -> None:
    again = pb.ChatResponse(restarted_with="other")
    edge.executor.chat = (again, *ANSWER) if stream else (text("wrong"), again, *ANSWER)
    if stream:
        async with client.chat.completions.stream(model="m", messages=HELLO) as events:
            answer: Any = await events.get_final_completion()
    else:
        answer = await client.chat.completions.create(model="m", messages=HELLO)
    assert answer.choices[0].message.content == "hi there"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_client_that_leaves_aborts_the_call(edge: Suite, stream: bool, begun: bool) -> None:
    edge.executor.chat = (*((text("x"),) if begun else ()), asyncio.Event(), done())
    failed = metrics.REQUESTS.labels("/v1/chat/completions", "POST", 500)._value.get()
    request = asyncio.create_task(post(edge, {"model": "m", "messages": HELLO, "stream": stream}))
    await until(lambda: edge.executor.chats_open == 1)
    request.cancel()
    await until(lambda: edge.executor.chats_open == 0 and edge.streams == 0 and metrics.IN_FLIGHT._value.get() == 0)
    assert metrics.REQUESTS.labels("/v1/chat/completions", "POST", 500)._value.get() == failed


async def test_silence_is_filled_with_comments_and_errors_then_come_as_data() -> None:
    async with edge_suite.suite(heartbeat_s=0.05) as edge:
        go = asyncio.Event()
        edge.executor.chat = (go, errors.Unavailable("down", reason="PROVIDER_UNAVAILABLE"))
        body = {"model": "m", "messages": HELLO, "stream": True}
        seen = ""
        async with edge.client.stream("POST", "/v1/chat/completions", json=body) as response:
            assert response.status_code == 200
            async for piece in response.aiter_text():
                seen += piece
                if seen.count(":\n") >= 2:
                    go.set()
        comments, _, data = seen.partition("data: ")
        assert set(comments) == {":", "\n"}
        assert json.loads(data)["error"]["code"] == "provider_unavailable"


async def test_a_drain_lets_a_stream_end() -> None:
    async with edge_suite.suite() as edge:
        go = asyncio.Event()
        edge.executor.chat = (text("one "), go, text("two"), done("one two"))
        body = {"model": "m", "messages": HELLO, "stream": True}
        async with edge.client.stream("POST", "/v1/chat/completions", json=body) as response:
            lines = response.aiter_lines()
            assert "one" in (await anext(lines)) + (await anext(lines)) + (await anext(lines))
            edge.running.application.drain.begin()
            for stream in edge.running.application.streams.opened():
                stream.end("drain")
            go.set()
            assert [line async for line in lines if line][-1] == "data: [DONE]"


async def test_models_are_listed_and_read(client: openai.AsyncOpenAI) -> None:
    assert [(one.id, one.owned_by) for one in (await client.models.list()).data] == [
        ("headrace", "headrace"),
        ("small", "test"),
    ]
    assert (await client.models.retrieve("small")).object == "model"
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("a/b")
    assert caught.value.code == "model_not_found"


async def answers(run: FakeRun) -> None:
    name = f"{run.run.run_id}:answer"
    await run.emit({"type": "TEXT_MESSAGE_START", "messageId": name, "role": "assistant"})
    for piece in ("It ", "grinds."):
        await run.emit({"type": "TEXT_MESSAGE_CONTENT", "messageId": name, "delta": piece})
    await run.emit({"type": "TEXT_MESSAGE_END", "messageId": name})
    usage = {"llm_calls": 1, "prompt_tokens": 5, "completion_tokens": 3, "models": {}}
    await run.emit({"type": "CUSTOM", "name": "headrace.usage", "value": usage})
    run.run.state = pb.RUN_STATE_SUCCEEDED
    finished = {"type": "RUN_FINISHED", "result": {"reply": "It grinds."}, "outcome": {"type": "success"}}
    await run.emit(finished)


@pytest.mark.parametrize("stream", [False, True])
async def test_headrace_runs_the_whole_pipeline(edge: Suite, client: openai.AsyncOpenAI, stream: bool) -> None:
    edge.executor.script = answers
    turns: list[Any] = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "what does a mill do?"},
    ]
    if stream:
        options: Any = {"stream_options": {"include_usage": True}}
        async with client.chat.completions.stream(model="headrace", messages=turns, **options) as events:
            answer: Any = await events.get_final_completion()
    else:
        answer = await client.chat.completions.create(model="headrace", messages=turns)
    assert answer.choices[0].message.content == "It grinds."
    assert (answer.model, answer.usage.total_tokens) == ("headrace", 8)
    (run,) = edge.executor.runs.values()
    assert (run.body["message"], run.body["execute"]) == ("what does a mill do?", True)
    assert run.body["history"] == [{"role": "user", "text": "hi"}, {"role": "assistant", "text": "hello"}]
    assert run.run.priority == pb.PRIORITY_INTERACTIVE
    assert not edge.executor.chats


async def test_a_stream_of_headrace_names_its_run_and_survives_an_executor(edge: Suite) -> None:
    edge.executor.script, edge.executor.breaks, edge.executor.batch = answers, [2, 1], 1
    response = await post(edge, {"model": "headrace", "messages": HELLO, "stream": True})
    assert response.headers["x-run-id"] in edge.executor.runs
    assert response.text.count("grinds.") == 1
    assert response.text.endswith("data: [DONE]\n\n")


async def test_a_failed_run_is_an_error(edge: Suite, client: openai.AsyncOpenAI) -> None:
    async def fails(run: FakeRun) -> None:
        await run.fail("provider", "the provider is down")

    edge.executor.script = fails
    with pytest.raises(openai.InternalServerError, match="the provider is down") as caught:
        await client.chat.completions.create(model="headrace", messages=HELLO)
    assert (caught.value.status_code, caught.value.code) == (503, "run_provider")


KEY, READER = "key-of-tenant-a-000000", "key-of-a-reader-000000"


async def test_keys_scopes_rates_and_broken_requests_have_openais_errors(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    digests = [hashlib.sha256(key.encode()).hexdigest() for key in (KEY, READER)]
    path.write_text(
        f'- {{name: a, tenant: ta, key_sha256: "{digests[0]}", requests_per_minute: 1}}\n'
        f'- {{name: r, tenant: ta, key_sha256: "{digests[1]}", scopes: [read]}}\n'
    )
    async with edge_suite.suite(api_keys_file=path, max_body_bytes=2048) as edge:
        edge.executor.chat = ANSWER
        async with sdk(edge, api_key="wrong") as stranger, sdk(edge, api_key=READER) as reader:
            with pytest.raises(openai.AuthenticationError) as unknown:
                await stranger.models.list()
            assert (unknown.value.code, unknown.value.type) == ("invalid_api_key", "invalid_request_error")
            assert (await reader.models.list()).data
            with pytest.raises(openai.PermissionDeniedError):
                await reader.chat.completions.create(model="m", messages=HELLO)
        as_a = {"Authorization": f"Bearer {KEY}"}
        large = await post(edge, {"model": "m", "messages": [{"role": "user", "content": "x" * 4096}]}, **as_a)
        assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")
        async with sdk(edge, api_key=KEY) as client:
            await client.chat.completions.create(model="m", messages=HELLO)
            assert edge.executor.chats[-1].tenant_id == "ta"
            with pytest.raises(openai.RateLimitError) as often:
                await client.chat.completions.create(model="m", messages=HELLO)
            assert often.value.code == "rate_limit_exceeded"
            assert often.value.response.headers["retry-after"]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [(b"{", "application/json", 400), (b"[]", "application/json", 400), (b"{}", "text/plain", 415)],
)
async def test_a_body_that_is_none_is_refused_in_openais_form(edge: Suite, content: bytes, kind: str, status: int) -> None:
    response = await edge.client.post("/v1/chat/completions", content=content, headers={"content-type": kind})
    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"
    missing = await edge.client.get("/v1/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")


def crowd(calls: int) -> pb.QueueSignalsResponse:
    """A model of 600 calls a minute at whose gate so many wait."""
    answer = pb.QueueSignalsResponse(slots_per_replica=8, replicas=1, default_model="small")
    answer.time.GetCurrentTime()
    signals = pb.ModelSignals(model="small", effective_rpm=600, queue_depth=calls, queued_interactive=calls, shared=True)
    answer.models.append(signals)
    return answer


async def refused(edge: Suite, body: Any) -> Any:
    """Ask when the quota is taken for just too long, and wait until the time that was told has come."""
    edge.executor.signals = crowd(100)
    answer = await post(edge, body, **{"X-Headrace-Timeout": "14.4"})
    async with asyncio.timeout(20):
        while (await edge.client.get("/api/quota")).json()["promises"]["next_s"] != 0:
            await asyncio.sleep(0.02)
    return answer


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_without_a_turn_in_time_is_told_a_time_and_served_then(edge: Suite, stream: bool) -> None:
    body = {"model": "small", "messages": HELLO, "stream": stream}
    told = await refused(edge, body)
    asked = len(edge.executor.chats)
    served = await post(edge, body, **{"X-Headrace-Timeout": "15"})

    error = told.json()["error"]
    assert (told.status_code, error["type"], error["code"]) == (429, "rate_limit_error", "rate_limit_exceeded")
    assert "this call would wait 10 s" in error["message"]
    assert int(told.headers["retry-after"]) >= 1
    assert (asked, served.status_code, len(edge.executor.chats)) == (0, 200, 1)


async def test_a_call_that_fails_when_its_time_has_come_keeps_its_place(edge: Suite) -> None:
    body = {"model": "small", "messages": HELLO}
    await refused(edge, body)
    edge.executor.chat = (errors.ResourceExhausted("no turn in time", reason="QUOTA_DEADLINE", retry_after_s=1),)
    failed = await post(edge, body, **{"X-Headrace-Timeout": "14.4"})
    edge.executor.chat = ANSWER
    again = await post(edge, body, **{"X-Headrace-Timeout": "14.4"})

    assert (failed.status_code, again.status_code) == (429, 200)


@pytest.mark.parametrize(
    ("options", "headers"), [({"temperature": 0}, {}), ({}, {"X-Headrace-Cache": "on"})], ids=["temperature", "header"]
)
async def test_a_call_that_the_cache_may_answer_is_not_refused_for_the_quota(
    edge: Suite, options: dict[str, Any], headers: dict[str, str]
) -> None:
    edge.executor.signals = crowd(1500)
    cached = await post(edge, {"model": "small", "messages": HELLO, **options}, **headers)
    other = await post(edge, {"model": "small", "messages": HELLO, "temperature": 1})

    assert (cached.status_code, other.status_code) == (200, 429)
