"""No tenant reaches what is another's, nor learns that it is there: each route of the edge, on real services, is tried.

A new route fails `test_every_route_is_tried` until somebody says here how a stranger tries it.
"""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support import edge_suite
from tests.support.tenants import BLUEPRINT, SECRET, ended, furnish, house

PARAMETERS = {
    "run_id": "$run",
    "session_id": "$session",
    "page_id": "$page",
    "workflow_id": "$workflow",
    "document_id": "$document",
    "key": "$memory",
    "version": "1",
    "step": "node:a",
}
"""What the parameters of paths are tried with; $NAME is something of the owner's."""
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
UNSAID = ("request_id", "timings", "created_at")

Json = Any


@dataclass(frozen=True)
class Try:
    """A stranger's call."""

    route: str
    query: str = ""
    body: Json = None
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 404

    async def made(self, client: httpx.AsyncClient, names: Mapping[str, str]) -> httpx.Response:
        """Call with these names."""
        method, path = self.route.split(" ")
        for parameter, value in PARAMETERS.items():
            path = path.replace("{" + parameter + "}", value)
        url = filled(path + self.query, names)
        body = None if self.body is None else json.loads(filled(json.dumps(self.body), names))
        return await client.request(method, url, json=body, headers=dict(self.headers))


def filled(text: str, names: Mapping[str, str]) -> str:
    """The text with the names that it asks for."""
    return re.sub(r"\$(\w+)", lambda found: names[found[1]], text)


def answering(session: str) -> Json:
    """The owner's question answered, in one session."""
    return {"session_id": session, "resume": [{"interrupt_id": "$asking:0", "status": "resolved", "payload": 31}]}


def ag_ui(thread: str = "t", **fields: Json) -> Json:
    return {"threadId": thread, "runId": "r", "messages": [{"role": "user", "content": "x"}], **fields}


RESUMED = [{"interruptId": "$asking:0", "status": "resolved", "payload": 31}]
FLOW = {
    "version": 1,
    "name": "n",
    "nodes": [{"id": "f", "kind": "flow", "workflow_id": "$workflow", "inputs": {}}],
    "output": "1",
}

UNKNOWN = (
    Try("GET /api/tasks/{run_id}"),
    Try("GET /api/tasks/{run_id}", "?wait=1"),
    Try("DELETE /api/tasks/{run_id}"),
    Try("GET /api/tasks/{run_id}/events"),
    Try("GET /api/tasks/{run_id}/events", headers={"Last-Event-ID": "2"}),
    Try("GET /api/tasks/{run_id}/events", "?after=100000"),
    Try("GET /api/tasks/{run_id}/outputs/{step}"),
    Try("GET /api/sessions/{session_id}"),
    Try("DELETE /api/sessions/{session_id}"),
    Try("GET /api/sessions/{session_id}/messages"),
    Try("GET /api/sessions/{session_id}/messages", "?limit=1"),
    Try("GET /api/sessions/{session_id}/memory"),
    Try("GET /api/sessions/{session_id}/memory/{key}"),
    Try("GET /api/sessions/{session_id}/memory/{key}", headers={"If-None-Match": '"1"'}),
    Try("PUT /api/sessions/{session_id}/memory/{key}", body={"value": 1}),
    Try("PUT /api/sessions/{session_id}/memory/{key}", body={"value": 1}, headers={"If-None-Match": "*"}),
    Try("DELETE /api/sessions/{session_id}/memory/{key}"),
    Try("POST /api/sessions/{session_id}/memory/search", body={"query": "a bird"}),
    Try("GET /api/pages/{page_id}"),
    Try("GET /api/pages/{page_id}", "?version=1"),
    Try("GET /api/pages/{page_id}", "?format=html"),
    Try("GET /api/pages/{page_id}", "?format=markdown"),
    Try("GET /api/pages/{page_id}", headers={"Accept": "text/html"}),
    Try("GET /api/pages/{page_id}/versions"),
    Try("GET /api/pages/{page_id}/versions/{version}/outputs/{step}"),
    Try("POST /api/pages/{page_id}/restore", body={}),
    Try("POST /api/pages/{page_id}/restore", body={"version": 1, "expected_version": 1}),
    Try("DELETE /api/pages/{page_id}"),
    Try("GET /api/workflows/{workflow_id}"),
    Try("GET /api/workflows/{workflow_id}", headers={"If-None-Match": '"1"'}),
    Try("DELETE /api/workflows/{workflow_id}"),
    Try("DELETE /api/workflows/{workflow_id}", headers={"If-Match": '"1"'}, status=412),
    Try("DELETE /api/workflows/{workflow_id}", headers={"If-Match": "*"}, status=412),
    Try("PUT /api/workflows/{workflow_id}", body={"blueprint": BLUEPRINT}, headers={"If-Match": '"1"'}, status=412),
    Try("PUT /api/workflows/{workflow_id}", body={"blueprint": BLUEPRINT}, headers={"If-Match": "*"}, status=412),
    Try("POST /api/workflows/{workflow_id}/runs", body={}),
    Try("POST /api/workflows/{workflow_id}/runs", body={}, headers={"Accept": "text/event-stream"}),
    Try("POST /api/workflows/validate", body={"blueprint": FLOW}, status=200),
    Try("POST /api/tasks", body={"kind": "page", "blueprint": FLOW}, status=422),
    Try("POST /api/tasks", body={"kind": "page", "workflow_id": "$workflow"}),
    Try("POST /api/tasks", body={"kind": "page", "workflow_id": "$workflow"}, headers={"Idempotency-Key": "same"}),
    Try("POST /api/tasks", body={"kind": "patch", "page_id": "$page", "instruction": "x"}),
    Try("POST /api/tasks", body={"kind": "conversation", "message": "x", "session_id": "$session"}),
    Try("POST /api/tasks", body={"kind": "quiz", "message": "x", "workspace": "$workspace"}),
    Try("POST /api/tasks", body={"kind": "workflow", "prompt": "x", "session_id": "$session"}),
    Try("POST /api/tasks", body={"kind": "conversation", **answering("$session")}),
    Try("POST /api/page/generate", body={"workflow_id": "$workflow"}),
    Try("POST /api/page/generate", body={"blueprint": BLUEPRINT, "session_id": "$session"}),
    Try("POST /api/page/patch", body={"page_id": "$page", "instruction": "x"}),
    Try("POST /api/conversation", body={"message": "x", "session_id": "$session"}),
    Try("POST /api/conversation", body={"message": "x", "workspace": "$workspace"}),
    Try("POST /api/conversation", body=answering("$mine"), status=422),
    Try("POST /api/conversation/stream", body={"message": "x", "session_id": "$session"}),
    Try("POST /api/conversation/stream", body={"message": "x", "workspace": "$workspace"}),
    Try("POST /api/workflow/generate", body={"prompt": "x", "session_id": "$session"}),
    Try("POST /api/workflow/generate", body=answering("$mine"), status=422),
    Try("POST /ag-ui", body=ag_ui(resume=RESUMED)),
    Try("POST /ag-ui", body=ag_ui("$session", resume=RESUMED)),
    Try("POST /ag-ui", body=ag_ui(forwardedProps={"workspace": "$workspace"})),
    Try("GET /api/documents/{document_id}", "?workspace=$workspace"),
    Try("GET /api/documents/{document_id}"),
    Try("DELETE /api/documents/{document_id}", "?workspace=$workspace"),
    Try("POST /api/internal/documents/search", body={"query": "bird", "workspace": "$workspace"}),
    Try("GET /api/documents", "?workspace=$workspace", status=200),
)
"""Calls that name something of the owner's: answered word for word like those that name what nobody has."""

LISTS = (
    Try("GET /api/tasks"),
    Try("GET /api/tasks", "?session_id=$session"),
    Try("GET /api/tasks", "?cursor=$cursor"),
    Try("GET /api/sessions"),
    Try("GET /api/pages"),
    Try("GET /api/pages", "?session_id=$session"),
    Try("GET /api/workflows"),
    Try("GET /api/workflows/schema"),
    Try("GET /skills"),
    Try("GET /api/documents"),
    Try("POST /api/internal/documents/search", body={"query": "what is a bird?"}),
    Try("GET /api/usage", "?group_by=run,session"),
    Try("GET /api/usage", "?group_by=run&run_id=$run"),
    Try("GET /api/usage", "?session_id=$session"),
)
"""Calls about all that a tenant has: nothing of the owner's is in their answers."""

MAKES = {
    "PUT /api/workflows/{workflow_id}",
    "POST /api/tasks",
    "POST /ag-ui",
    "POST /api/sessions",
    "POST /api/internal/documents/parse",
}
"""Calls that make something of the stranger's own, under a name that the owner uses too."""

OF_NOBODY = {
    "GET /api/health",
    "GET /api/health/live",
    "GET /api/health/ready",
    "GET /metrics",
    "GET /models",
    "GET /api/quota",
    "GET /v1/models",
    "GET /v1/models/{model_id}",
    "POST /v1/chat/completions",
}
"""Calls that name nothing that a tenant has."""


async def test_every_route_is_tried() -> None:
    async with edge_suite.suite() as edge:
        paths = (await edge.client.get("/openapi.json")).json()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    tried = {one.route for one in (*UNKNOWN, *LISTS)} | MAKES
    assert routes - tried - OF_NOBODY == set(), "say in this file how a stranger tries them"
    assert (tried | OF_NOBODY) - routes == set(), "there are no such routes any more"
    parameters = {name for path in paths for name in re.findall(r"{(\w+)}", path)} - {"model_id"}
    assert parameters == set(PARAMETERS)


async def test_what_is_anothers_is_as_if_it_were_not_there(postgres_url: str, tmp_path: Path) -> None:
    async with house(postgres_url, tmp_path) as one:
        owners = await furnish(one)
        before = await possessions(one.owner, owners)
        nobodys = {name: strange(name, value) for name, value in owners.items()}
        differing = []
        for call in UNKNOWN:
            answer = await call.made(one.stranger, owners)
            told, expected = said(answer, owners), said(await call.made(one.stranger, nobodys), nobodys)
            if told != expected or answer.status_code != call.status or SECRET in answer.text:
                differing.append((call, told, expected))
        assert not differing, "\n".join(map(str, differing))
        assert await possessions(one.owner, owners) == before


async def test_their_owner_reaches_what_a_stranger_does_not(postgres_url: str, tmp_path: Path) -> None:
    """Or the names that are tried would be wrong ones, and the test above would say nothing."""
    async with house(postgres_url, tmp_path) as one:
        furnished = await furnish(one)
        owners = {**furnished, "mine": furnished["session"]}
        nobodys = {name: strange(name, value) for name, value in owners.items()}
        for call in UNKNOWN:
            if not call.route.startswith("DELETE"):  # those would leave nothing for the others
                told = said(await call.made(one.owner, owners), owners)
                assert told != said(await call.made(one.owner, nobodys), nobodys), call


async def test_lists_and_sums_have_nothing_of_anothers(postgres_url: str, tmp_path: Path) -> None:
    async with house(postgres_url, tmp_path) as one:
        owners = await furnish(one)
        ids = [value for name, value in owners.items() if name != "mine"]
        for call in LISTS:
            answer = await call.made(one.stranger, owners)
            assert answer.status_code == 200, (call, answer.text)
            assert not [found for found in (*ids, SECRET) if found in answer.text], (call, answer.text)
            by_owner = await call.made(one.owner, owners)
            assert by_owner.status_code == 200
        assert (await one.stranger.get("/api/usage")).json()["total"]["llm_calls"] == 0


async def test_the_same_names_are_two_things(postgres_url: str, tmp_path: Path) -> None:
    async with house(postgres_url, tmp_path) as one:
        owners = await furnish(one)
        before = await possessions(one.owner, owners)

        other = {"blueprint": {**BLUEPRINT, "name": "mine"}}
        saved = await one.stranger.put("/api/workflows/owners-report", json=other, headers={"If-None-Match": "*"})
        assert (saved.status_code, saved.json()["revision"]) == (201, 1)
        body = {"kind": "page", "workflow_id": "owners-report"}
        run = await ended(one.stranger, body, **{"Idempotency-Key": "same"})
        assert run["run_id"] != owners["run"]
        session = (await one.stranger.post("/api/sessions", json={"title": "mine"})).json()
        assert session["session_id"] != owners["session"]

        thread = Try("POST /ag-ui", body=ag_ui("$session"))
        begun = (await thread.made(one.stranger, owners)).text
        assert '"RUN_STARTED"' in begun
        assert f'"session_id":"{owners["session"]}"' not in begun

        document = {"title": SECRET, "text": f"The {SECRET} is a bird.", "workspace": "owners-workspace"}
        theirs = (await one.owner.post("/api/internal/documents/parse", json=document)).json()
        mine = (await one.stranger.post("/api/internal/documents/parse", json=document)).json()
        assert mine["run_id"] != theirs["run_id"]
        found = Try("GET /api/tasks/{run_id}")
        assert (await found.made(one.stranger, {**owners, "run": theirs["run_id"]})).status_code == 404

        assert await possessions(one.owner, owners) == before


async def possessions(client: httpx.AsyncClient, names: Mapping[str, str]) -> Mapping[str, Json]:
    """All that the owner has, as the owner reads it."""
    paths = (
        "/api/tasks/$run",
        "/api/tasks/$asking",
        "/api/tasks/$run/outputs/node:a",
        "/api/sessions/$session",
        "/api/sessions/$session/messages",
        "/api/sessions/$session/memory",
        "/api/pages/$page",
        "/api/pages/$page/versions",
        "/api/workflows/$workflow",
        "/api/documents/$document?workspace=$workspace",
    )
    answers = {path: await client.get(filled(path, names)) for path in paths}
    assert {path: one.status_code for path, one in answers.items()} == dict.fromkeys(paths, 200)
    return {path: one.json() for path, one in answers.items()}


def strange(name: str, value: str) -> str:
    """A name of the same form that nobody has; what is the stranger's own stays."""
    if name in ("mine", "cursor"):
        return value
    return str(uuid.uuid4()) if UUID.fullmatch(value) else f"nobodys-{name}"


def said(answer: httpx.Response, names: Mapping[str, str]) -> tuple[int, Mapping[str, str], str]:
    """What an answer tells, without the names that were asked for and what differs each time."""
    text = answer.text
    for name, value in names.items():
        text = text.replace(value, f"<{name}>")
    text = UUID.sub("<id>", text)
    if answer.headers.get("content-type", "").startswith("application/") and text:
        body = json.loads(text)
        text = json.dumps({key: body[key] for key in body if key not in UNSAID} if isinstance(body, dict) else body)
    headers = {
        name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id", "content-length")
    }
    return answer.status_code, headers, text
