"""What sessions remember over HTTP: kept under keys, overwritten knowingly where that is asked for, found by meaning."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.contract.test_edge_api import problem
from tests.contract.test_edge_auth import READER, A, B, as_, entry
from tests.support import edge_suite
from tests.support.edge_suite import Suite

VALUE = {"avoid": ["peanuts"]}


@pytest.fixture
async def edge() -> AsyncIterator[Suite]:
    async with edge_suite.suite(call_retry_s=0.2) as one:
        yield one


@pytest.fixture
async def path(edge: Suite) -> str:
    session = (await edge.client.post("/api/sessions", json={})).json()["session_id"]
    return f"/api/sessions/{session}/memory"


async def put(edge: Suite, path: str, key: str = "food", value: Any = VALUE, **more: Any) -> Any:
    headers = {name.replace("_", "-"): header for name, header in more.pop("headers", {}).items()}
    return await edge.client.put(f"{path}/{key}", json={"value": value, **more}, headers=headers)


async def test_a_memory_is_made_read_replaced_listed_and_removed(edge: Suite, path: str) -> None:
    made = await put(edge, path, text="allergic to peanuts", metadata={"by": "user"})
    assert (made.status_code, made.headers["etag"], made.headers["location"]) == (201, '"1"', f"{path}/food")
    body = made.json()
    assert body.keys() == {"key", "value", "text", "metadata", "revision", "created_at", "updated_at"}
    assert (body["key"], body["value"], body["text"]) == ("food", VALUE, "allergic to peanuts")
    assert (body["metadata"], body["revision"]) == ({"by": "user"}, 1)

    read = await edge.client.get(f"{path}/food")
    assert (read.status_code, read.headers["etag"], read.json()) == (200, '"1"', body)
    assert (await edge.client.get(f"{path}/food", headers={"If-None-Match": '"1"'})).status_code == 304
    replaced = await put(edge, path, value="likes rice")
    assert (replaced.status_code, replaced.headers["etag"], replaced.json()["value"]) == (200, '"2"', "likes rice")
    assert "location" not in replaced.headers

    listed = (await edge.client.get(path)).json()
    assert listed == {"items": [replaced.json()], "next_cursor": None}
    assert (await edge.client.delete(f"{path}/food")).status_code == 204
    assert problem(await edge.client.get(f"{path}/food"), 404)["type"].endswith("memory-not-found")
    problem(await edge.client.delete(f"{path}/food"), 404)


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, "记住这个", {"a": {"b": [1, None]}}], ids=str)
async def test_any_json_is_remembered(edge: Suite, path: str, value: Any) -> None:
    assert (await put(edge, path, value=value)).status_code == 201
    assert (await edge.client.get(f"{path}/food")).json()["value"] == value


async def test_lists_go_on_with_their_cursor(edge: Suite, path: str) -> None:
    for key in ("c", "a:1", "b"):
        await put(edge, path, key)
    first = (await edge.client.get(f"{path}?limit=2")).json()
    second = (await edge.client.get(path, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [one["key"] for one in first["items"] + second["items"]] == ["a:1", "b", "c"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    "headers", [{"if_match": '"7"'}, {"if_match": 'W/"1"'}, {"if_match": '"x"'}, {"if_none_match": "*"}], ids=str
)
async def test_a_write_on_top_of_something_else_is_412_with_what_is_there(
    edge: Suite, path: str, headers: dict[str, str]
) -> None:
    await put(edge, path)
    refused = await put(edge, path, value="mine", headers=headers)
    assert "memory food" in problem(refused, 412)["detail"]
    assert refused.headers["etag"] == '"1"'
    if "if_match" in headers:
        problem(await edge.client.delete(f"{path}/food", headers={"If-Match": headers["if_match"]}), 412)
    assert (await edge.client.get(f"{path}/food")).json()["value"] == VALUE


async def test_conditions_that_hold_and_on_what_is_not_there(edge: Suite, path: str) -> None:
    for tag in ('"1"', "*"):
        assert "If-None-Match: *" in problem(await put(edge, path, headers={"if_match": tag}), 412)["detail"]
    assert (await put(edge, path, headers={"if_none_match": "*"})).status_code == 201
    assert (await put(edge, path, headers={"if_match": '"1"'})).headers["etag"] == '"2"'
    assert (await put(edge, path, headers={"if_match": "*"})).headers["etag"] == '"3"'
    problem(await put(edge, path, headers={"if_match": '"3"', "if_none_match": "*"}), 400)
    assert (await edge.client.delete(f"{path}/food", headers={"If-Match": '"3"'})).status_code == 204


async def test_a_search_answers_with_scores_and_times(edge: Suite, path: str) -> None:
    await put(edge, path, "food", text="allergic to peanuts")
    await put(edge, path, "home", text="lives in Berlin")
    answer = await edge.client.post(f"{path}/search", json={"query": "peanuts", "top_k": 1})
    assert answer.status_code == 200
    body = answer.json()
    assert body["items"] == [{"key": "food", "value": VALUE, "text": "allergic to peanuts", "metadata": {}, "score": 0.5}]
    assert body["pending"] == 1
    assert body["timings"]["search_ms"] >= 0


async def test_a_search_that_cannot_be_made_is_503_with_a_time(edge: Suite, path: str) -> None:
    await put(edge, path)
    edge.executor.embeddings_away = True
    refused = await edge.client.post(f"{path}/search", json={"query": "peanuts"})
    assert problem(refused, 503)["type"] == "urn:headrace:problem:embeddings-away"
    assert refused.headers["retry-after"] == "3"
    assert (await put(edge, path)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"value": 1, "other": 2},
        {"value": "x" * 65_536},
        {"value": 1, "text": ""},
        {"value": 1, "text": " "},
        {"value": 1, "text": "x" * 8_001},
        {"value": 1, "metadata": []},
        {"value": 1, "metadata": {"a": "x" * 16_384}},
    ],
    ids=lambda body: orjson.dumps(body).decode()[:40],
)
async def test_what_cannot_be_remembered_is_refused_with_its_place(edge: Suite, path: str, body: dict[str, Any]) -> None:
    refused = problem(await edge.client.put(f"{path}/food", json=body), 422)
    assert refused["errors"][0]["loc"][0] == "body"
    assert not edge.executor.memories


@pytest.mark.parametrize("key", ["a%2Fb", "a%20b", "%C3%A9", "a" * 129])
async def test_a_key_has_few_characters(edge: Suite, path: str, key: str) -> None:
    assert (await put(edge, path, key)).status_code in (404, 422)
    assert not edge.executor.memories


@pytest.mark.parametrize(
    "body",
    [{}, {"query": ""}, {"query": " "}, {"query": "x" * 8_001}, {"query": "a", "top_k": 51}, {"query": "a", "top_k": 0}],
)
async def test_a_search_for_nothing_is_refused(edge: Suite, path: str, body: dict[str, Any]) -> None:
    problem(await edge.client.post(f"{path}/search", json=body), 422)


@pytest.mark.parametrize("headers", [{}, {"if_match": '"1"'}, {"if_match": "*"}, {"if_none_match": "*"}], ids=str)
async def test_a_session_that_is_not_there_is_404_whatever_the_condition(edge: Suite, headers: dict[str, str]) -> None:
    gone = "/api/sessions/00000000-0000-7000-8000-000000000000/memory"
    assert problem(await put(edge, gone, headers=headers), 404)["type"].endswith("session-not-found")
    problem(await edge.client.get(gone), 404)
    problem(await edge.client.post(f"{gone}/search", json={"query": "a"}), 404)
    problem(await edge.client.delete(f"{gone}/food"), 404)


async def test_tenants_and_scopes(tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text(entry(A, "a", "ta") + entry(B, "b", "tb") + entry(READER, "reader", "ta", ", scopes: [read]"))
    async with edge_suite.suite(api_keys_file=keys) as edge:
        session = (await edge.client.post("/api/sessions", json={}, headers=as_(A))).json()["session_id"]
        path = f"/api/sessions/{session}/memory"
        mine: dict[str, Any] = {"json": {"value": 1}}
        question = {"json": {"query": "1"}}
        assert (await edge.client.put(f"{path}/k", headers=as_(A), **mine)).status_code == 201
        for method, where, more in (
            ("PUT", f"{path}/k", mine),
            ("GET", f"{path}/k", {}),
            ("DELETE", f"{path}/k", {}),
            ("GET", path, {}),
            ("POST", f"{path}/search", question),
        ):
            problem(await edge.client.request(method, where, headers=as_(B), **more), 404)
            allowed = await edge.client.request(method, where, headers=as_(READER), **more)
            assert allowed.status_code == (403 if method in ("PUT", "DELETE") else 200), (method, where)
        assert edge.executor.memories[session, "k"].revision == 1


async def test_the_description_has_the_routes(edge: Suite) -> None:
    paths = (await edge.client.get("/openapi.json")).json()["paths"]
    one = "/api/sessions/{session_id}/memory/{key}"
    assert paths[one].keys() == {"get", "put", "delete"}
    assert {"200", "201", "412"} <= paths[one]["put"]["responses"].keys()
    assert paths["/api/sessions/{session_id}/memory/search"].keys() == {"post"}


@pytest.mark.parametrize(("memory", "sent"), [({}, {"top_k": 5}), ({"top_k": 50}, {"top_k": 50}), (None, None)], ids=str)
async def test_a_conversation_asks_for_memories(edge: Suite, memory: Any, sent: Any) -> None:
    accepted = await edge.client.post("/api/tasks", json={"kind": "conversation", "message": "hello", "memory": memory})
    assert accepted.status_code == 202
    assert edge.executor.runs[accepted.json()["run_id"]].body.get("memory") == sent
