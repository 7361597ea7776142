"""Bad input gets one clear problem, early, and nothing is half done."""

from typing import Any

import httpx
import pytest

from tests.e2e.suite import Suite
from tests.support import agui

JSON = {"Content-Type": "application/json"}
CONVERSATION = "/api/conversation/stream"
CYCLE = {
    "version": 1,
    "name": "cycle",
    "nodes": [
        {"id": "a", "kind": "compute", "expr": "nodes.b.output"},
        {"id": "b", "kind": "compute", "expr": "nodes.a.output"},
    ],
    "output": "${nodes.a.output}",
}
UNKNOWN_RUN = "01900000-0000-7000-8000-000000000000"


async def runs(suite: Suite) -> list[str]:
    return [one["run_id"] for one in (await suite.get("/api/tasks?limit=200")).json()["items"]]


async def send(suite: Suite, path: str, content: bytes) -> httpx.Response:
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.post(suite.url + path, content=content, headers=JSON)


def is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


@pytest.mark.parametrize(
    ("content", "statuses"),
    [
        (b"", {400, 422}),
        (b"{", {400}),
        (b"[]", {422}),
        (b"x" * (9 * 1024 * 1024), {413}),
        (b'{"message":' + b"[" * 10_000 + b"]" * 10_000 + b"}", {400, 422}),
        (b'{"message": 7}', {422}),
        (b'{"message": ""}', {422}),
        (b'{"message": "hi", "mode": "sing"}', {422}),
        (b'{"message": "hi", "model": "no-such-model"}', {422}),
        (b'{"message": "hi", "session_id": "01900000-0000-7000-8000-000000000000"}', {404}),
        (b'{"message": "hi", "session_id": "not a session"}', {404, 422}),
        (b'{"message": "hi", "mode": "qa", "workspace": "never-written"}', {404}),
    ],
    ids=[
        "none",
        "broken",
        "list",
        "huge",
        "deep",
        "number",
        "empty",
        "mode",
        "model",
        "session",
        "malformed session",
        "workspace",
    ],
)
async def test_a_wrong_message_is_refused_and_starts_nothing(suite: Suite, content: bytes, statuses: set[int]) -> None:
    before = await runs(suite)

    answer = await send(suite, CONVERSATION, content)

    assert answer.status_code in statuses, answer.text
    is_problem(answer, answer.status_code)
    assert await runs(suite) == before


async def test_a_blueprint_with_a_cycle_is_refused_with_a_pointer(suite: Suite) -> None:
    before = await runs(suite)

    answer = await suite.post("/api/tasks", {"kind": "page", "blueprint": CYCLE, "inputs": {}})

    problem = is_problem(answer, 422)
    assert any("wait for each other" in error["msg"] for error in problem["errors"])
    assert await runs(suite) == before


async def test_an_expression_that_does_not_end_fails_its_run_and_nobody_else_waits(suite: Suite) -> None:
    numbers = list(range(400))
    endless = "inputs.l.all(a, inputs.l.all(b, inputs.l.map(c, c + a + b).size() > 0))"
    blueprint = {
        "version": 1,
        "name": "endless",
        "inputs": {"type": "object"},
        "nodes": [{"id": "n", "kind": "compute", "expr": endless}],
        "output": "${nodes.n.output}",
    }
    before = await runs(suite)
    answer = await suite.post("/api/tasks", {"kind": "page", "blueprint": blueprint, "inputs": {"l": numbers}})
    if answer.status_code != 202:
        is_problem(answer, 422)
        assert await runs(suite) == before
        return
    other = await suite.submit({"kind": "conversation", "message": "hello", "mode": "chat"})

    assert (await suite.run(other))["status"] == "succeeded"
    log = await suite.log(answer.json()["run_id"])
    agui.check(log)
    assert log[-1]["type"] == "RUN_ERROR"
    assert "n" in log[-1]["message"]


@pytest.mark.parametrize("value", ["abc", "-1", "1.5", "9" * 40])
async def test_a_last_event_id_that_is_no_number_is_refused(suite: Suite, value: str) -> None:
    run_id = await suite.submit({"kind": "conversation", "message": "hello", "mode": "chat"})

    answer = await suite.get(f"/api/tasks/{run_id}/events", **{"Last-Event-ID": value})

    is_problem(answer, 400)


async def test_what_nobody_knows_is_not_found(suite: Suite) -> None:
    for path in (f"/api/tasks/{UNKNOWN_RUN}", f"/api/sessions/{UNKNOWN_RUN}", "/api/nothing"):
        is_problem(await suite.get(path), 404)
    is_problem(await suite.get(f"/api/tasks/{UNKNOWN_RUN}/events"), 404)
