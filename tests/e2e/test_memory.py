"""What a session remembers, as its user meets it: found in another language, kept through kills, gone with the session."""

import asyncio
from typing import Any

from tests.e2e.suite import Suite

FACTS: dict[str, dict[str, Any]] = {
    "food": {"value": {"avoid": ["peanuts"]}, "text": "The user is allergic to peanuts and shellfish."},
    "home": {"value": "用户住在上海，远程办公。"},
    "music": {"value": "The favourite music is jazz."},
}


async def begin(suite: Suite) -> str:
    """A new session's memory."""
    return f"/api/sessions/{(await suite.post('/api/sessions', {})).json()['session_id']}/memory"


async def search(suite: Suite, path: str, query: str) -> Any:
    """A search, made again while it is 503."""
    async with asyncio.timeout(90):
        while True:
            answer = await suite.post(f"{path}/search", {"query": query, "top_k": 2})
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
