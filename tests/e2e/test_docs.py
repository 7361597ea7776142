"""The commands of docs/workflows.md and docs/pages.md, one after the other, against the suite."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.suite import Json, Suite
from tests.support import docs
from tests.support.openai_server import OpenAiServer, Reply


def port(suite: Suite) -> int:
    found = urlsplit(suite.url).port
    assert found is not None
    return found


def result(stream: str) -> Json:
    """What RUN_FINISHED, the last event of a stream, says."""
    last = json.loads(stream.strip().rpartition("data: ")[2])
    assert last["type"] == "RUN_FINISHED", last
    return last["result"]


async def test_workflows(suite: Suite, tmp_path: Path) -> None:
    answers = [await docs.answered(one, port(suite), tmp_path) for one in docs.commands("workflows.md")]

    assert json.loads(answers[0])["valid"] is False
    assert json.loads(answers[1])["revision"] == 1
    assert [one["workflow_id"] for one in json.loads(answers[2])["items"]] == ["head-count"]
    assert json.loads(answers[3].rpartition("\r\n")[2])["description"] == "How many there are"
    run = await suite.run(json.loads(answers[4])["run_id"])
    assert run["output"]["output"] == result(answers[5])["output"] == 2
    assert json.loads((tmp_path / "blueprint.schema.json").read_bytes())["$defs"]
    assert (await suite.get("/api/workflows")).json()["items"] == []


async def test_pages(suite: Suite, provider: OpenAiServer, tmp_path: Path) -> None:
    provider.script += [Reply(text="Welcome, Li and Bo!"), Reply(text="Welcome!")]
    known = {"PAGE_ID": "", "RUN_ID": ""}
    answers = []
    for command in docs.commands("pages.md"):
        for name, value in known.items():
            command = command.replace(name, value)
        answers.append(await docs.answered(command, port(suite), tmp_path))
        for name, field in (("PAGE_ID", "page_id"), ("RUN_ID", "runId")):
            found = re.search(rf'"{field}":"([^"]+)"', answers[-1])
            known[name] = known[name] or (found[1] if found else "")

    page = result(answers[0])["page"]
    assert page["page_id"] == known["PAGE_ID"]
    assert [one["value"] for one in page["slots"]] == [2, "Welcome, Li and Bo!"]
    assert json.loads(answers[2])["slots"] == page["slots"]
    assert "<p>Welcome, Li and Bo!</p>" in (tmp_path / "page.html").read_text()
    assert answers[4].endswith("## Welcome\n\nWelcome, Li and Bo!\n")
    assert [one["value"] for one in result(answers[5])["page"]["slots"]] == [2, "Welcome!"]
    assert [one["instruction"] for one in json.loads(answers[6])["items"]] == [None, "make the welcome shorter"]
    assert json.loads(answers[7])["version"] == 1
    assert answers[8] == "2"
    assert (await suite.get(f"/api/pages/{known['PAGE_ID']}")).status_code == 404
