"""`headrace workflow`, `page` and `tools` as processes against a real edge."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import edge_suite
from tests.support.edge_suite import Suite

SUMS: dict[str, Any] = {
    "version": 1,
    "name": "two sums",
    "inputs": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    "nodes": [{"id": "sum", "kind": "compute", "expr": "inputs.a + 1"}],
    "output": "${nodes.sum.output}",
}
WRONG = """\
version: 2
name: wrong
nodes:
  - {id: a, kind: compute, expr: "1"}
output: ${nodes.a.output}
colour: red
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed and how it ended."""

    code: int | None
    out: str
    err: str


@pytest.fixture
async def edge() -> AsyncIterator[Suite]:
    async with edge_suite.suite() as running:
        yield running


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    file = tmp_path / "sums.json"
    file.write_text(json.dumps(SUMS))
    return file


async def headrace(edge: Suite, home: Path, *arguments: str) -> Said:
    own = {"HEADRACE_URL": f"http://127.0.0.1:{edge.port}", "HEADRACE_HOME": str(home / "home"), "NO_COLOR": "1"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headrace_cli", *arguments),
        env={**os.environ, **own}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return Said(process.returncode, out.decode(), err.decode())


async def test_a_workflow_is_saved_seen_and_saved_again_and_never_over_anothers(
    edge: Suite, tmp_path: Path, sums: Path
) -> None:
    first = await headrace(edge, tmp_path, "workflow", "save", "sums", str(sums), "--description", "Adds one.")
    again = await headrace(edge, tmp_path, "workflow", "save", "sums", str(sums))
    another = await headrace(edge, tmp_path / "another", "workflow", "save", "sums", str(sums))
    forced = await headrace(edge, tmp_path / "another", "workflow", "save", "sums", str(sums), "--force")
    stale = await headrace(edge, tmp_path, "workflow", "save", "sums", str(sums))
    shown = await headrace(edge, tmp_path, "workflow", "show", "sums")
    listed = await headrace(edge, tmp_path, "workflow", "list", "--json")

    assert [one.code for one in (first, again, another, forced, stale)] == [0, 0, 1, 0, 1], (first, again, forced)
    assert "revision 2" in another.err
    assert "revision 3" in stale.err
    assert json.loads(shown.out) == SUMS
    assert [(one["revision"], one["description"]) for one in json.loads(listed.out)] == [(3, "Adds one.")]


async def test_force_also_makes_what_is_not_there(edge: Suite, tmp_path: Path, sums: Path) -> None:
    assert (await headrace(edge, tmp_path, "workflow", "save", "sums", str(sums), "--force")).code == 0
    assert (await headrace(edge, tmp_path, "workflow", "delete", "sums", "--yes")).code == 0
    assert (await headrace(edge, tmp_path, "workflow", "delete", "sums", "--yes")).code == 1


@pytest.mark.parametrize("arguments", [("validate",), ("save", "wrong")])
async def test_the_edges_faults_are_told_with_their_lines(edge: Suite, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(WRONG)

    told = await headrace(edge, tmp_path, "workflow", *arguments, str(file))

    assert told.code == 1
    rows = [line.split()[:2] for line in (told.out + told.err).splitlines()]
    assert ["1", "/version"] in rows, told
    assert ["6", "/colour"] in rows, told


async def test_a_page_is_shown_in_every_form_and_an_undo_goes_back(edge: Suite, tmp_path: Path) -> None:
    slots = [{"slot": "s", "title": "Sum", "node": "n", "value": "one & two"}]
    page_id = edge.executor.put("default", slots=slots).page_id
    edge.executor.put("default", page_id=page_id, slots=slots, instruction="shorter")

    html = await headrace(edge, tmp_path, "page", "show", page_id, "--format", "html")
    markdown = await headrace(edge, tmp_path, "page", "show", page_id)
    versions = await headrace(edge, tmp_path, "page", "versions", page_id)
    undone = await headrace(edge, tmp_path, "page", "undo", page_id)
    nothing = await headrace(edge, tmp_path, "page", "undo", page_id)
    whole = await headrace(edge, tmp_path, "page", "show", page_id, "--format", "json")
    listed = await headrace(edge, tmp_path, "page", "list", "--json")
    removed = await headrace(edge, tmp_path, "page", "delete", page_id, "--yes")

    assert "one &amp; two" in html.out
    assert "Sum" in markdown.out
    assert "shorter" in versions.out
    assert "2 current" in versions.out
    assert "version 1" in undone.err
    assert nothing.code == 1
    assert json.loads(whole.out)["version"] == 1
    assert [one["page_id"] for one in json.loads(listed.out)] == [page_id]
    assert removed.code == 0
    assert (await headrace(edge, tmp_path, "page", "show", page_id)).code == 1


async def test_the_schema_and_the_tools_are_the_edges(edge: Suite, tmp_path: Path) -> None:
    schema = await headrace(edge, tmp_path, "workflow", "schema")
    tools = await headrace(edge, tmp_path, "tools", "--json")

    assert schema.code == 0, schema.err
    assert isinstance(json.loads(schema.out), dict)
    assert tools.code == 0, tools.err
    assert {one["kind"] for one in json.loads(tools.out)} <= {"builtin", "http", "openapi", "mcp", "tool"}
