"""Any process may be killed in the middle of a streamed run: the run goes on, and each event arrives once, in order."""

import json
from typing import Any

import asyncpg
import pytest

from tests.e2e.suite import Suite
from tests.support import agui
from tests.support.openai_server import OpenAiServer, Reply

SLOW = Reply(text="the quick brown fox jumps over the lazy dog " * 6, pace_s=0.03)
TWO_ANSWERS = {
    "version": 1,
    "name": "two answers",
    "nodes": [
        {"id": "first", "kind": "compose", "prompt": "ALPHA"},
        {"id": "second", "kind": "compose", "prompt": "BETA ${nodes.first.output}"},
    ],
    "output": "${nodes.second.output}",
}


async def owner(suite: Suite, run_id: str) -> str:
    """The part that works on a run."""
    connection = await asyncpg.connect(suite.database_url())
    try:
        held_by = await connection.fetchval("SELECT owner FROM runs WHERE run_id = $1::uuid", run_id)
    finally:
        await connection.close()
    return next(name for name, pid in suite.pids().items() if f"-{pid}-" in held_by)


async def follow_and_kill(suite: Suite, run_id: str, *, message: str, victim: str) -> list[dict[str, Any]]:
    """Watch a run, kill `victim` (owner: who works on it) once some of `message` has come, and return the whole log."""
    seen: list[dict[str, Any]] = []
    ids: list[int] = []
    killed = False
    async for event in suite.events(run_id):
        ids.append(int(event.id))
        seen.append(json.loads(event.data))
        if not killed and len(agui.text(seen, f"{run_id}:{message}")) > 20:
            killed = True
            suite.kill(await owner(suite, run_id) if victim == "owner" else victim)
    assert killed
    assert ids == list(range(1, len(ids) + 1))
    agui.check(seen)
    return seen


def calls(provider: OpenAiServer, word: str) -> int:
    return sum(request["messages"][-1]["content"].startswith(word) for request in provider.requests)


async def test_another_executor_goes_on_and_pays_for_no_finished_step_again(suite: Suite, provider: OpenAiServer) -> None:
    provider.otherwise = SLOW
    run_id = await suite.submit({"kind": "page", "blueprint": TWO_ANSWERS, "inputs": {}})

    seen = await follow_and_kill(suite, run_id, message="second", victim="owner")

    run = await suite.run(run_id)
    assert (run["status"], run["attempt"]) == ("succeeded", 2)
    assert (calls(provider, "ALPHA"), calls(provider, "BETA")) == (1, 2)
    assert agui.text(seen, f"{run_id}:first").strip() == SLOW.text.strip()
    assert agui.text(seen, f"{run_id}:second:2").strip() == SLOW.text.strip()
    restarted = [event["value"] for event in seen if event.get("name") == "headrace.restarted"]
    assert [one["message_id"] for one in restarted] == [f"{run_id}:second"]


async def test_a_client_of_a_killed_edge_comes_back_and_misses_nothing(suite: Suite, provider: OpenAiServer) -> None:
    provider.otherwise = SLOW
    run_id = await suite.submit({"kind": "conversation", "message": "tell me", "mode": "chat"})

    await follow_and_kill(suite, run_id, message="answer", victim="edge")

    run = await suite.run(run_id)
    assert (run["status"], run["attempt"]) == ("succeeded", 1)
    assert len(provider.requests) == 1


@pytest.mark.parametrize("victim", ["router", "planner", "rag"])
async def test_a_service_killed_while_an_answer_streams_does_not_touch_it(
    suite: Suite, provider: OpenAiServer, victim: str
) -> None:
    provider.otherwise = SLOW
    run_id = await suite.submit({"kind": "conversation", "message": "tell me", "mode": "chat"})

    await follow_and_kill(suite, run_id, message="answer", victim=victim)

    assert (await suite.run(run_id))["status"] == "succeeded"
    assert len(provider.requests) == 1


@pytest.mark.parametrize(("victim", "mode"), [("router", "chat"), ("planner", "chat"), ("rag", "qa")])
async def test_a_run_that_needs_a_killed_service_waits_until_it_is_back(suite: Suite, victim: str, mode: str) -> None:
    suite.kill(victim)
    run_id = await suite.submit({"kind": "conversation", "message": "tell me", "mode": mode})

    seen = await suite.log(run_id)

    agui.check(seen)
    run = await suite.run(run_id)
    assert (run["status"], run["attempt"]) == ("succeeded", 1)
