"""An edge for the command's tests: an ASGI app that keeps workflows with revisions and plays the events it is given."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx
from headrace_blueprint import tools, validation
from headrace_cli.client import EdgeClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

Json = Any
URL = "http://edge"


@dataclass
class FakeEdge:
    """What it holds, and what it was asked."""

    workflows: dict[str, dict[str, Json]] = field(default_factory=dict)
    pages: dict[str, dict[str, Json]] = field(default_factory=dict)
    skills: list[dict[str, Json]] = field(default_factory=list)
    runs: list[Sequence[Mapping[str, Json]]] = field(default_factory=list)
    """The events of the runs to come, each run's in turn."""
    requests: list[tuple[str, str, Json]] = field(default_factory=list)
    """Method, path with query, and body."""

    def client(self) -> EdgeClient:
        """A client of this edge."""
        return EdgeClient(URL, transport=httpx.ASGITransport(self._app()))

    def bodies(self, method: str, path: str) -> list[Json]:
        """The bodies of the requests of one kind."""
        return [body for one, at, body in self.requests if (one, at) == (method, path)]

    def _app(self) -> Starlette:
        workflow, page = "/api/workflows/{id}", "/api/pages/{id}"
        return Starlette(
            routes=[
                Route("/skills", self._skills),
                Route("/api/workflows", self._list_workflows),
                Route("/api/workflows/schema", self._schema),
                Route("/api/workflows/validate", self._validate, methods=["POST"]),
                Route(workflow, self._get_workflow),
                Route(workflow, self._put_workflow, methods=["PUT"]),
                Route(workflow, self._delete_workflow, methods=["DELETE"]),
                Route(f"{workflow}/runs", self._accept, methods=["POST"]),
                Route("/api/tasks", self._accept, methods=["POST"]),
                Route("/api/tasks/{id}/events", self._events),
                Route("/api/conversation/stream", self._stream, methods=["POST"]),
                Route("/api/page/patch", self._stream, methods=["POST"]),
                Route("/api/pages", self._list_pages),
                Route(page, self._get_page),
                Route(page, self._delete_page, methods=["DELETE"]),
                Route(f"{page}/versions", self._list_versions),
                Route(f"{page}/restore", self._restore, methods=["POST"]),
            ]
        )

    async def _noted(self, request: Request) -> Json:
        body = await request.body()
        value = json.loads(body) if body else None
        query = f"?{request.url.query}" if request.url.query else ""
        self.requests.append((request.method, request.url.path + query, value))
        return value

    async def _skills(self, request: Request) -> Response:
        await self._noted(request)
        return JSONResponse({"skills": self.skills})

    async def _list_workflows(self, request: Request) -> Response:
        await self._noted(request)
        found = [{key: one[key] for key in one if key != "blueprint"} for _, one in sorted(self.workflows.items())]
        start = int(request.query_params.get("cursor", "0"))
        end = start + min(2, int(request.query_params["limit"]))
        return JSONResponse({"items": found[start:end], "next_cursor": str(end) if end < len(found) else None})

    async def _schema(self, request: Request) -> Response:
        await self._noted(request)
        return JSONResponse({"$id": "blueprint"})

    async def _validate(self, request: Request) -> Response:
        body = await self._noted(request)
        faults = _faults(body["blueprint"])
        return JSONResponse({"valid": not faults, "faults": faults})

    async def _get_workflow(self, request: Request) -> Response:
        await self._noted(request)
        found = self.workflows.get(request.path_params["id"])
        return _missing() if found is None else JSONResponse(found, headers=_tag(found))

    async def _put_workflow(self, request: Request) -> Response:
        body = await self._noted(request)
        name = request.path_params["id"]
        there = self.workflows.get(name)
        match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
        if match is None and none_match is None:
            return _problem(428, "say what it is based on")
        if (there is not None) if none_match else (there is None or match not in ("*", _tag(there)["etag"])):
            return _problem(412, f"it is at revision {there['revision'] if there else 0}")
        if _faults(body["blueprint"]):
            return _problem(422, "the blueprint is not valid")
        now = "2026-03-01T10:00:00Z"
        self.workflows[name] = {
            "workflow_id": name, "name": body["blueprint"]["name"], "description": body["description"],
            "revision": (there["revision"] if there else 0) + 1, "inputs": body["blueprint"].get("inputs", {}),
            "blueprint": body["blueprint"], "created_at": now, "updated_at": now,
        }  # fmt: skip
        saved = self.workflows[name]
        return JSONResponse(saved, status_code=200 if there else 201, headers=_tag(saved))

    async def _delete_workflow(self, request: Request) -> Response:
        await self._noted(request)
        return Response(status_code=204) if self.workflows.pop(request.path_params["id"], None) else _missing()

    async def _accept(self, request: Request) -> Response:
        await self._noted(request)
        return JSONResponse({"run_id": "run-1", "status": "queued", "links": {}}, status_code=202)

    async def _events(self, request: Request) -> Response:
        await self._noted(request)
        return self._next_run()

    async def _stream(self, request: Request) -> Response:
        await self._noted(request)
        return self._next_run()

    def _next_run(self) -> Response:
        events = self.runs.pop(0)
        text = "".join(f"id: {seq}\ndata: {json.dumps(event)}\n\n" for seq, event in enumerate(events, start=1))
        return Response(text, media_type="text/event-stream")

    async def _list_pages(self, request: Request) -> Response:
        await self._noted(request)
        return JSONResponse({"items": list(self.pages.values()), "next_cursor": None})

    async def _get_page(self, request: Request) -> Response:
        await self._noted(request)
        page = self.pages.get(request.path_params["id"])
        if page is None:
            return _missing()
        form = request.query_params.get("format", "json")
        texts = {"html": f"<h1>{page['title']}</h1>\n", "markdown": f"# {page['title']}\n"}
        return PlainTextResponse(texts[form]) if form in texts else JSONResponse(page)

    async def _delete_page(self, request: Request) -> Response:
        await self._noted(request)
        return Response(status_code=204) if self.pages.pop(request.path_params["id"], None) else _missing()

    async def _list_versions(self, request: Request) -> Response:
        await self._noted(request)
        page = self.pages[request.path_params["id"]]
        first = {**page, "version": 1, "current": False, "parent_version": None, "instruction": None}
        return JSONResponse({"items": [first, page], "next_cursor": None})

    async def _restore(self, request: Request) -> Response:
        body = await self._noted(request)
        return JSONResponse({**self.pages[request.path_params["id"]], "version": body.get("version", 1)})


def _faults(blueprint: Json) -> list[dict[str, str]]:
    return [
        {"pointer": f"/blueprint{fault.pointer}", "message": fault.message, "hint": fault.hint}
        for fault in validation.validate(blueprint, tools=tools.SCHEMAS)
    ]


def _tag(workflow: Mapping[str, Json]) -> dict[str, str]:
    return {"etag": f'"{workflow["revision"]}"'}


def _missing() -> Response:
    return _problem(HTTPStatus.NOT_FOUND, "there is none")


def _problem(status: int, detail: str) -> Response:
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body, status_code=status, media_type="application/problem+json")
