"""What the suite promises its clients, tried from outside."""

import asyncio
import json

import httpx
import redis.asyncio

from tests.e2e.suite import Suite
from tests.e2e.test_kill import SLOW
from tests.support import agui
from tests.support.openai_server import OpenAiServer, Reply


async def test_an_empty_redis_in_the_middle_of_ten_runs_loses_nothing(suite: Suite, provider: OpenAiServer) -> None:
    provider.otherwise = SLOW
    body = {"kind": "conversation", "message": "tell me", "mode": "chat"}
    run_ids = await asyncio.gather(*(suite.submit(body) for _ in range(10)))
    watchers = [asyncio.create_task(suite.log(run_id)) for run_id in run_ids]
    await suite.begun(run_ids[0])

    client = redis.asyncio.from_url(suite.redis_url())
    await client.flushall()
    await client.aclose()

    for log in await asyncio.gather(*watchers):
        agui.check(log)
        assert log[-1]["type"] == "RUN_FINISHED"


async def test_a_second_watcher_sees_the_same_events(suite: Suite, provider: OpenAiServer) -> None:
    provider.otherwise = SLOW
    run_id = await suite.submit({"kind": "conversation", "message": "tell me", "mode": "chat"})

    both = await asyncio.gather(suite.log(run_id), suite.log(run_id))
    late = await suite.log(run_id)

    assert both[0] == both[1] == late


async def test_one_key_starts_one_run(suite: Suite, provider: OpenAiServer) -> None:
    body = {"kind": "conversation", "message": "tell me", "mode": "chat"}
    headers = {"Idempotency-Key": "one-and-the-same"}

    run_ids = await asyncio.gather(*(suite.submit(body, **headers) for _ in range(8)))
    other = await suite.post("/api/tasks", {**body, "message": "something else"}, **headers)

    assert len(set(run_ids)) == 1
    assert (await suite.run(run_ids[0]))["status"] == "succeeded"
    assert len(provider.requests) == 1
    assert other.status_code == 422
    assert other.headers["content-type"] == "application/problem+json"


async def test_a_stream_tells_the_stages_and_ends_with_the_usage(suite: Suite, provider: OpenAiServer) -> None:
    provider.otherwise = Reply(text="A mill grinds corn.")
    run_id = await suite.submit({"kind": "conversation", "message": "what does a mill do?", "mode": "chat"})

    log = await suite.log(run_id)

    agui.check(log)
    steps = [event["stepName"] for event in log if event["type"] == "STEP_STARTED"]
    assert steps == ["route", "plan", "node:answer"]
    assert agui.text(log, f"{run_id}:answer") == "A mill grinds corn."
    usage = next(event["value"] for event in log if event.get("name") == "headrace.usage")
    assert (usage["llm_calls"], usage["completion_tokens"]) == (1, 4)
    assert usage["cost_usd"] > 0


async def test_a_conversation_remembers_and_answers_as_json(suite: Suite, provider: OpenAiServer) -> None:
    provider.will(Reply(text="Hello Ada."), Reply(text="Your name is Ada."))
    first = (await suite.post("/api/conversation", {"message": "I am Ada.", "mode": "chat"})).json()

    second = await suite.post(
        "/api/conversation", {"message": "Who am I?", "mode": "chat", "session_id": first["session_id"]}
    )

    assert second.json()["reply"] == "Your name is Ada."
    assert second.json()["session_id"] == first["session_id"]
    asked = json.dumps(provider.requests[-1]["messages"])
    assert "I am Ada." in asked
    assert "Hello Ada." in asked
    messages = (await suite.get(f"/api/sessions/{first['session_id']}/messages")).json()["items"]
    assert [one["text"] for one in messages] == ["I am Ada.", "Hello Ada.", "Who am I?", "Your name is Ada."]


async def test_a_cancelled_run_aborts_the_call_at_the_provider(suite: Suite, provider: OpenAiServer) -> None:
    provider.otherwise = SLOW
    provider.gone.clear()
    run_id = await suite.submit({"kind": "conversation", "message": "tell me", "mode": "chat"})
    await suite.begun(run_id)

    async with httpx.AsyncClient() as client:
        answer = await client.delete(f"{suite.url}/api/tasks/{run_id}")
        assert answer.status_code == 202
        log = await suite.log(run_id)
        assert (await client.delete(f"{suite.url}/api/tasks/{run_id}")).status_code == 409

    agui.check(log)
    assert log[-1]["outcome"]["type"] == "cancelled"
    assert (await suite.run(run_id))["status"] == "cancelled"
    async with asyncio.timeout(10):
        while not provider.gone.is_set():
            await asyncio.sleep(0.01)
