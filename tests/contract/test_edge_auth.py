"""Keys, scopes, tenants and rates, as clients meet them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import edge_suite
from tests.support.edge_suite import Suite, until

A, B, READER = "key-of-tenant-a-000000", "key-of-tenant-b-000000", "key-of-a-reader-000000"


def entry(key: str, name: str, tenant: str, more: str = "") -> str:
    return f'- {{name: {name}, tenant: {tenant}, key_sha256: "{hashlib.sha256(key.encode()).hexdigest()}"{more}}}\n'


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.yaml"
    path.write_text(
        entry(A, "a", "ta")
        + entry(B, "b", "tb", ", requests_per_minute: 5")
        + entry(READER, "reader", "ta", ", scopes: [read], max_streams: 1")
    )
    return path


@pytest.fixture
async def edge(keys: Path) -> AsyncIterator[Suite]:
    async with edge_suite.suite(api_keys_file=keys) as one:
        yield one


def as_(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", "Basic " + A, f"Bearer {A[:-1]}", f"Bearer {A} {A}"]
)
async def test_without_a_known_key_nothing_is_told(edge: Suite, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for path in ("/api/tasks", "/models", "/metrics", "/nothing"):
        response = await edge.client.get(path, headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["content-type"] == "application/problem+json"
        assert A not in response.text


async def test_health_and_the_description_need_no_key(edge: Suite) -> None:
    for path in ("/api/health", "/api/health/live", "/api/health/ready", "/openapi.json", "/docs"):
        assert (await edge.client.get(path)).status_code == 200


async def test_a_tenant_cannot_reach_what_is_anothers(edge: Suite) -> None:
    made = await edge.client.post("/api/tasks", json={"kind": "conversation", "message": "x"}, headers=as_(A))
    run = f"/api/tasks/{made.json()['run_id']}"
    session = (await edge.client.post("/api/sessions", json={}, headers=as_(A))).json()["session_id"]
    edge.rag.put("ta", "default", "d1")
    assert (await edge.client.get(run, headers=as_(A))).status_code == 200

    async with httpx.AsyncClient(base_url=edge.client.base_url, headers=as_(B), trust_env=False) as b:
        tries = [
            await b.get(run),
            await b.get(f"{run}/events"),
            await b.delete(run),
            await b.get(f"/api/sessions/{session}/messages"),
        ]
    assert [one.status_code for one in tries] == [404] * 4
    assert edge.executor.runs[made.json()["run_id"]].run.tenant_id == "ta"


async def test_a_session_or_document_of_another_tenant_is_unknown(edge: Suite) -> None:
    session = (await edge.client.post("/api/sessions", json={}, headers=as_(A))).json()["session_id"]
    edge.rag.put("ta", "default", "d1")
    body = {"kind": "conversation", "message": "x", "session_id": session}
    assert (await edge.client.post("/api/tasks", json=body, headers=as_(B))).status_code == 404
    assert (await edge.client.delete(f"/api/sessions/{session}", headers=as_(B))).status_code == 404
    assert (await edge.client.get("/api/documents/d1", headers=as_(B))).status_code == 404
    assert (await edge.client.delete("/api/documents/d1", headers=as_(B))).status_code == 404
    assert (await edge.client.get("/api/documents/d1", headers=as_(A))).status_code == 200


async def test_one_idempotency_key_of_two_tenants_is_two_runs(edge: Suite) -> None:
    body = {"kind": "conversation", "message": "x"}
    ids = {
        (await edge.client.post("/api/tasks", json=body, headers={**as_(key), "Idempotency-Key": "same"})).json()["run_id"]
        for key in (A, B)
    }
    assert len(ids) == 2


async def test_a_key_may_do_what_its_scopes_say(edge: Suite) -> None:
    assert (await edge.client.get("/api/tasks", headers=as_(READER))).status_code == 200
    body = {"kind": "conversation", "message": "x"}
    for response in (
        await edge.client.post("/api/tasks", json=body, headers=as_(READER)),
        await edge.client.get("/api/documents", headers=as_(READER)),
        await edge.client.get("/metrics", headers=as_(A)),
    ):
        assert response.status_code == 403
        assert "scope" in response.json()["detail"]


READS = ("/api/workflows", "/api/workflows/schema", "/api/pages", "/skills")
WRITES: tuple[tuple[str, str, Any], ...] = (
    ("PUT", "/api/workflows/w", {"blueprint": {}}),
    ("DELETE", "/api/workflows/w", None),
    ("POST", "/api/workflows/w/runs", {}),
    ("POST", "/api/page/generate", {"workflow_id": "w"}),
    ("POST", "/api/page/patch", {"page_id": "p", "instruction": "x"}),
    ("POST", "/api/pages/p/restore", {}),
    ("DELETE", "/api/pages/p", None),
    ("POST", "/ag-ui", {"threadId": "t", "runId": "r", "messages": [{"role": "user", "content": "x"}]}),
)


async def test_a_reader_reads_workflows_and_pages_and_changes_none(edge: Suite) -> None:
    for path in READS:
        assert (await edge.client.get(path, headers=as_(READER))).status_code == 200
    valid = await edge.client.post("/api/workflows/validate", json={"blueprint": {}}, headers=as_(READER))
    assert valid.status_code == 200
    for method, path, body in WRITES:
        assert (await edge.client.request(method, path, json=body, headers=as_(READER))).status_code == 403
    assert not edge.executor.runs


async def test_a_key_that_asks_too_often_is_told_to_wait(edge: Suite) -> None:
    statuses = [(await edge.client.get("/api/tasks", headers=as_(B))).status_code for _ in range(5)]
    assert statuses == [200] * 5
    refused = await edge.client.get("/api/tasks", headers=as_(B))
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    assert (await edge.client.get("/api/tasks", headers=as_(A))).status_code == 200


async def test_a_keyless_edge_serves_no_web_page_of_another_site() -> None:
    async with edge_suite.suite() as edge:
        assert (await edge.client.get("/api/tasks")).status_code == 200
        for headers in ({"Origin": "https://example.org"}, {"Host": "example.org"}):
            refused = await edge.client.get("/api/tasks", headers=headers)
            assert refused.status_code == 401
            assert "loopback" in refused.json()["detail"]


async def test_a_key_that_has_its_requests_in_work_leaves_places_for_others(keys: Path) -> None:
    async with edge_suite.suite(api_keys_file=keys, max_requests=3, max_requests_per_key=2) as edge:
        ask = partial(edge.client.post, "/api/conversation", json={"message": "x"}, headers=as_(A))
        waiting = [asyncio.create_task(ask()) for _ in range(2)]
        await until(lambda: edge.executor.waiters == 2)

        refused = await edge.client.get("/api/tasks", headers=as_(A))
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert "2 requests in work" in refused.json()["detail"]
        assert (await edge.client.get("/api/tasks", headers=as_(B))).status_code == 200

        for run in edge.executor.runs.values():
            await run.finish({"reply": "x"})
        assert [(await one).status_code for one in waiting] == [200, 200]
        assert (await edge.client.get("/api/tasks", headers=as_(A))).status_code == 200


async def test_a_keys_open_streams_are_no_requests_in_work(keys: Path) -> None:
    async with edge_suite.suite(api_keys_file=keys, max_requests_per_key=1) as edge:
        async with edge.client.stream("POST", "/api/conversation/stream", json={"message": "x"}, headers=as_(A)) as one:
            assert one.status_code == 200
            assert (await edge.client.get("/api/tasks", headers=as_(A))).status_code == 200
