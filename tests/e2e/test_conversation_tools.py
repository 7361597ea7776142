"""A conversation whose model calls the tools that the request names: however it is asked, killed or gone on with."""

import json
from collections.abc import Mapping
from typing import Any

import asyncpg
import httpx
import pytest
from httpx_sse import aconnect_sse

from tests.e2e import suite as suites
from tests.e2e.suite import Json, Suite
from tests.support import agui, calling_model
from tests.support.openai_server import OpenAiServer

SUM = calling_model.calling(("calculator", {"expression": "6*7"}), said="It is ")
SAID = 'It is {"value":42,"text":"42"}'
ASKED = {"message": "What is six times seven?", "mode": "chat", "tools": ["calculator"]}


async def streamed(suite: Suite, path: str, body: Mapping[str, Json]) -> list[dict[str, Any]]:
    async with (
        httpx.AsyncClient(timeout=suites.RUN_S) as client,
        aconnect_sse(client, "POST", suite.url + path, json=body) as source,
    ):
        assert source.response.status_code == 200, await source.response.aread()
        return [json.loads(event.data) async for event in source.aiter_sse() if event.data]


def called(events: list[dict[str, Any]]) -> list[tuple[str, Json]]:
    """Each tool that was called, and the result that readers see."""
    names = {one["toolCallId"]: one["toolCallName"] for one in events if one["type"] == "TOOL_CALL_START"}
    ended = [one for one in events if one["type"] == "TOOL_CALL_RESULT"]
    return [(names[one["toolCallId"]], json.loads(one["content"])) for one in ended]


def usage(events: list[dict[str, Any]]) -> Json:
    return [event["value"] for event in events if event.get("name") == "headrace.usage"][-1]


async def test_who_waits_for_the_whole_answer_gets_what_the_tool_said(suite: Suite, provider: OpenAiServer) -> None:
    provider.worked_out = SUM

    answer = (await suite.post("/api/conversation", ASKED)).json()

    assert answer["reply"] == SAID
    assert answer["usage"]["llm_calls"] == len(provider.requests) == 2
    assert [calling_model.functions(request) for request in provider.requests] == [["calculator"]] * 2


async def test_who_streams_sees_the_call_as_it_is_made(suite: Suite, provider: OpenAiServer) -> None:
    provider.worked_out = SUM

    events = await streamed(suite, "/api/conversation/stream", ASKED)

    agui.check(events)
    assert called(events) == [("calculator", {"value": 42, "text": "42"})]
    assert events[-1]["result"]["reply"] == SAID
    assert usage(events)["llm_calls"] == 2


async def test_a_task_that_nobody_waits_for_calls_too(suite: Suite, provider: OpenAiServer) -> None:
    provider.worked_out = SUM
    run_id = await suite.submit({"kind": "conversation", **ASKED})

    done = await suite.run(run_id)

    assert done["output"]["reply"] == SAID
    assert done["usage"]["llm_calls"] == 2


async def test_a_question_to_documents_may_call_too_and_is_told_so(suite: Suite, provider: OpenAiServer) -> None:
    provider.worked_out = SUM

    answer = (await suite.post("/api/conversation", {**ASKED, "mode": "qa"})).json()

    assert answer["reply"] == SAID
    assert "what your tools return" in provider.requests[0]["messages"][-1]["content"]


async def test_without_names_the_model_is_given_no_tools(suite: Suite, provider: OpenAiServer) -> None:
    for body in ({"message": "hello", "mode": "chat"}, {"message": "hello", "mode": "chat", "tools": []}):
        assert (await suite.post("/api/conversation", body)).status_code == 200
    assert [calling_model.functions(request) for request in provider.requests] == [[], []]


async def test_the_next_turn_knows_the_answer_and_names_its_own_tools(suite: Suite, provider: OpenAiServer) -> None:
    provider.worked_out = SUM
    first = (await suite.post("/api/conversation", ASKED)).json()
    session = first["session_id"]
    provider.requests.clear()
    provider.worked_out = calling_model.calling(("calculator", {"expression": "42+1"}), said="Now ")

    plain = (await suite.post("/api/conversation", {"message": "And so?", "mode": "chat", "session_id": session})).json()
    again = (await suite.post("/api/conversation", {**ASKED, "message": "One more?", "session_id": session})).json()

    asked = [request["messages"][-1]["content"] for request in provider.requests if not calling_model.results(request)]
    assert all(SAID in prompt for prompt in asked)
    assert [calling_model.functions(request) for request in provider.requests] == [[], ["calculator"], ["calculator"]]
    assert (plain["reply"], again["reply"]) == ("Now ", 'Now {"value":43,"text":"43"}')
    said = (await suite.get(f"/api/sessions/{session}/messages")).json()["items"]
    assert [one["text"] for one in said if one["role"] == "assistant"] == [SAID, plain["reply"], again["reply"]]


@pytest.mark.parametrize("path", ["/api/conversation", "/api/conversation/stream", "/api/tasks"])
async def test_a_tool_that_is_not_there_is_refused_with_the_nearest_and_nothing_is_asked(
    suite: Suite, provider: OpenAiServer, path: str
) -> None:
    kind = {"kind": "conversation"} if path == "/api/tasks" else {}

    refused = await suite.post(path, {**ASKED, **kind, "tools": ["time", "calculater"]})

    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error == {
        "loc": ["body", "/tools/1"],
        "msg": "there is no tool 'calculater': did you mean 'calculator'?",
    }
    assert not provider.requests


async def test_the_pipeline_as_a_model_takes_no_functions_of_a_callers_own(suite: Suite, provider: OpenAiServer) -> None:
    function = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    body = {"model": "headrace", "messages": [{"role": "user", "content": "hi"}], "tools": [function]}

    refused = await suite.post("/v1/chat/completions", body)

    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "tools"
    assert "/api/conversation" in refused.json()["error"]["message"]
    assert not provider.requests


async def owner(suite: Suite, run_id: str) -> str:
    """The part that works on a run."""
    connection = await asyncpg.connect(suite.database_url())
    try:
        held_by = await connection.fetchval("SELECT owner FROM runs WHERE run_id = $1::uuid", run_id)
    finally:
        await connection.close()
    return next(name for name, pid in suite.pids().items() if f"-{pid}-" in held_by)


async def test_a_killed_executors_conversation_goes_on_after_its_last_round_and_pays_for_none_twice(
    suite: Suite, provider: OpenAiServer
) -> None:
    wishes = (("calculator", {"expression": "6*7"}), ("calculator", {"expression": "42*2"}))
    provider.worked_out = calling_model.calling(*wishes, said="They say " * 40, pace_s=0.03)
    run_id = await suite.submit({"kind": "conversation", **ASKED})

    events: list[dict[str, Any]] = []
    killed = False
    async for event in suite.events(run_id):
        events.append(json.loads(event.data))
        if not killed and len(called(events)) == 2 and events[-1]["type"] == "TEXT_MESSAGE_CONTENT":
            killed = True
            suite.kill(await owner(suite, run_id))

    agui.check(events)
    done = await suite.run(run_id)
    assert (done["status"], done["attempt"]) == ("succeeded", 2)
    rounds = [len(calling_model.results(request)) for request in provider.requests]
    assert rounds == [0, 1, 2, 2], "only the round that was cut is asked again"
    assert [result["value"] for _, result in called(events)] == [42, 84]
    assert done["output"]["reply"].endswith('{"value":42,"text":"42"} {"value":84,"text":"84"}')


async def test_the_command_shows_the_calls_beside_the_answer(suite: Suite, provider: OpenAiServer) -> None:
    provider.worked_out = SUM

    shown = suites.headrace(suite.home, "chat", "--mode", "chat", "--tool", "calculator", "--tool", "time", "What is it?")

    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip() == SAID
    assert 'calculator {"expression": "6*7"}' in shown.stderr
    assert 'calculator → {"value":42,"text":"42"}' in shown.stderr
    assert calling_model.functions(provider.requests[0]) == ["calculator", "time"]


async def test_the_command_says_what_was_meant_by_a_wrong_name(suite: Suite, provider: OpenAiServer) -> None:
    refused = suites.headrace(suite.home, "chat", "--tool", "tme", "What time is it?")

    assert refused.returncode != 0
    assert "did you mean 'time'?" in refused.stderr
    assert not provider.requests
