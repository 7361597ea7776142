"""Pages over HTTP: generated, changed by a sentence, read in each form, undone; and the steps' outputs they are made of."""

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace_runtime import errors

from tests.contract.test_edge_api import PAGE, problem
from tests.support import edge_suite
from tests.support.edge_fakes import FakeRun
from tests.support.edge_suite import Suite

SLOTS: list[dict[str, Any]] = [
    {"slot": "summary", "title": "Summary", "node": "summary", "value": "A *good* class."},
    {"slot": "scores", "title": "Scores", "node": "scores", "value": [{"name": "Li", "score": 91}]},
]
EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture
async def edge() -> AsyncIterator[Suite]:
    async with edge_suite.suite() as one:
        yield one


async def started(edge: Suite) -> FakeRun:
    await edge.client.post("/api/tasks", json={"kind": "conversation", "message": "x"})
    (run,) = edge.executor.runs.values()
    return run


async def test_a_saved_workflow_or_a_given_blueprint_makes_a_page(edge: Suite) -> None:
    edge.executor.script = FakeRun.finish
    await edge.client.put("/api/workflows/sum", json={"blueprint": PAGE["blueprint"]})
    for body in ({"workflow_id": "sum", "inputs": {"a": 1}}, PAGE):
        streamed = await edge.client.post("/api/page/generate", json=body)
        assert "RUN_FINISHED" in streamed.text
        run = edge.executor.runs[streamed.headers["x-run-id"]]
        assert (run.request.kind, run.body) == (pb.RUN_KIND_PAGE, body)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/page/generate", {}),
        ("/api/page/generate", {**PAGE, "workflow_id": "sum"}),
        ("/api/page/generate", {"workflow_id": "No Such"}),
        ("/api/page/patch", {"instruction": "shorter"}),
        ("/api/page/patch", {"page_id": "p", "page": {}, "instruction": "shorter"}),
        ("/api/page/patch", {"page_id": "p"}),
        ("/api/page/patch", {"page_id": "p", "instruction": "shorter", "version": 0}),
        ("/api/page/patch", {"page": {}, "instruction": "shorter", "version": 1}),
        ("/api/page/patch", {"page_id": "p", "instruction": " "}),
        ("/api/tasks", {"kind": "page"}),
        ("/api/tasks", {"kind": "patch", "instruction": "shorter"}),
        ("/api/tasks", {"kind": "quiz"}),
        ("/api/tasks", {"kind": "document"}),
        ("/api/conversation", {}),
        ("/api/conversation", {"resume": [], "session_id": "s"}),
        ("/api/conversation", {"resume": [{"interrupt_id": "r:0", "status": "resolved"}]}),
        ("/api/conversation", {"resume": [{"interrupt_id": "r:0", "status": "done"}], "session_id": "s"}),
    ],
    ids=str,
)
async def test_bodies_that_say_too_little_or_too_much_are_refused(edge: Suite, path: str, body: Any) -> None:
    assert problem(await edge.client.post(path, json=body), 422)["errors"]
    assert edge.executor.submits == 0


async def test_a_page_is_changed_by_a_sentence(edge: Suite) -> None:
    edge.executor.script = FakeRun.finish
    made = edge.executor.put("default", slots=SLOTS)
    whole = (await edge.client.get(f"/api/pages/{made.page_id}")).json()
    for body in (
        {"page_id": made.page_id, "instruction": "make the summary shorter", "model": "small"},
        {"page": whole, "instruction": "make the summary shorter"},
    ):
        streamed = await edge.client.post("/api/page/patch", json=body, headers={"Idempotency-Key": f"k{len(body)}"})
        assert "RUN_FINISHED" in streamed.text
        run = edge.executor.runs[streamed.headers["x-run-id"]]
        assert (run.request.kind, run.body, run.request.priority) == (pb.RUN_KIND_PATCH, body, pb.PRIORITY_INTERACTIVE)
    gone = await edge.client.post("/api/page/patch", json={"page_id": "none", "instruction": "shorter"})
    assert problem(gone, 404)["type"].endswith("page-not-found")


async def test_tasks_of_each_kind_are_taken_on(edge: Suite) -> None:
    made = edge.executor.put("default", slots=SLOTS)
    await edge.client.put("/api/workflows/sum", json={"blueprint": PAGE["blueprint"]})
    tried: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"kind": "page", "workflow_id": "sum"}, {"workflow_id": "sum", "inputs": {}}),
        ({"kind": "patch", "page_id": made.page_id, "instruction": "x"}, {"page_id": made.page_id, "instruction": "x"}),
        ({"kind": "workflow", "prompt": "x", "tools": ["time"]}, {"prompt": "x", "tools": ["time"]}),
        ({"kind": "quiz", "message": "rivers"}, {"message": "rivers", "mode": "auto", "execute": True}),
    ]
    for task, body in tried:
        accepted = await edge.client.post("/api/tasks", json=task)
        run = edge.executor.runs[accepted.json()["run_id"]]
        assert (accepted.status_code, run.body) == (202, body)
        assert pb.RunKind.Name(run.request.kind) == f"RUN_KIND_{task['kind'].upper()}"
        assert (await edge.client.get(accepted.json()["links"]["self"])).json()["kind"] == task["kind"]


async def test_what_was_asked_back_is_told_and_its_answer_goes_on(edge: Suite) -> None:
    question = {"id": "r:0", "reason": "clarification", "message": "Which 3B?", "responseSchema": {"enum": ["1", "2"]}}
    edge.executor.script = lambda run: run.finish({"interrupts": [question]})
    asked = (await edge.client.post("/api/conversation", json={"message": "a report on 3B"})).json()
    assert (asked["reply"], asked["interrupts"], asked["page"]) == ("Which 3B?", [question], None)

    page = {"page_id": "p", "version": 1, "title": "3B", "slots": []}
    edge.executor.script = lambda run: run.finish({"reply": "Here.", "page": page})
    session = (await edge.client.post("/api/sessions", json={})).json()["session_id"]
    answers = [{"interrupt_id": "r:0", "status": "resolved", "payload": "1"}]
    answered = (await edge.client.post("/api/conversation", json={"session_id": session, "resume": answers})).json()
    assert (answered["page"], answered["interrupts"]) == ({"page_id": "p", "version": 1}, [])
    assert edge.executor.runs[answered["run_id"]].body == {"mode": "auto", "resume": answers, "execute": False}


async def test_pages_are_listed_read_by_version_and_removed(edge: Suite) -> None:
    first = edge.executor.put("default", title="one", slots=SLOTS, session_id="s1")
    edge.executor.put("default", title="one, shorter", slots=SLOTS, page_id=first.page_id, session_id="s1", instruction="x")
    edge.executor.put("default", title="two", session_id="s2")
    edge.executor.put("other", title="theirs")
    path = f"/api/pages/{first.page_id}"

    listed = (await edge.client.get("/api/pages?limit=1")).json()
    assert [one["title"] for one in listed["items"]] == ["two"]
    rest = (await edge.client.get("/api/pages", params={"cursor": listed["next_cursor"]})).json()
    assert [(one["title"], one["version"]) for one in rest["items"]] == [("one, shorter", 2)]
    assert "slots" not in rest["items"][0]
    assert [one["title"] for one in (await edge.client.get("/api/pages?session_id=s2")).json()["items"]] == ["two"]

    current = (await edge.client.get(path)).json()
    assert (current["version"], current["parent_version"], current["instruction"]) == (2, 1, "x")
    assert current["slots"] == SLOTS
    old = (await edge.client.get(path, params={"version": 1})).json()
    assert (old["title"], old["current"], old["parent_version"], old["instruction"]) == ("one", False, None, None)
    versions = (await edge.client.get(f"{path}/versions")).json()
    assert [one["version"] for one in versions["items"]] == [1, 2]
    problem(await edge.client.get(path, params={"version": 3}), 404)
    problem(await edge.client.get(path, params={"version": -1}), 422)

    assert (await edge.client.delete(path)).status_code == 204
    for method, where in (("GET", path), ("GET", f"{path}/versions"), ("DELETE", path), ("POST", f"{path}/restore")):
        problem(await edge.client.request(method, where, json={} if method == "POST" else None), 404)


async def test_a_change_is_undone_and_nothing_is_lost(edge: Suite) -> None:
    made = edge.executor.put("default", title="one")
    edge.executor.put("default", title="two", page_id=made.page_id)
    path = f"/api/pages/{made.page_id}"
    refused = await edge.client.post(f"{path}/restore", json={"expected_version": 1})
    assert problem(refused, 409)["type"].endswith("page-changed")
    undone = await edge.client.post(f"{path}/restore", json={})
    assert (undone.status_code, undone.json()["title"], undone.json()["current"]) == (200, "one", True)
    nothing = await edge.client.post(f"{path}/restore", json={})
    assert problem(nothing, 409)["type"].endswith("nothing-to-undo")
    back = await edge.client.post(f"{path}/restore", json={"version": 2, "expected_version": 1})
    assert back.json()["title"] == "two"
    problem(await edge.client.post(f"{path}/restore", json={"version": 0}), 422)


async def test_a_client_says_which_version_it_means(edge: Suite) -> None:
    edge.executor.script = FakeRun.finish
    made = edge.executor.put("default", title="one", slots=SLOTS)
    path, patch = f"/api/pages/{made.page_id}", {"page_id": made.page_id, "instruction": "shorter"}
    read = await edge.client.get(path)
    tag = read.headers["etag"]
    assert tag == '"1"'
    same = await edge.client.get(path, headers={"If-None-Match": tag})
    assert (same.status_code, same.headers["etag"], same.content) == (304, tag, b"")
    for fits in ({"json": {**patch, "version": 1}}, {"json": patch, "headers": {"If-Match": tag}}):
        taken = await edge.client.post("/api/page/patch", **fits)
        assert edge.executor.runs[taken.headers["x-run-id"]].body == {**patch, "version": 1}
    taken = await edge.client.post("/api/page/patch", json=patch, headers={"If-Match": "*"})
    assert edge.executor.runs[taken.headers["x-run-id"]].body == patch

    edge.executor.put("default", title="two", page_id=made.page_id)
    assert (await edge.client.get(path, headers={"If-None-Match": tag})).headers["etag"] == '"2"'
    assert "etag" not in (await edge.client.get(path, params={"version": 1})).headers
    submits = edge.executor.submits
    by_body = await edge.client.post("/api/page/patch", json={**patch, "version": 1})
    assert problem(by_body, 409)["type"].endswith("page-changed")
    by_task = await edge.client.post("/api/tasks", json={"kind": "patch", **patch, "version": 1})
    assert problem(by_task, 409)["type"].endswith("page-changed")
    for header in (tag, 'W/"2"', '"2", "1"', '"0"', "2", '"99999999999"'):
        refused = await edge.client.post("/api/page/patch", json=patch, headers={"If-Match": header})
        assert problem(refused, 412)["type"].endswith("precondition-failed"), header
    late = await edge.client.post(f"{path}/restore", json={}, headers={"If-Match": tag})
    assert problem(late, 412)["type"].endswith("precondition-failed")
    both = await edge.client.post("/api/page/patch", json={**patch, "version": 1}, headers={"If-Match": '"2"'})
    assert problem(both, 400)["type"].endswith("invalid-header")
    assert len(edge.executor.runs) == 3
    assert edge.executor.submits == submits + 3, "only those that may fit are asked for"
    back = await edge.client.post(f"{path}/restore", json={}, headers={"If-Match": '"2"'})
    assert back.json()["version"] == 1


@pytest.mark.parametrize(
    ("accept", "query", "kind"),
    [
        ("*/*", "", "application/json"),
        ("application/json, text/html;q=0.5", "", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "", "text/html"),
        ("text/markdown", "", "text/markdown"),
        ("text/html;q=0", "", "application/json"),
        ("text/html;q=nonsense, text/markdown;q=0.1", "", "text/markdown"),
        ("image/png", "", "application/json"),
        ("text/html", "json", "application/json"),
        ("*/*", "html", "text/html"),
        ("*/*", "markdown", "text/markdown"),
    ],
)
async def test_a_page_has_three_forms(edge: Suite, accept: str, query: str, kind: str) -> None:
    made = edge.executor.put("default", title="Class 3B", slots=SLOTS)
    read = await edge.client.get(
        f"/api/pages/{made.page_id}", params={"format": query} if query else None, headers={"Accept": accept}
    )
    assert read.headers["content-type"].partition(";")[0] == kind
    assert "Class 3B" in read.text
    assert "91" in read.text


async def test_html_is_shown_as_a_document_that_can_do_nothing(edge: Suite) -> None:
    title = 'Klasse "3B"/..\\\r\nSet-Cookie: x=1; 数学'
    made = edge.executor.put("default", title=title, slots=[{**SLOTS[0], "value": "<script>alert(1)</script>"}])
    for form, suffix in (("html", "html"), ("markdown", "md")):
        read = await edge.client.get(f"/api/pages/{made.page_id}?format={form}")
        assert read.status_code == 200
        assert "<script" not in read.text
        assert read.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in read.headers
        found = re.fullmatch(
            r"inline; filename=\"([A-Za-z0-9._-]+)\"; filename\*=UTF-8''(\S+)", read.headers["content-disposition"]
        )
        assert found is not None
        assert found[1].endswith(f".{suffix}")
        assert "数学" in unquote(found[2])
        assert not set(unquote(found[2])) & set('/\\"\r\n;:')
    html = await edge.client.get(f"/api/pages/{made.page_id}?format=html")
    assert html.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"


async def test_a_steps_output_comes_whole(edge: Suite) -> None:
    run = await started(edge)
    pieces = [b'{"a":"', b"x" * 300_000, b'"}']
    edge.executor.outputs[run.run.run_id, "node:marks[3]/scores"] = pieces
    path = f"/api/tasks/{run.run.run_id}/outputs"
    read = await edge.client.get(f"{path}/node:marks[3]/scores")
    assert (read.status_code, read.headers["content-type"], read.content) == (200, "application/json", b"".join(pieces))
    assert (await edge.client.get(f"{path}/node%3Amarks%5B3%5D%2Fscores")).content == b"".join(pieces)
    assert problem(await edge.client.get(f"{path}/node:none"), 404)["type"].endswith("step-not-found")
    problem(await edge.client.get(f"{path}/{'x' * 513}"), 422)
    problem(await edge.client.get("/api/tasks/none/outputs/node:marks"), 404)


async def test_a_large_value_of_a_page_comes_whole_from_its_version(edge: Suite) -> None:
    made = edge.executor.put("default")
    whole = b'["' + b"x" * 5000 + b'"]'
    edge.executor.page_outputs[made.page_id, 1, "node:marks"] = whole
    path = f"/api/pages/{made.page_id}/versions"
    read = await edge.client.get(f"{path}/1/outputs/node:marks")
    assert (read.status_code, read.headers["content-type"], read.content) == (200, "application/json", whole)
    assert problem(await edge.client.get(f"{path}/2/outputs/node:marks"), 404)["type"].endswith("step-not-found")
    problem(await edge.client.get(f"{path}/0/outputs/node:marks"), 422)
    problem(await edge.client.get("/api/pages/none/versions/1/outputs/node:marks"), 404)


async def test_an_output_that_breaks_off_is_no_whole_one(edge: Suite) -> None:
    run = await started(edge)
    edge.executor.outputs[run.run.run_id, "route"] = [b'{"a":', errors.Unavailable("the executor goes away")]
    with pytest.raises(httpx.TransportError):
        await edge.client.get(f"/api/tasks/{run.run.run_id}/outputs/route")


async def test_an_output_past_the_limit_breaks_off() -> None:
    async with edge_suite.suite(max_output_bytes=1024) as edge:
        run = await started(edge)
        edge.executor.outputs[run.run.run_id, "plan"] = [b"[" + b"1," * 500, b"1" * 100 + b"]"]
        with pytest.raises(httpx.TransportError):
            await edge.client.get(f"/api/tasks/{run.run.run_id}/outputs/plan")
