"""Documents through the edge: what is taken, what is refused, and what another tenant sees."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from headrace.executor.v1 import executor_pb2 as pb

from tests.support import edge_suite
from tests.support.edge_suite import Suite

PARSE = "/api/internal/documents/parse"


@pytest.fixture
async def edge() -> AsyncIterator[Suite]:
    async with edge_suite.suite(max_document_bytes=1000) as one:
        yield one


def upload(content: bytes, name: str = "a.md", kind: str = "text/markdown") -> dict[str, Any]:
    return {"files": {"file": (name, content, kind)}}


async def test_a_file_or_a_json_document_becomes_a_run(edge: Suite) -> None:
    text = "# Café\nopen"
    by_file = await edge.client.post(PARSE, **upload(b"\xef\xbb\xbf" + text.encode()), data={"workspace": "w1"})
    by_json = await edge.client.post(PARSE, json={"title": "a.md", "text": text, "workspace": "w1"})
    assert (by_file.status_code, by_json.status_code) == (202, 202)
    first, second = edge.executor.runs.values()
    assert first.request.kind == pb.RUN_KIND_DOCUMENT
    assert first.request.priority == pb.PRIORITY_BACKGROUND
    assert first.body == {
        "document_id": by_file.json()["document_id"],
        "title": "a.md",
        "text": text,
        "workspace": "w1",
    }
    assert second.body == first.body
    assert by_file.json()["links"]["document"].endswith("?workspace=w1")


async def test_another_text_title_or_workspace_is_another_document(edge: Suite) -> None:
    base = {"title": "a", "text": "b"}
    bodies = [base, {**base, "text": "c"}, {**base, "title": "b", "text": "b"}, {**base, "workspace": "w"}]
    ids = [(await edge.client.post(PARSE, json=body)).json()["document_id"] for body in bodies]
    assert len(set(ids)) == len(bodies)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (upload(b"%PDF-1.7", "a.pdf", "application/pdf"), 415),
        (upload(b"x", "a.bin", "application/octet-stream"), 415),
        (upload(b"\xff\xfe\x00"), 422),
        (upload(b"a\0b"), 422),
        (upload(b""), 422),
        (upload(b" \n "), 422),
        (upload(b"x" * 1001), 413),
        ({"files": {"other": ("a.md", b"x", "text/plain")}}, 422),
        ({"files": {"file": ("a.md", b"x", "text/plain")}, "data": {"workspace": "a b"}}, 422),
        ({"json": {"title": "a", "text": "x" * 1001}}, 413),
        ({"json": {"title": "a"}}, 422),
        ({"json": {"title": "", "text": "x"}}, 422),
        ({"content": b"text", "headers": {"content-type": "text/plain"}}, 415),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 400),
        ({"content": b"nothing", "headers": {"content-type": "multipart/form-data; boundary=b"}}, (400, 422)),
    ],
)
async def test_what_is_not_a_text_within_limits_is_refused(edge: Suite, request_: dict[str, Any], status: Any) -> None:
    response = await edge.client.post(PARSE, **request_)
    assert response.status_code in (status if isinstance(status, tuple) else (status,)), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert edge.executor.submits == 0


async def test_a_text_file_without_a_type_is_known_by_its_name(edge: Suite) -> None:
    response = await edge.client.post(PARSE, **upload(b"x", "C:\\notes\\a.txt", "application/octet-stream"))
    assert response.status_code == 202
    (run,) = edge.executor.runs.values()
    assert run.body["title"] == "a.txt"


async def test_documents_are_searched_listed_read_and_removed(edge: Suite) -> None:
    edge.rag.put("default", "default", "d1")
    edge.rag.put("other", "default", "d2")
    found = (await edge.client.post("/api/internal/documents/search", json={"query": "x"})).json()
    assert found["chunks"] == [{"document_id": "d1", "title": "a title", "text": "found", "score": 0.5}]
    assert found["timings"]["search_ms"] > 0
    listed = (await edge.client.get("/api/documents")).json()["items"]
    assert [(one["document_id"], one["status"], one["chunks"]) for one in listed] == [("d1", "ready", 3)]
    assert (await edge.client.get("/api/documents/d1")).json() == listed[0]
    assert (await edge.client.get("/api/documents/d2")).status_code == 404
    assert (await edge.client.delete("/api/documents/d2")).status_code == 404
    assert (await edge.client.delete("/api/documents/d1")).status_code == 204
    assert (await edge.client.get("/api/documents/d1")).status_code == 404


@pytest.mark.parametrize("body", [{"query": ""}, {"query": "x", "top_k": 51}, {"query": "x", "mode": "best"}, {}])
async def test_a_wrong_search_is_422(edge: Suite, body: dict[str, Any]) -> None:
    assert (await edge.client.post("/api/internal/documents/search", json=body)).status_code == 422
