"""What a session remembers, as its user meets it: found in another language, kept through kills, gone with the session."""

import asyncio
import json
from typing import Any

import httpx

from tests.e2e.suite import Suite
from tests.support.openai_server import OpenAiServer, Reply

FACTS: dict[str, dict[str, Any]] = {
    "food": {"value": {"avoid": ["peanuts"]}, "text": "The user is allergic to peanuts and shellfish."},
    "home": {"value": "用户住在上海，远程办公。"},
    "music": {"value": "The favourite music is jazz."},
}


async def begin(suite: Suite) -> str:
    """A new session's memory."""
    return f"/api/sessions/{(await suite.post('/api/sessions', {})).json()['session_id']}/memory"


async def search(suite: Suite, path: str, query: str) -> Any:
    """A search, made again while it is 503 or nobody listens."""
    async with asyncio.timeout(90):
        while True:
            try:
                answer = await suite.post(f"{path}/search", {"query": query, "top_k": 2})
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            if answer.status_code != 503:
                assert answer.status_code == 200, answer.text
                return answer.json()
            await asyncio.sleep(float(answer.headers["retry-after"]))


async def test_what_was_said_in_one_language_is_found_in_another(suite: Suite) -> None:
    await suite.ready()
    path = await begin(suite)
    for key, fact in FACTS.items():
        assert (await suite.call("PUT", f"{path}/{key}", fact)).status_code == 201

    for query, key in (
        ("有什么东西不能吃？", "food"),
        ("Which city does the user live in?", "home"),
        ("他喜欢听什么音乐？", "music"),
    ):
        found = await search(suite, path, query)
        assert len(found["items"]) == 2
        assert found["items"][0]["key"] == key, found
        assert found["pending"] == 0
    assert found["items"][0]["value"] == FACTS["music"]["value"]

    session = path.removesuffix("/memory")
    assert (await suite.call("DELETE", session)).status_code == 204
    assert (await suite.get(f"{path}/food")).status_code == 404


async def test_what_was_accepted_while_rag_was_dead_is_found_when_it_is_back(suite: Suite) -> None:
    await suite.ready()
    path = await begin(suite)
    suite.kill("rag")
    written = await suite.call("PUT", f"{path}/food", FACTS["food"])
    suite.kill("executor-1")
    assert written.status_code == 201, written.text
    assert (await search(suite, path, "有什么东西不能吃？"))["items"][0]["key"] == "food"
    assert (await suite.get(f"{path}/food")).headers["etag"] == '"1"'
    await suite.ready()


async def test_an_answer_is_made_with_what_the_session_remembers(suite: Suite, provider: OpenAiServer) -> None:
    await suite.ready()
    path = await begin(suite)
    for key, fact in FACTS.items():
        assert (await suite.call("PUT", f"{path}/{key}", fact)).status_code == 201
    provider.otherwise = Reply(text="Noodles with beef.")
    body = {
        "message": "我有什么东西不能吃？",
        "mode": "chat",
        "session_id": path.split("/")[3],
        "memory": {"top_k": 1},
    }
    answer = await suite.post("/api/conversation", body)
    assert answer.json()["reply"] == "Noodles with beef.", answer.text
    prompt = str(provider.requests[-1]["messages"])
    assert "- food: The user is allergic to peanuts and shellfish." in prompt
    assert "jazz" not in prompt
    events = [json.loads(event.data) async for event in suite.events(answer.json()["run_id"])]
    assert "recall" in [event.get("stepName") for event in events]
    (recalled,) = [event["value"] for event in events if event.get("name") == "headrace.recalled"]
    assert [one["key"] for one in recalled["memories"]] == ["food"]
    assert recalled["warnings"] == []
