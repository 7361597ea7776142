"""The example's MCP server, asked by the protocol's own client over both transports, and the workflow that uses it."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from headrace_blueprint import validation
from headrace_cli.embedded.program import accepts, free_port
from mcp import Client, StdioServerParameters, stdio_client

from examples.mcp.server import Notebook, create_server
from tests.support import blueprints

MCP = Path(__file__).parents[3] / "examples" / "mcp"
READY_S = 30.0


async def call(client: Client, name: str, **arguments: Any) -> Any:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content
    return result.structured_content


@asynccontextmanager
async def over_http(file: Path) -> AsyncIterator[str]:
    port = free_port()
    command = (sys.executable, str(MCP / "server.py"), "--http", str(port), "--file", str(file))
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with asyncio.timeout(READY_S):
            while not await asyncio.to_thread(accepts, port):
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(READY_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_notes_are_added_once_found_by_their_words_newest_first_and_removed(tmp_path: Path) -> None:
    async with Client(create_server(Notebook(tmp_path / "notes"))) as client:
        for text in ("The gate leaks.", "The wheel turns.", "The gate is mended.", "The gate leaks."):
            await call(client, "add", text=text)
        found = await call(client, "search", query="GATE the")
        newest = await call(client, "search", limit=1)
        removed = [await call(client, "remove", id=found["notes"][0]["id"]) for _ in range(2)]
        left = await call(client, "search", query="gate")

    assert [one["text"] for one in found["notes"]] == ["The gate is mended.", "The gate leaks."]
    assert (newest["total"], len(newest["notes"])) == (3, 1)
    assert [one["removed"] for one in removed] == [True, False]
    assert left["total"] == 1


async def test_arguments_that_are_not_the_tools_are_an_error_of_the_tool(tmp_path: Path) -> None:
    async with Client(create_server(Notebook(tmp_path / "notes"))) as client:
        for name, arguments in (("add", {"text": ""}), ("search", {"limit": 0}), ("remove", {})):
            assert (await client.call_tool(name, arguments)).is_error


async def test_no_more_notes_are_kept_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.mcp.server.MAX_NOTES", 3)
    notebook = Notebook(tmp_path / "notes")
    for number in range(5):
        notebook.add(f"note {number}")

    assert [one.text for one in notebook.search("", 50).notes] == ["note 4", "note 3", "note 2"]


async def test_two_servers_over_the_streams_share_the_notes(tmp_path: Path) -> None:
    arguments = [str(MCP / "server.py"), "--file", str(tmp_path / "notes")]
    parameters = StdioServerParameters(command=sys.executable, args=arguments)
    async with Client(stdio_client(parameters)) as first, Client(stdio_client(parameters)) as second:
        await call(first, "add", text="shared")
        found = await call(second, "search")

    assert [one["text"] for one in found["notes"]] == ["shared"]


async def test_the_same_over_http(tmp_path: Path) -> None:
    async with over_http(tmp_path / "notes") as url, Client(url) as client:
        await call(client, "add", text="over HTTP")
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        found = await call(client, "search", query="http")

    assert found["total"] == 1
    assert set(tools) == {"add", "search", "remove"}
    assert tools["search"].annotations is not None
    assert tools["search"].annotations.read_only_hint is True


async def test_the_workflow_is_valid_with_the_servers_tools_and_computes_on_what_they_answer(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / "notes")
    async with Client(create_server(notebook)) as client:
        tools = {f"notes.{tool.name}": tool.input_schema for tool in (await client.list_tools()).tools}
    document = json.loads((MCP / "workflows" / "minutes.json").read_text())
    notebook.add("gate: it leaks.")
    notebook.add("wheel: it turns.")

    def answer(name: str, args: Any) -> Any:
        if name == "notes.add":
            return notebook.add(**args).model_dump()
        return notebook.search(args["query"], args["limit"]).model_dump()

    assert validation.validate(document, tools=tools) == []
    given = {"topic": "gate", "said": "mended."}
    outputs = blueprints.outputs(document, inputs=given, tools=tools, call=answer)
    assert outputs["timeline"] == ["gate: it leaks.", "gate: mended."]
    assert '["gate: it leaks.","gate: mended."]' in outputs["summary"]


def test_the_tools_file_starts_the_server_from_its_own_folder() -> None:
    connector = yaml.safe_load((MCP / "tools.yaml").read_text())["connectors"]["notes"]

    python, server = connector["command"]
    assert (MCP / server).is_file()
    assert python == "../../.venv/bin/python"
