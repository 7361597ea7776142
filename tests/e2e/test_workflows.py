"""Saved workflows, their pages and tools as two tenants meet them: revisions, faults, flows, and what is the other's."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from headrace_cli.embedded.program import free_port

from tests.e2e import suite as suites
from tests.e2e.suite import Json, Suite
from tests.support import agui, school
from tests.support.folders import open_folder
from tests.support.openai_server import OpenAiServer, Reply

KEYS = {"school": "school-key-0123456789", "club": "club-key-0123456789"}
MODELS = """
default: scripted
models:
  scripted:
    model: openai/scripted
    api_base: {url}
    context_tokens: 8192
    structured: schema
"""
SUMS: dict[str, Json] = {
    "version": 1,
    "name": "two sums",
    "inputs": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 2}},
        "required": ["a"],
        "additionalProperties": False,
    },
    "nodes": [
        {"id": "sum", "kind": "compute", "expr": "inputs.a + inputs.b"},
        {"id": "said", "kind": "compose", "prompt": "Say ${nodes.sum.output}."},
    ],
    "layout": [{"slot": "sum", "title": "Sum", "node": "sum"}, {"slot": "said", "title": "Said", "node": "said"}],
    "output": "${nodes.sum.output}",
}
NEW = {"If-None-Match": "*"}


@dataclass(frozen=True, slots=True)
class Site:
    """One suite and who uses it."""

    suite: Suite

    def of(self, tenant: str) -> Suite:
        """The suite as one tenant sees it."""
        return replace(self.suite, key=KEYS[tenant])

    def headrace(self, tenant: str, *arguments: str) -> Any:
        """The command with the tenant's key."""
        return suites.headrace(self.suite.home, *arguments, env={"HEADRACE_API_KEY": KEYS[tenant]})


@pytest.fixture(scope="module")
def _site(_provider: OpenAiServer) -> Iterator[Site]:
    with open_folder() as home:
        models, keys = home / "models.yaml", home / "keys.yaml"
        models.write_text(MODELS.format(url=_provider.base_url))
        keys.write_text(json.dumps([{"name": name, "tenant": name, "key_env": f"KEY_{name}"} for name in KEYS]))
        tools = school.tools_file(home / "tools.yaml", free_port(), tenant="school")
        env = {"HEADRACE_EDGE_API_KEYS_FILE": str(keys), "SCHOOL_TOKEN": school.TOKEN}
        env |= {f"KEY_{name}": key for name, key in KEYS.items()}
        with suites.running(home / "state", "--models", str(models), "--tools", str(tools), env=env) as suite:
            yield Site(suite)


@pytest.fixture
async def site(_site: Site, provider: OpenAiServer) -> Site:
    """Every part ready, and no workflow of anybody's."""
    await _site.suite.ready()
    for tenant in KEYS:
        user = _site.of(tenant)
        for one in (await user.get("/api/workflows")).json()["items"]:
            assert (await user.call("DELETE", f"/api/workflows/{one['workflow_id']}")).status_code == 204
    return _site


async def save(user: Suite, name: str, blueprint: Json = SUMS, **headers: str) -> Any:
    body = {"blueprint": blueprint, "description": "Adds."}
    return await user.call("PUT", f"/api/workflows/{name}", body, **headers)


async def made(user: Suite, name: str, **inputs: Json) -> Json:
    """Run a saved workflow to its end."""
    accepted = await user.post(f"/api/workflows/{name}/runs", {"inputs": inputs})
    assert accepted.status_code == 202, accepted.text
    done = await user.run(accepted.json()["run_id"])
    assert done["status"] == "succeeded", done["error"]
    return done


async def test_a_workflow_is_written_on_top_of_what_its_writer_has_read(site: Site) -> None:
    user = site.of("school")

    first = await save(user, "sums", **NEW)
    blind, stale = await save(user, "sums"), await save(user, "sums", **{"If-Match": '"9"'})
    second = await save(user, "sums", {**SUMS, "name": "sums"}, **{"If-Match": first.headers["etag"]})
    found = await user.get("/api/workflows/sums")

    revision = first.json()["revision"]
    assert (first.status_code, first.headers["etag"]) == (201, f'"{revision}"')
    assert (blind.status_code, stale.status_code) == (428, 412)
    assert (await save(user, "sums", **NEW)).status_code == 412
    assert (second.status_code, second.headers["etag"]) == (200, f'"{revision + 1}"')
    assert (found.headers["etag"], found.json()["revision"]) == (f'"{revision + 1}"', revision + 1)
    assert found.json()["blueprint"] == {**SUMS, "name": "sums"}
    assert [one["workflow_id"] for one in (await user.get("/api/workflows")).json()["items"]] == ["sums"]


async def test_the_tag_of_a_removed_workflow_does_not_fit_one_that_is_made_again(site: Site) -> None:
    user = site.of("school")
    first = await save(user, "sums", **NEW)
    assert (await user.call("DELETE", "/api/workflows/sums")).status_code == 204
    again = await save(user, "sums", **NEW)
    assert again.headers["etag"] != first.headers["etag"]
    assert (await save(user, "sums", **{"If-Match": first.headers["etag"]})).status_code == 412
    assert (await save(user, "sums", **{"If-Match": again.headers["etag"]})).status_code == 200


async def test_the_command_saves_shows_and_runs_and_keeps_what_another_wrote(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "sums.yaml"
    file.write_text(yaml.safe_dump(SUMS, sort_keys=False))
    saved = site.headrace("school", "workflow", "save", "sums", str(file))
    await save(site.of("school"), "sums", {**SUMS, "name": "another's"}, **{"If-Match": "*"})

    refused = site.headrace("school", "workflow", "save", "sums", str(file))
    shown = site.headrace("school", "workflow", "show", "sums")
    again = site.headrace("school", "workflow", "save", "sums", str(file))
    done = site.headrace("school", "workflow", "run", "sums", "-i", "a=40", "--format", "json")

    assert saved.returncode == 0, saved.stderr
    assert refused.returncode == 1
    assert json.loads(shown.stdout)["name"] == "another's"
    assert again.returncode == 0, again.stderr
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"] == 42


async def test_every_fault_is_told_with_pointer_and_hint_and_nothing_is_kept(site: Site, tmp_path: Path) -> None:
    unknown_input = {"id": "sum", "kind": "compute", "expr": "inputs.c"}
    wrong = {**SUMS, "nodes": [unknown_input, {"id": "x", "kind": "data", "tool": "calculater"}]}
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(wrong, indent=1))
    user = site.of("school")

    told = await user.post("/api/workflows/validate", {"blueprint": wrong, "inputs": {}})
    refused = await save(user, "wrong", wrong, **NEW)
    shown = site.headrace("school", "workflow", "validate", str(file))

    assert told.status_code == 200
    assert told.json()["valid"] is False
    pointers = {fault["pointer"]: fault["hint"] for fault in told.json()["faults"]}
    assert {"/blueprint/nodes/0/expr", "/blueprint/nodes/1/tool", "/blueprint/layout/1/node"} <= set(pointers)
    assert "calculator" in pointers["/blueprint/nodes/1/tool"]
    assert refused.status_code == 422
    assert (await user.get("/api/workflows/wrong")).status_code == 404
    assert shown.returncode == 1
    lines = file.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, start=1) if "calculater" in text)
    assert [str(line), "/nodes/1/tool"] in [row.split()[:2] for row in shown.stdout.splitlines()]


async def test_inputs_that_do_not_fit_are_refused_before_a_run_begins(site: Site, provider: OpenAiServer) -> None:
    user = site.of("school")
    await save(user, "sums", **NEW)

    answer = await user.post("/api/workflows/sums/runs", {"inputs": {"a": "one"}})

    assert answer.status_code == 422
    assert "/inputs/a" in answer.text
    assert not provider.requests


async def test_a_run_keeps_the_revision_that_it_was_accepted_with(site: Site, provider: OpenAiServer) -> None:
    user = site.of("school")
    provider.otherwise = Reply(text="the sum", delay_s=1)
    saved = await save(user, "sums", **NEW)
    accepted = await user.post("/api/workflows/sums/runs", {"inputs": {"a": 1}})
    changed = {**SUMS, "nodes": [{**SUMS["nodes"][0], "expr": "inputs.a - inputs.b"}, SUMS["nodes"][1]]}

    assert (await save(user, "sums", changed, **{"If-Match": saved.headers["etag"]})).status_code == 200

    assert (await user.run(accepted.json()["run_id"]))["output"]["output"] == 3
    assert (await made(user, "sums", a=1))["output"]["output"] == -1


async def test_a_workflow_runs_inside_another_and_never_inside_itself(site: Site) -> None:
    user = site.of("school")
    await save(user, "sums", **NEW)
    outer = {
        "version": 1, "name": "outer",
        "nodes": [
            {"id": "inner", "kind": "flow", "workflow_id": "sums", "inputs": {"a": 5}},
            {"id": "twice", "kind": "compute", "expr": "nodes.inner.output * 2"},
        ],
        "output": "${nodes.twice.output}",
    }  # fmt: skip
    assert (await save(user, "outer", outer, **NEW)).status_code == 201

    accepted = await user.post("/api/workflows/outer/runs", {"inputs": {}})
    events = await user.log(accepted.json()["run_id"])

    agui.check(events)
    assert (await user.run(accepted.json()["run_id"]))["output"]["output"] == 14
    assert "node:inner/sum" in [event.get("stepName") for event in events]
    loop = {**SUMS, "nodes": [*SUMS["nodes"], {"id": "again", "kind": "flow", "workflow_id": "outer", "inputs": {}}]}
    refused = await save(user, "sums", loop, **{"If-Match": "*"})
    assert refused.status_code == 422, refused.text


async def test_a_stream_is_given_to_who_accepts_one_and_to_page_generate(site: Site) -> None:
    user = site.of("school")
    await save(user, "sums", **NEW)

    streamed = await user.call("POST", "/api/workflows/sums/runs", {"inputs": {"a": 1}}, Accept="text/event-stream")
    generated = await user.post("/api/page/generate", {"workflow_id": "sums", "inputs": {"a": 1}})

    for answer in (streamed, generated):
        assert answer.status_code == 200, answer.text
        events = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]
        agui.check(events)
        assert events[-1]["result"]["output"] == 3
        assert events[-1]["result"]["page"]["page_id"]


async def test_the_published_schema_accepts_a_workflow_and_knows_the_tenants_tools(site: Site) -> None:
    schema = (await site.of("school").get("/api/workflows/schema")).json()

    jsonschema.validate(SUMS, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**SUMS, "nodes": [{"id": "x", "kind": "dance"}]}, schema)
    assert "school.list_marks" in json.dumps(schema)
    assert "school.list_marks" not in json.dumps((await site.of("club").get("/api/workflows/schema")).json())


async def test_workflows_of_one_tenant_are_not_there_for_another(site: Site) -> None:
    school_, club = site.of("school"), site.of("club")
    await save(school_, "sums", **NEW)

    assert (await club.get("/api/workflows")).json()["items"] == []
    assert (await club.get("/api/workflows/sums")).status_code == 404
    assert (await club.post("/api/workflows/sums/runs", {"inputs": {"a": 1}})).status_code == 404
    assert (await save(club, "sums", **{"If-Match": '"1"'})).status_code == 412
    assert (await club.call("DELETE", "/api/workflows/sums")).status_code == 404
    assert "sums" not in {one["name"] for one in (await club.get("/skills")).json()["skills"]}
    assert (await save(club, "sums", {**SUMS, "name": "the club's"}, **NEW)).status_code == 201
    assert (await school_.get("/api/workflows/sums")).json()["name"] == "two sums"


async def test_pages_of_one_tenant_are_not_there_for_another(site: Site) -> None:
    school_, club = site.of("school"), site.of("club")
    await save(school_, "sums", **NEW)
    page_id = (await made(school_, "sums", a=1))["output"]["page"]["page_id"]

    assert page_id not in {one["page_id"] for one in (await club.get("/api/pages")).json()["items"]}
    for path in ("", "/versions", "?format=html", "?version=1"):
        assert (await club.get(f"/api/pages/{page_id}{path}")).status_code == 404, path
    assert (await club.post(f"/api/pages/{page_id}/restore", {})).status_code == 404
    assert (await club.call("DELETE", f"/api/pages/{page_id}")).status_code == 404
    patch = await club.post("/api/tasks", {"kind": "patch", "page_id": page_id, "instruction": "shorter"})
    if patch.status_code == 202:
        assert (await club.run(patch.json()["run_id"]))["status"] == "failed"
    else:
        assert patch.status_code == 404
    assert (await school_.get(f"/api/pages/{page_id}")).json()["version"] == 1


async def test_tools_of_one_tenant_are_not_there_for_another(site: Site) -> None:
    report = school.document("class-report")

    assert (await site.of("school").post("/api/workflows/validate", {"blueprint": report})).json()["valid"] is True
    told = (await site.of("club").post("/api/workflows/validate", {"blueprint": report})).json()
    assert "/blueprint/nodes/0/tool" in {fault["pointer"] for fault in told["faults"]}
    assert not [one for one in (await site.of("club").get("/skills")).json()["skills"] if "school" in one["name"]]


async def test_a_tool_that_is_away_fails_a_run_with_its_name_and_an_optional_one_leaves_a_gap(site: Site) -> None:
    node = {"id": "class", "kind": "data", "tool": "school.get_class", "args": {"class_id": "c-j3b"}}
    blueprint = {
        "version": 1, "name": "away", "nodes": [node],
        "layout": [{"slot": "class", "title": "Class", "node": "class"}], "output": "${nodes.class.output}",
    }  # fmt: skip
    user = site.of("school")

    failed = await user.run(await user.submit({"kind": "page", "blueprint": blueprint}))
    optional = {**blueprint, "nodes": [{**node, "on_error": "continue"}]}
    run_id = await user.submit({"kind": "page", "blueprint": optional})
    kept, events = await user.run(run_id), await user.log(run_id)

    assert failed["status"] == "failed"
    assert "class" in json.dumps(failed["error"])
    assert kept["status"] == "succeeded", kept["error"]
    (slot,) = kept["output"]["page"]["slots"]
    assert slot["value"] is None
    assert slot["gap"]["code"] == "tool"
    assert [event["value"]["step"] for event in events if event.get("name") == "headrace.gap"] == ["node:class"]
    agui.check(events)
