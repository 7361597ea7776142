"""OpenAPI documents from files and behind URLs, and the operations of a real server."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from headrace_tools.errors import InvalidToolsFile, ToolFailed
from headrace_tools.limits import Limits

from tests.support.tool_servers import http_server, toolbox

SPEC: Any = {
    "openapi": "3.1.0",
    "servers": [{"url": "/api"}],
    "paths": {
        "/pupils/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            "get": {"operationId": "getPupil", "summary": "One pupil."},
            "put": {
                "operationId": "putPupil",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pupil"}}},
                },
            },
        },
        "/photo": {"post": {"operationId": "photo", "requestBody": {"required": True, "content": {"image/png": {}}}}},
    },
    "components": {
        "schemas": {"Pupil": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
    },
}


class School:
    """A server that has a document and two operations. It notes who asked for what."""

    def __init__(self, document: bytes | None = None) -> None:
        self.document = json.dumps(SPEC).encode() if document is None else document
        self.heard: list[tuple[str, str, str | None]] = []
        self.away = False

    async def serve(self, request: web.Request) -> web.Response:
        self.heard.append((request.method, request.path, request.headers.get("X-Key")))
        if self.away:
            return web.Response(status=503)
        if request.path == "/openapi":
            return web.Response(body=self.document, content_type="application/octet-stream")
        return web.json_response({"path": request.path, "body": await request.text()})


def _entry(spec: str, **settings: Any) -> Any:
    auth = {"kind": "header", "name": "X-Key", "secret": "KEY"}
    return {"connectors": {"s": {"kind": "openapi", "spec": spec, "allow_hosts": ["127.0.0.1"], "auth": auth, **settings}}}


KEY = {"KEY": "k"}


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump])
async def test_the_operations_of_a_documents_server_are_called(tmp_path: Path, write: Callable[[Any], str]) -> None:
    school = School(write(SPEC).encode())
    async with http_server(school.serve) as url:
        async with toolbox(tmp_path, _entry(f"{url}/openapi"), environment=KEY) as opened:
            assert set(opened.tools("t")) == {"s.getPupil", "s.putPupil"}
            assert opened.tools("t")["s.getPupil"].tool.description == "One pupil."
            assert await opened.call("t", "s.getPupil", {"id": 7}, deadline_s=10) == {"path": "/api/pupils/7", "body": ""}
            got = await opened.call("t", "s.putPupil", {"id": 7, "name": "Ann"}, deadline_s=10)
            assert got == {"path": "/api/pupils/7", "body": '{"name":"Ann"}'}
            with pytest.raises(ToolFailed, match="not of type 'integer'"):
                await opened.call("t", "s.getPupil", {"id": "7"}, deadline_s=10)
    assert {key for _, _, key in school.heard} == {"k"}


async def test_a_document_in_a_file_is_relative_to_tools_yaml(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    async with http_server(School().serve) as url:
        async with toolbox(tmp_path, _entry("./spec.yaml", base_url=f"{url}/v2/"), environment=KEY) as opened:
            got = await opened.call("t", "s.getPupil", {"id": 1}, deadline_s=10)
            assert got["path"] == "/v2/pupils/1"


async def test_a_documents_host_does_not_get_another_hosts_secret(tmp_path: Path) -> None:
    elsewhere, school = School(), School()
    async with http_server(elsewhere.serve) as documents, http_server(school.serve) as url:
        async with toolbox(tmp_path, _entry(f"{documents}/openapi", base_url=url), environment=KEY) as opened:
            await opened.call("t", "s.getPupil", {"id": 1}, deadline_s=10)
    assert elsewhere.heard == [("GET", "/openapi", None)]
    assert school.heard == [("GET", "/pupils/1", "k")]


async def test_a_server_that_is_away_at_start_is_asked_again(tmp_path: Path) -> None:
    school = School()
    school.away = True
    limits = Limits(first_pause_s=0.005, longest_pause_s=0.01, start_timeout_s=0.05)
    async with http_server(school.serve) as url:
        async with toolbox(tmp_path, _entry(f"{url}/openapi"), environment=KEY, limits=limits) as opened:
            assert opened.tools("t") == {}
            school.away = False
            await _until(lambda: bool(opened.tools("t")))


async def test_a_document_is_fetched_through_the_guard(tmp_path: Path) -> None:
    school = School()
    async with http_server(school.serve) as url:
        limits = Limits(start_timeout_s=0.2)
        async with toolbox(tmp_path, _entry(f"{url}/openapi", allow_hosts=[]), environment=KEY, limits=limits) as opened:
            assert opened.tools("t") == {}
    assert school.heard == []


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"[", "neither JSON nor YAML"),
        (b"{}", "no `paths`"),
        (b"x: &a [*a, 1]\npaths: {}", "neither JSON nor YAML"),
        (b"openapi: 3.0.0\npaths: !!python/object:os.system {}", "neither JSON nor YAML"),
    ],
)
@pytest.mark.parametrize("remote", [True, False])
async def test_a_document_that_is_none_stops_the_start(tmp_path: Path, remote: bool, document: bytes, said: str) -> None:
    (tmp_path / "spec").write_bytes(document)
    async with http_server(School(document).serve) as url:
        with pytest.raises(InvalidToolsFile, match=said) as raised:
            async with toolbox(tmp_path, _entry(f"{url}/openapi" if remote else "spec"), environment=KEY):
                pass
    assert "connectors.s.spec" in str(raised.value)


async def test_a_file_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidToolsFile, match=r"none\.json cannot be read"):
        async with toolbox(tmp_path, _entry("none.json"), environment=KEY):
            pass


async def test_an_entity_must_use_a_tool_that_the_document_has(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    entities = {
        "a": {"tool": "s.getPupils", "id": "id", "names": ["name"]},
        "b": {"tool": "s.getPupil", "id": "id", "names": ["name"]},
    }
    file = {**_entry("spec.json", base_url="http://127.0.0.1:1"), "entities": entities}
    with pytest.raises(InvalidToolsFile) as raised:
        async with toolbox(tmp_path, file, environment=KEY):
            pass
    assert "entities.a.tool: s has no tool 'getPupils'; did you mean getPupil?" in str(raised.value)
    assert "entities.b.args: the arguments are not those of s.getPupil" in str(raised.value)
