"""The commands of docs/workflows.md, docs/pages.md and docs/memory.md are answered as they stand there."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from tests.support import docs, edge_suite
from tests.support.edge_fakes import FakeRun, pb
from tests.support.edge_suite import Suite


@pytest.fixture
async def edge() -> AsyncIterator[Suite]:
    async with edge_suite.suite() as one:
        yield one


async def test_workflows(edge: Suite, tmp_path: Path) -> None:
    edge.executor.script = FakeRun.finish
    answers = [await docs.answered(one, edge.port, tmp_path) for one in docs.commands("workflows.md")]
    assert len(answers) == 8
    assert orjson.loads(answers[0])["faults"]
    assert orjson.loads(answers[1])["revision"] == 1
    assert orjson.loads(answers[2])["items"][0]["description"] == "How many there are"
    assert 'etag: "1"' in answers[3]
    assert orjson.loads(answers[4])["links"]
    assert "RUN_FINISHED" in answers[5]
    assert "$defs" in orjson.loads((tmp_path / "blueprint.schema.json").read_bytes())
    assert not edge.executor.workflows


async def test_pages(edge: Suite, tmp_path: Path) -> None:
    async def makes_a_page(run: FakeRun) -> None:
        patched = run.request.kind == pb.RUN_KIND_PATCH
        page = edge.executor.put(
            "default",
            page_id=run.body["page_id"] if patched else "",
            slots=[{"slot": "count", "title": "Pupils" if patched else "Students", "node": "count", "value": 2}],
            run_id=run.run.run_id,
        )
        edge.executor.outputs[run.run.run_id, "node:count"] = [b"2"]
        await run.finish({"page": {"page_id": page.page_id, "version": page.version}})

    edge.executor.script = makes_a_page
    known = {"PAGE_ID": "", "RUN_ID": ""}
    answers = []
    for one in docs.commands("pages.md"):
        for name, value in known.items():
            one = one.replace(name, value)
        answers.append(await docs.answered(one, edge.port, tmp_path))
        found = re.search(r'"page_id":"([^"]+)"', answers[-1])
        known["PAGE_ID"] = found[1] if found else known["PAGE_ID"]
        known["RUN_ID"] = known["RUN_ID"] or next(iter(edge.executor.runs))
    assert len(answers) == 10
    assert "RUN_FINISHED" in answers[0]
    assert orjson.loads(answers[2])["slots"][0]["title"] == "Students"
    assert "<h2" in (tmp_path / "page.html").read_text()
    assert "## Students" in answers[4]
    assert [one["version"] for one in orjson.loads(answers[6])["items"]] == [1, 2]
    assert orjson.loads(answers[7])["version"] == 1
    assert answers[8] == "2"
    assert not edge.executor.pages


async def test_memory(edge: Suite, tmp_path: Path) -> None:
    answers: list[str] = []
    for one in docs.commands("memory.md"):
        session = orjson.loads(answers[0])["session_id"] if answers else ""
        answers.append(await docs.answered(one.replace("SESSION_ID", session), edge.port, tmp_path))
    assert len(answers) == 8
    assert orjson.loads(answers[1])["value"] == {"avoid": ["peanuts"]}
    assert orjson.loads(answers[2])["revision"] == 1
    assert orjson.loads(answers[3]).keys() == {"items", "pending", "timings"}
    assert [one["key"] for one in orjson.loads(answers[4])["items"]] == ["food.allergies", "home"]
    assert 'etag: "1"' in answers[5]
    assert orjson.loads(answers[6])["value"] == "用户住在北京。"
    assert [key for _, key in edge.executor.memories] == ["food.allergies"]
