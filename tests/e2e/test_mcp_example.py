"""The example's MCP server as tools of the suite: started by each executor, or shared over HTTP, called by nodes and by the
model itself, and started again when it has died.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from headrace_cli.embedded.program import accepts, free_port

from tests.e2e import suite as suites
from tests.e2e.suite import Json, Suite
from tests.support import agui, obliging_model
from tests.support.folders import open_folder
from tests.support.openai_server import OpenAiServer, Reply

MCP = Path(__file__).parents[2] / "examples" / "mcp"
SERVER_READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Site:
    """The suite, whose executors have the server over their streams as `notes` and over HTTP as `shared`."""

    suite: Suite
    server: Path
    """What each executor starts: its path is in the command line of the processes."""

    def servers(self) -> list[psutil.Process]:
        """The servers that executors have started."""
        executors = [psutil.Process(pid) for name, pid in self.suite.pids().items() if name.startswith("executor")]
        children = [child for executor in executors for child in executor.children(recursive=True)]
        return [child for child in children if str(self.server) in child.cmdline()]


@contextmanager
def shared_server(port: int, file: Path) -> Iterator[None]:
    command = [sys.executable, str(MCP / "server.py"), "--http", str(port), "--file", str(file)]
    with subprocess.Popen(command) as process:
        try:
            deadline = time.monotonic() + SERVER_READY_S
            while not accepts(port):
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server is not ready"
                time.sleep(0.05)
            yield
        finally:
            process.kill()


@pytest.fixture(scope="module")
def _site(_provider: OpenAiServer) -> Iterator[Site]:
    port = free_port()
    with open_folder() as home, shared_server(port, home / "shared.sqlite"):
        models, tools, server = home / "models.yaml", home / "tools.yaml", home / "server.py"
        models.write_text(suites.MODELS.format(url=_provider.base_url))
        server.write_text((MCP / "server.py").read_text())
        value = yaml.safe_load((MCP / "tools.yaml").read_text())
        value["connectors"] = {
            "notes": {"kind": "mcp", "command": [sys.executable, str(server), "--file", str(home / "notes.sqlite")]},
            "shared": {"kind": "mcp", "url": f"http://127.0.0.1:{port}/mcp", "allow_hosts": ["127.0.0.1"]},
        }
        tools.write_text(yaml.safe_dump(value))
        arguments = ("--models", str(models), "--tools", str(tools), "--executors", "2")
        with suites.running(home / "state", *arguments) as suite:
            for file in (MCP / "workflows").glob("*.json"):
                saved = suites.headrace(suite.home, "workflow", "save", file.stem, str(file))
                assert saved.returncode == 0, saved.stderr
            yield Site(suite, server)


@pytest.fixture
async def site(_site: Site, provider: OpenAiServer) -> Site:
    """Every part ready."""
    await _site.suite.ready()
    provider.otherwise = Reply(text="The gate leaks.")
    return _site


def one_call(tool: str, **args: Json) -> Json:
    node = {"id": "called", "kind": "data", "tool": tool, "args": args}
    return {"version": 1, "name": "one call", "nodes": [node], "output": "${nodes.called.output}"}


async def called(site: Site, tool: str, **args: Json) -> Json:
    """What a tool answers, called by a node."""
    run = await site.suite.run(await site.suite.submit({"kind": "page", "blueprint": one_call(tool, **args)}))
    assert run["status"] == "succeeded", run["error"]
    return run["output"]["output"]


def asks_first(request: Mapping[str, Any]) -> Reply:
    """A model that looks into the notes once where it may, and then answers."""
    tools = request.get("tools") or []
    if not tools or any(message["role"] == "tool" for message in request["messages"]):
        return Reply(text="Mend the gate.")
    name = tools[0]["function"]["name"]
    return Reply(text="", tool_calls=(("call-1", name, '{"query": "gate"}'),), finish_reason="tool_calls")


async def test_both_servers_tools_are_listed_with_their_arguments(site: Site) -> None:
    listed = json.loads(suites.headrace(site.suite.home, "tools", "--json").stdout)

    tools = {one["name"]: one for one in listed if (one.get("connector") or {}).get("protocol") == "mcp"}
    assert set(tools) == {
        f"{connector}.{tool}" for connector in ("notes", "shared") for tool in ("add", "search", "remove")
    }
    assert tools["notes.add"]["input_schema"]["required"] == ["text"]
    assert len(site.servers()) == 2, "one for each executor"


@pytest.mark.parametrize("connector", ["notes", "shared"])
async def test_nodes_call_the_server_over_either_transport(site: Site, connector: str) -> None:
    added = await called(site, f"{connector}.add", text=f"The {connector} wheel turns.")

    found = [await called(site, f"{connector}.search", query=f"{connector} wheel") for _ in range(4)]

    assert [one["notes"] for one in found] == [[added]] * 4, "whichever executor's server is asked"


async def test_arguments_that_the_tool_does_not_take_are_a_fault_before_anything_runs(site: Site) -> None:
    answer = await site.suite.post("/api/workflows/validate", {"blueprint": one_call("notes.add", txt="x")})

    hints = {fault["pointer"]: fault["hint"] for fault in answer.json()["faults"]}
    assert hints["/blueprint/nodes/0/args/txt"] == "did you mean 'text'?"


async def test_the_workflow_keeps_finds_and_lets_the_model_look_for_itself(site: Site, provider: OpenAiServer) -> None:
    provider.worked_out = asks_first
    inputs = {"topic": "gate", "said": "It leaks."}

    accepted = await site.suite.post("/api/workflows/minutes/runs", {"inputs": inputs})
    run_id = accepted.json()["run_id"]
    events = await site.suite.log(run_id)
    run = await site.suite.run(run_id)

    agui.check(events)
    assert run["status"] == "succeeded", run["error"]
    slots = {one["slot"]: one["value"] for one in run["output"]["page"]["slots"]}
    assert slots["timeline"][-1] == "gate: It leaks."
    assert slots["next"] == "Mend the gate."
    calls = [event["toolCallName"] for event in events if event["type"] == "TOOL_CALL_START"]
    assert sorted(calls) == ["notes.add", "notes.search", "notes.search"]
    told = [obliging_model.prompt(request) for request in provider.requests if request["messages"][-1]["role"] == "tool"]
    assert len(told) == 1
    assert "gate: It leaks." in told[0]


async def test_a_server_that_was_killed_is_started_again_and_nothing_is_lost(site: Site) -> None:
    await called(site, "notes.add", text="The race is full.")
    for process in site.servers():
        os.kill(process.pid, signal.SIGKILL)

    found = await called(site, "notes.search", query="race is full")

    assert [one["text"] for one in found["notes"]] == ["The race is full."]


async def test_a_call_that_the_tool_refuses_fails_its_run_alone(site: Site) -> None:
    given = {**one_call("notes.add", text="${inputs.text}"), "inputs": {"type": "object", "properties": {"text": {}}}}
    refused = await site.suite.submit({"kind": "page", "blueprint": given, "inputs": {"text": "x" * 4001}})

    run = await site.suite.run(refused)

    assert run["status"] == "failed"
    assert "called" in json.dumps(run["error"])
    assert (await called(site, "notes.search", query="xxxx"))["notes"] == []
