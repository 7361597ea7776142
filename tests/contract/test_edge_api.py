"""The edge's routes before real gRPC services: shapes, statuses, problems, and nothing half done."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace_runtime import errors

from tests.support import edge_suite
from tests.support.edge_fakes import FakeRun, numbered
from tests.support.edge_suite import Suite, until

PAGE: dict[str, Any] = {
    "blueprint": {
        "version": 1,
        "name": "sum",
        "inputs": {"type": "object", "properties": {"a": {"type": "number"}}},
        "nodes": [{"id": "sum", "kind": "compute", "expr": "inputs.a + 1"}],
        "output": "${nodes.sum.output}",
    },
    "inputs": {"a": 1},
}


@pytest.fixture
async def edge() -> AsyncIterator[Suite]:
    async with edge_suite.suite() as one:
        yield one


async def answers(run: FakeRun) -> None:
    await run.emit(*numbered(3))
    intent = {"kind": "chat", "confidence": 0.9, "decided_by": "rules"}
    await run.finish({"intent": intent, "reply": "Hi.", "blueprint": None, "quiz": None, "citations": []})


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:headrace:problem:")
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    return body


async def test_a_message_is_answered_whole(edge: Suite) -> None:
    edge.executor.script = answers
    response = await edge.client.post("/api/conversation", json={"message": "hello", "metadata": {"a": 1}})

    assert response.status_code == 200
    body = response.json()
    run = edge.executor.runs[body["run_id"]]
    assert body["reply"] == "Hi."
    assert body["intent"] == {"kind": "chat", "confidence": 0.9, "decided_by": "rules"}
    assert body["session_id"] == run.run.session_id
    assert body["citations"] == []
    assert body["usage"]["llm_calls"] == 0
    assert body["timings"]["total_ms"] >= 0
    assert run.body == {"message": "hello", "mode": "auto", "metadata": {"a": 1}, "execute": False}
    assert run.request.kind == pb.RUN_KIND_CONVERSATION
    assert run.request.priority == pb.PRIORITY_INTERACTIVE
    assert run.request.request_id


async def test_a_slow_answer_is_504_with_the_run_that_goes_on() -> None:
    async with edge_suite.suite(answer_timeout_s=1) as edge:
        body = problem(await edge.client.post("/api/conversation", json={"message": "hello"}), 504)
        run = edge.executor.runs[body["run_id"]]
        assert body["links"]["events"] == f"/api/tasks/{run.run.run_id}/events"
        assert not run.ended


@pytest.mark.parametrize(
    ("code", "status"),
    [("deadline", 504), ("provider", 502), ("quota", 503), ("budget", 429), ("internal", 500), ("invalid_blueprint", 422)],
)
async def test_a_failed_run_is_a_problem_that_names_it(edge: Suite, code: str, status: int) -> None:
    edge.executor.script = lambda run: run.fail(code, "it did not work")
    body = problem(await edge.client.post("/api/conversation", json={"message": "hello"}), status)
    assert body["detail"] == "it did not work"
    assert body["run_id"] in edge.executor.runs


async def test_a_run_that_the_gate_turned_away_is_a_problem_with_the_gates_own_time_to_come_back(edge: Suite) -> None:
    edge.executor.script = lambda run: run.fail("quota", "no slot before the deadline", retry_after_s=41.2)
    response = await edge.client.post("/api/conversation", json={"message": "hello"})
    assert problem(response, 503)["run_id"] in edge.executor.runs
    assert 30 <= int(response.headers["retry-after"]) <= 42


async def test_a_caller_who_leaves_stops_the_waiting_and_not_the_run(edge: Suite) -> None:
    task = asyncio.create_task(edge.client.post("/api/conversation", json={"message": "hello"}))
    await until(lambda: edge.executor.waiters == 1)
    task.cancel()
    await until(lambda: edge.executor.waiters == 0)
    (run,) = edge.executor.runs.values()
    assert not run.ended


async def test_a_workflow_is_planned(edge: Suite) -> None:
    edge.executor.script = lambda run: run.finish({"blueprint": {"version": 1}, "warnings": ["repaired"]})
    response = await edge.client.post("/api/workflow/generate", json={"prompt": "compare", "sources": ["contracts"]})
    assert response.status_code == 200
    assert response.json()["blueprint"] == {"version": 1}
    assert response.json()["warnings"] == ["repaired"]
    (run,) = edge.executor.runs.values()
    assert run.body == {"prompt": "compare", "sources": ["contracts"]}


async def test_a_workflow_that_cannot_be_planned_before_something_is_answered_asks_back(edge: Suite) -> None:
    asked = {"id": "r:0", "reason": "clarification", "message": "Which?", "responseSchema": {"enum": ["a", "b"]}}
    edge.executor.script = lambda run: run.finish({"reply": "Which?", "blueprint": None, "interrupts": [asked]})
    session_id = (await edge.client.post("/api/sessions", json={})).json()["session_id"]
    response = await edge.client.post("/api/workflow/generate", json={"prompt": "on 3B", "session_id": session_id})
    answer = response.json()
    assert (response.status_code, answer["blueprint"], answer["interrupts"]) == (200, {}, [asked])
    assert answer["session_id"] == session_id

    edge.executor.script = lambda run: run.finish({"blueprint": {"version": 1}, "inputs": {"message": "on 3B"}})
    resume = [{"interrupt_id": "r:0", "status": "resolved", "payload": "b"}]
    body = {"session_id": session_id, "resume": resume}
    assert (await edge.client.post("/api/workflow/generate", json=body)).json()["inputs"] == {"message": "on 3B"}
    assert list(edge.executor.runs.values())[-1].body == {"resume": resume}
    for wrong in ({}, {"resume": resume}):
        assert (await edge.client.post("/api/workflow/generate", json=wrong)).status_code == 422


async def test_a_task_is_taken_on_read_waited_for_listed_and_cancelled(edge: Suite) -> None:
    accepted = await edge.client.post("/api/tasks", json={"kind": "page", **PAGE})
    assert accepted.status_code == 202
    links = accepted.json()["links"]
    assert accepted.headers["location"] == links["self"]
    (run,) = edge.executor.runs.values()
    assert run.request.priority == pb.PRIORITY_BACKGROUND
    assert run.body == PAGE

    assert (await edge.client.get(links["self"])).json()["status"] == "running"
    assert (await edge.client.get(links["self"], params={"wait": 1})).json()["status"] == "running"
    waiting = asyncio.create_task(edge.client.get(links["self"], params={"wait": 20}))
    await until(lambda: edge.executor.waiters == 1)
    await run.finish({"output": 2})
    done = (await waiting).json()
    assert (done["status"], done["output"], done["kind"], done["error"]) == ("succeeded", {"output": 2}, "page", None)

    listed = (await edge.client.get("/api/tasks", params={"status": "succeeded", "limit": 1})).json()
    assert [one["run_id"] for one in listed["items"]] == [done["run_id"]]
    assert listed["next_cursor"] is None
    problem(await edge.client.delete(links["self"]), 409)

    other = (await edge.client.post("/api/tasks", json={"kind": "conversation", "message": "x"})).json()
    cancelled = await edge.client.delete(other["links"]["cancel"])
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")


async def test_one_key_is_one_run_and_another_body_under_it_is_refused(edge: Suite) -> None:
    headers = {"Idempotency-Key": "k1"}
    body = {"kind": "conversation", "message": "x"}
    first, second = [(await edge.client.post("/api/tasks", json=body, headers=headers)).json() for _ in range(2)]
    assert first["run_id"] == second["run_id"]
    assert len(edge.executor.runs) == 1
    refused = await edge.client.post("/api/tasks", json={**body, "message": "y"}, headers=headers)
    assert problem(refused, 422)["type"].endswith("idempotency-key-reused")


@pytest.mark.parametrize("key", ["", "x" * 129, "a b"])
async def test_a_malformed_key_is_400(edge: Suite, key: str) -> None:
    body = {"kind": "conversation", "message": "x"}
    refused = await edge.client.post("/api/tasks", json=body, headers={"Idempotency-Key": key})
    assert problem(refused, 400)["errors"][0]["loc"] == ["header", "Idempotency-Key"]
    assert edge.executor.submits == 0


async def test_a_lost_answer_is_asked_for_again_and_runs_once(edge: Suite) -> None:
    edge.executor.lose_answers = 6
    response = await edge.client.post("/api/tasks", json={"kind": "conversation", "message": "x"})
    assert response.status_code == 202
    assert edge.executor.submits == 7
    assert list(edge.executor.runs) == [response.json()["run_id"]]


async def test_an_executor_away_is_503_and_one_that_comes_back_in_time_is_not_noticed() -> None:
    async with edge_suite.suite(call_retry_s=10) as edge:
        await edge.executor_part.kill()
        waiting = asyncio.create_task(edge.client.post("/api/tasks", json={"kind": "conversation", "message": "x"}))
        await asyncio.wait({waiting}, timeout=1)
        assert not waiting.done()
        await edge.executor_part.start()
        assert (await waiting).status_code == 202
    async with edge_suite.suite(call_retry_s=0.1) as edge:
        await edge.executor_part.kill()
        response = await edge.client.post("/api/tasks", json={"kind": "conversation", "message": "x"})
        body = problem(response, 503)
        assert int(response.headers["retry-after"]) >= 1
        assert "127.0.0.1" not in body["detail"]


async def test_a_full_queue_is_429_with_the_time_to_come_back(edge: Suite) -> None:
    edge.executor.refuse = errors.ResourceExhausted("200 runs wait", reason="QUEUE_FULL", retry_after_s=7.2)
    response = await edge.client.post("/api/conversation", json={"message": "x"})
    assert problem(response, 429)["detail"] == "200 runs wait"
    assert response.headers["retry-after"] == "8"


async def test_a_refused_field_is_told_with_its_place(edge: Suite) -> None:
    violation = errors.Violation("body.model", "no such model")
    edge.executor.refuse = errors.InvalidArgument("unknown model", violations=(violation,))
    response = await edge.client.post("/api/conversation/stream", json={"message": "x", "model": "nope"})
    assert problem(response, 422)["errors"] == [{"loc": ["body.model"], "msg": "no such model"}]
    assert edge.streams == 0


BAD_BODIES = [
    (b"", 400),
    (b"{", 400),
    (b"[]", 422),
    (b'{"message":' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400),
    (b'{"message":' + b"[" * 200 + b"]" * 200 + b"}", 422),
    (b'{"message": 7}', 422),
    (b'{"message": ""}', 422),
    (b'{"message": "  \\n"}', 422),
    (b'{"message": "a\\u0000b"}', 422),
    (b'{"message": "x", "mode": "sing"}', 422),
    (b'{"message": "x", "priority": "first"}', 422),
    (b'{"message": "x", "workspace": "../other"}', 422),
    (b'{"message": "x", "unknown": 1}', 422),
    (b'{"message": "x", "tools": "calculator"}', 422),
    (b'{"message": "x", "tools": ["a b"]}', 422),
    (b'{"message": "x", "tools": ["school*"]}', 422),
    (b'{"message": "x", "memory": {"top_k": 51}}', 422),
    (b'{"message": "x", "memory": {"other": 1}}', 422),
    (b'{"message": "x", "memory": true}', 422),
    (b'{"message": "' + b"x" * 40_000 + b'"}', 422),
    (b'{"message": "x", "metadata": {"a": "' + b"x" * 20_000 + b'"}}', 422),
]


@pytest.mark.parametrize(("content", "status"), BAD_BODIES, ids=range(len(BAD_BODIES)))
@pytest.mark.parametrize("path", ["/api/conversation", "/api/conversation/stream"])
async def test_bad_input_is_a_problem_and_starts_nothing(edge: Suite, path: str, content: bytes, status: int) -> None:
    response = await edge.client.post(path, content=content, headers={"content-type": "application/json"})
    problem(response, status)
    assert edge.executor.submits == 0


async def test_a_body_of_another_type_is_415(edge: Suite) -> None:
    problem(await edge.client.post("/api/conversation", data={"message": "x"}), 415)
    problem(await edge.client.post("/api/conversation", content=b'{"message":"x"}'), 415)


async def test_every_fault_that_the_executor_finds_is_told_with_its_place(edge: Suite) -> None:
    faults = tuple(errors.Violation(f"/blueprint/nodes/{n}", f"fault {n}") for n in range(2))
    edge.executor.refuse = errors.InvalidArgument("the blueprint cannot be run", violations=faults)
    for path, body in (("/api/page/generate", {}), ("/api/tasks", {"kind": "page"})):
        found = problem(await edge.client.post(path, json={**PAGE, **body}), 422)
        assert found["errors"] == [{"loc": ["body", f"/blueprint/nodes/{n}"], "msg": f"fault {n}"} for n in range(2)]
    assert not edge.executor.runs


async def test_an_unknown_workspace_is_404_and_a_known_one_or_the_default_is_not(edge: Suite) -> None:
    edge.rag.put("default", "contracts", "d1")
    edge.rag.put("other", "theirs", "d1")
    for name, status in (("nowhere", 404), ("theirs", 404), ("contracts", 202), ("default", 202)):
        body = {"kind": "conversation", "message": "x", "workspace": name}
        assert (await edge.client.post("/api/tasks", json=body)).status_code == status
    assert edge.executor.submits == 2


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/tasks/none", 404),
        ("GET", "/api/tasks/none?wait=61", 422),
        ("GET", "/api/tasks/none?wait=x", 422),
        ("GET", "/api/tasks?limit=0", 422),
        ("GET", "/api/tasks?status=lost", 422),
        ("PUT", "/api/tasks", 405),
        ("GET", "/api/sessions/none", 404),
        ("GET", "/api/sessions/none/messages", 404),
        ("DELETE", "/api/sessions/none", 404),
        ("GET", "/api/documents/none", 404),
        ("GET", "/api/documents?workspace=a%20b", 422),
        ("GET", "/api/tasks/none/events", 404),
    ],
)
async def test_every_refusal_is_a_problem(edge: Suite, method: str, path: str, status: int) -> None:
    problem(await edge.client.request(method, path), status)


async def test_an_unforeseen_failure_is_a_problem_without_details(edge: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: Any) -> None:
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr("headrace_edge.adapters.executor_client.ExecutorRuns.signals", broken)
    body = problem(await edge.client.get("/api/quota"), 500)
    assert "secret" not in str(body)


async def test_sessions_are_made_read_listed_and_removed(edge: Suite) -> None:
    made = await edge.client.post("/api/sessions", json={"title": "Tuesday", "metadata": {"a": [1]}})
    assert made.status_code == 201
    session = made.json()
    path = f"/api/sessions/{session['session_id']}"
    assert session["metadata"] == {"a": [1]}
    assert (await edge.client.get(path)).json() == session
    assert (await edge.client.get("/api/sessions")).json()["items"] == [session]
    assert (await edge.client.get(f"{path}/messages")).json()["items"][0]["text"] == "hello"
    assert (
        await edge.client.post("/api/tasks", json={"kind": "conversation", "message": "x", "session_id": "no"})
    ).status_code == 404
    assert (await edge.client.delete(path)).status_code == 204
    assert (await edge.client.get(path)).status_code == 404
    problem(await edge.client.post("/api/sessions", json={"title": "x" * 201}), 422)


async def test_the_catalog_and_the_quota_are_told(edge: Suite) -> None:
    models = (await edge.client.get("/models")).json()
    assert models["default"] == "small"
    assert models["models"][0]["limits"] == {"requests_per_minute": 60, "tokens_per_minute": None}
    assert models["models"][0]["price"]["prompt_usd_per_million"] is None
    skills = (await edge.client.get("/skills")).json()["skills"]
    assert {"name": "calculator", "kind": "tool", "description": "Adds.", "input_schema": {"type": "object"}} in skills
    assert {one["name"] for one in skills if one["kind"] == "mode"} == {"chat", "qa", "build", "quiz"}
    quota = (await edge.client.get("/api/quota")).json()
    assert quota["queued"] == {"interactive": 2, "standard": 0, "background": 0}
    assert quota["models"]["small"]["effective_rpm"] == 45
    assert quota["models"]["small"]["throttled"] is True


async def test_request_ids_and_traces_pass_through(edge: Suite) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"X-Request-ID": "mine-1", "traceparent": trace}
    response = await edge.client.post("/api/tasks", json={"kind": "conversation", "message": "x"}, headers=headers)
    assert response.headers["x-request-id"] == "mine-1"
    (run,) = edge.executor.runs.values()
    assert run.request.traceparent == trace
    assert ("x-request-id", "mine-1") in edge.executor.metadata
    response = await edge.client.get("/api/health/live", headers={"X-Request-ID": "a b\tc"})
    assert len(response.headers["x-request-id"]) == 32


async def test_health_tells_that_the_gate_is_not_shared_and_runs_go_on() -> None:
    async with edge_suite.suite(health_ttl_s=0, admission_stale_s=5) as edge:
        assert isinstance(edge.executor.signals, pb.QueueSignalsResponse)
        edge.executor.signals.models[0].shared = False
        report = (await edge.client.get("/api/health")).json()
        assert report["status"] == "degraded"
        assert report["checks"]["gate"] | {"latency_ms": 0} == {
            "status": "unavailable",
            "latency_ms": 0,
            "detail": "gate_not_shared",
        }
        submitted = await edge.client.post("/api/tasks", json={"kind": "conversation", "message": "x"})
        assert submitted.status_code == 202


async def test_readiness_follows_the_parts_and_liveness_does_not() -> None:
    async with edge_suite.suite(health_ttl_s=0) as edge:
        assert (await edge.client.get("/api/health/ready")).json()["status"] == "ok"
        await edge.rag_part.kill()
        degraded = await edge.client.get("/api/health/ready")
        assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
        await edge.executor_part.kill()
        away = await edge.client.get("/api/health")
        assert (away.status_code, away.json()["status"]) == (503, "unavailable")
        assert away.json()["checks"]["executor"]["status"] == "unavailable"
        assert (await edge.client.get("/api/health/live")).status_code == 200
        await edge.executor_part.start()
        async with asyncio.timeout(10):
            while (await edge.client.get("/api/health/ready")).status_code != 200:
                await asyncio.sleep(0.05)


async def test_the_docs_page_needs_no_other_host(edge: Suite) -> None:
    page = (await edge.client.get("/docs")).text
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert not [asset for asset in assets if "//" in asset]
    for asset in assets:
        if asset.startswith("/"):
            assert (await edge.client.get(asset)).status_code == 200
    assert "/openapi.json" in page
