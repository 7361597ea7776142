"""The executor's tools: what the catalogue lists for whom, and a start with a tools.yaml that cannot be used."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as pb_grpc
from headrace_executor.catalog_servicer import CatalogServicer
from headrace_executor.settings import Settings
from headrace_runtime import channels, serve

from tests.support.executor_durable import ScriptedModels
from tests.support.tool_servers import http_connector, tool, toolbox

FILE = {
    "connectors": {
        "school": http_connector("http://127.0.0.1:1", {"grades": tool("/{id}", {"id": {"type": "string"}}, ["id"])})
    },
    "tenants": {"acme": {"connectors": {"own": http_connector("http://127.0.0.1:1", {"x": tool()})}}},
}


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Any]:
    async with toolbox(tmp_path, FILE) as opened:
        servicer: Any = CatalogServicer(ScriptedModels(), opened)
        name = "headrace.executor.v1.CatalogService"
        endpoint = serve.Endpoint(name, servicer, pb_grpc.add_CatalogServiceServicer_to_server)
        server, _, port = await serve.start(serve.Service(endpoints=(endpoint,)), "127.0.0.1:0")
        channel = channels.open_channel(f"127.0.0.1:{port}")
        yield pb_grpc.CatalogServiceStub(channel)
        await channel.close()
        await server.stop(0)


async def _listed(catalog: Any, tenant: str) -> list[pb.Tool]:
    answer: pb.ListToolsResponse = await channels.unary(
        catalog.ListTools, pb.ListToolsRequest(tenant_id=tenant), timeout_s=20
    )
    return list(answer.tools)


async def test_the_catalogue_lists_the_built_in_tools_and_the_tenants(catalog: Any) -> None:
    listed = [(one.name, one.kind, one.connector) for one in await _listed(catalog, "acme")]
    built_in = [("calculator", "builtin", ""), ("time", "builtin", ""), ("search", "builtin", "")]
    assert listed == [*built_in, ("own.x", "http", "own"), ("school.grades", "http", "school")]
    others = await _listed(catalog, "other")
    assert [one.name for one in others] == ["calculator", "time", "search", "school.grades"]
    assert others[-1].description == "A tool."
    assert orjson.loads(others[-1].input_schema)["required"] == ["id"]


def test_the_file_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().tools_file is None
    monkeypatch.setenv("HEADRACE_EXECUTOR_TOOLS_FILE", "/etc/headrace/tools.yaml")
    assert Settings().tools_file == Path("/etc/headrace/tools.yaml")


async def _start(file: Path) -> tuple[int | None, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    env |= {"HEADRACE_EXECUTOR_TOOLS_FILE": str(file), "HEADRACE_EXECUTOR_REDIS_URL": ""}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace_executor", env=env, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_a_bad_file_stops_the_start_with_all_its_faults(tmp_path: Path) -> None:
    file = tmp_path / "tools.yaml"
    file.write_text("version: 1\nconnectors:\n  a: {kind: htp}\n  b: {kind: mcp, comand: [x]}\n")
    code, said = await _start(file)
    assert code == 2
    assert f"{file}:3: connectors.a.kind" in said
    assert f"{file}:4: connectors.b.comand: there is no such setting; did you mean command?" in said
    assert "Traceback" not in said


async def test_a_file_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    code, said = await _start(tmp_path / "none.yaml")
    assert code == 2
    assert "none.yaml:0: cannot be read" in said
