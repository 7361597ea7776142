"""Saved workflows over HTTP: nobody overwrites what they have not seen, every fault is told, and what is saved runs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import workflows_pb2
from headrace_blueprint.model import SCHEMA
from headrace_runtime import errors

from tests.contract.test_edge_api import problem
from tests.support import edge_suite
from tests.support.edge_fakes import FakeRun
from tests.support.edge_suite import Suite

BLUEPRINT: dict[str, Any] = {
    "version": 1,
    "name": "sum",
    "inputs": {"type": "object", "properties": {"a": {"type": "number"}}},
    "nodes": [{"id": "sum", "kind": "compute", "expr": "inputs.a + 1"}],
    "output": "${nodes.sum.output}",
}
PATH = "/api/workflows/class-report"


@pytest.fixture
async def edge() -> AsyncIterator[Suite]:
    async with edge_suite.suite() as one:
        yield one


async def put(edge: Suite, name: str = "sum", path: str = PATH, **headers: str) -> Any:
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    return await edge.client.put(path, json={"blueprint": {**BLUEPRINT, "name": name}}, headers=headers)


async def test_a_workflow_is_made_read_replaced_listed_and_removed(edge: Suite) -> None:
    made = await edge.client.put(PATH, json={"blueprint": BLUEPRINT, "description": "adds one"})
    assert (made.status_code, made.headers["etag"], made.headers["location"]) == (201, '"1"', PATH)
    body = made.json()
    assert (body["workflow_id"], body["name"], body["revision"]) == ("class-report", "sum", 1)
    assert (body["blueprint"], body["inputs"]) == (BLUEPRINT, BLUEPRINT["inputs"])

    read = await edge.client.get(PATH)
    assert (read.status_code, read.headers["etag"], read.json()) == (200, '"1"', body)
    replaced = await put(edge, "total", if_match='"1"')
    assert (replaced.status_code, replaced.headers["etag"], replaced.json()["name"]) == (200, '"2"', "total")
    assert "location" not in replaced.headers

    listed = (await edge.client.get("/api/workflows")).json()
    assert [one["workflow_id"] for one in listed["items"]] == ["class-report"]
    assert "blueprint" not in listed["items"][0]
    assert (await edge.client.delete(PATH)).status_code == 204
    problem(await edge.client.get(PATH), 404)
    problem(await edge.client.delete(PATH), 404)


async def test_lists_go_on_with_their_cursor(edge: Suite) -> None:
    for name in ("c", "a", "b"):
        await put(edge, path=f"/api/workflows/{name}")
    first = (await edge.client.get("/api/workflows?limit=2")).json()
    second = (await edge.client.get("/api/workflows", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [one["workflow_id"] for one in first["items"] + second["items"]] == ["a", "b", "c"]
    assert second["next_cursor"] is None


async def test_a_reader_who_has_it_gets_304(edge: Suite) -> None:
    await put(edge)
    for tag in ('"1"', 'W/"1"', '"0", "1"', "*"):
        unchanged = await edge.client.get(PATH, headers={"If-None-Match": tag})
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", '"1"')
    for tag in ('"2"', "1", '"11"'):
        assert (await edge.client.get(PATH, headers={"If-None-Match": tag})).status_code == 200


async def test_a_writer_who_does_not_say_what_is_there_is_told_what_to_send(edge: Suite) -> None:
    await put(edge)
    refused = await put(edge, "mine")
    assert 'If-Match: "1"' in problem(refused, 428)["detail"]
    assert refused.headers["etag"] == '"1"'
    assert (await edge.client.get(PATH)).json()["name"] == "sum"


@pytest.mark.parametrize(
    "headers",
    [{"if_match": '"7"'}, {"if_match": 'W/"1"'}, {"if_match": '"0"'}, {"if_match": '"x"'}, {"if_none_match": "*"}],
    ids=str,
)
async def test_a_write_on_top_of_something_else_is_412_with_what_is_there(edge: Suite, headers: dict[str, str]) -> None:
    await put(edge)
    refused = await put(edge, "mine", **headers)
    assert "revision 1" in problem(refused, 412)["detail"]
    assert refused.headers["etag"] == '"1"'
    assert (await edge.client.get(PATH)).json()["name"] == "sum"


async def test_conditions_on_what_is_not_there(edge: Suite) -> None:
    for tag in ('"1"', "*"):
        refused = await put(edge, if_match=tag)
        assert "If-None-Match: *" in problem(refused, 412)["detail"]
        assert "etag" not in refused.headers
    assert not edge.executor.workflows
    assert (await put(edge, if_none_match="*")).status_code == 201
    assert (await put(edge, if_match="*")).headers["etag"] == '"2"'


@pytest.mark.parametrize("headers", [{"if_none_match": '"1"'}, {"if_match": '"1"', "if_none_match": "*"}], ids=str)
async def test_headers_that_cannot_be_followed_are_400(edge: Suite, headers: dict[str, str]) -> None:
    assert problem(await put(edge, **headers), 400)["errors"][0]["loc"][0] == "header"
    assert not edge.executor.workflows


@pytest.mark.parametrize("headers", [{"if_match": '"1"'}, {"if_match": "*"}], ids=str)
async def test_a_writer_who_was_overtaken_overwrites_nothing(edge: Suite, headers: dict[str, str]) -> None:
    await put(edge)
    theirs = orjson.dumps({**BLUEPRINT, "name": "theirs"})
    edge.executor.before_put.append(
        workflows_pb2.PutWorkflowRequest(
            tenant_id="default", workflow_id="class-report", blueprint=theirs, expected_revision=1
        )
    )
    refused = await put(edge, "mine", **headers)
    problem(refused, 412)
    assert refused.headers["etag"] == '"2"'
    assert (await edge.client.get(PATH)).json()["name"] == "theirs"


async def test_of_many_writers_of_one_revision_one_wins(edge: Suite) -> None:
    await put(edge)
    answers = await asyncio.gather(*(put(edge, f"writer-{n}", if_match='"1"') for n in range(10)))
    assert sorted(one.status_code for one in answers) == [200] + [412] * 9
    (won,) = [one.json() for one in answers if one.status_code == 200]
    assert (await edge.client.get(PATH)).json() == won


async def test_a_removal_may_name_its_revision(edge: Suite) -> None:
    await put(edge)
    problem(await edge.client.delete(PATH, headers={"If-Match": '"2"'}), 412)
    assert (await edge.client.delete(PATH, headers={"If-Match": '"1"'})).status_code == 204
    assert (await put(edge, if_none_match="*")).headers["etag"] == '"2"'
    problem(await put(edge, if_match='"1"'), 412)
    assert (await edge.client.delete(PATH, headers={"If-Match": '"2"'})).status_code == 204
    problem(await edge.client.delete(PATH, headers={"If-Match": "*"}), 412)


async def test_every_fault_of_a_blueprint_is_told_with_its_pointer(edge: Suite) -> None:
    broken = {**BLUEPRINT, "nodes": [{"id": "9", "kind": "compute", "expr": ""}], "extra": 1}
    body = problem(await edge.client.put(PATH, json={"blueprint": broken}), 422)
    pointers = [one["loc"][-1] for one in body["errors"]]
    assert {"/blueprint/nodes/0/compute/id", "/blueprint/nodes/0/compute/expr", "/blueprint/extra"} == set(pointers)
    assert all("look at the schema" in one["msg"] for one in body["errors"])
    assert not edge.executor.workflows


async def test_validation_lists_faults_and_keeps_nothing(edge: Suite) -> None:
    body = {"blueprint": BLUEPRINT, "inputs": {"a": 1}, "workflow_id": "mine"}
    assert (await edge.client.post("/api/workflows/validate", json=body)).json() == {"valid": True, "faults": []}
    (asked,) = edge.executor.validations
    assert (orjson.loads(asked.blueprint), orjson.loads(asked.inputs), asked.workflow_id) == (BLUEPRINT, {"a": 1}, "mine")

    answer = await edge.client.post("/api/workflows/validate", json={"blueprint": {}})
    assert answer.status_code == 200
    found = answer.json()
    assert found["valid"] is False
    assert {"/blueprint/version", "/blueprint/name"} <= {one["pointer"] for one in found["faults"]}
    assert {"pointer", "message", "hint"} == set(found["faults"][0])
    assert edge.executor.validations[-1].inputs == b""
    assert not edge.executor.workflows


async def test_the_schema_is_one_that_an_editor_can_keep(edge: Suite) -> None:
    mine = await edge.client.get("/api/workflows/schema")
    assert mine.headers["content-type"] == "application/schema+json"
    assert "max-age" in mine.headers["cache-control"]
    assert mine.json()["x-tools"] == ["default.calculator"]
    language = await edge.client.get("/api/workflows/schema?tools=false")
    assert language.json() == SCHEMA
    assert language.headers["etag"] != mine.headers["etag"]
    again = await edge.client.get("/api/workflows/schema", headers={"If-None-Match": mine.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await edge.client.get("/api/workflows/schema", headers={"If-None-Match": '"x"'})).status_code == 200


@pytest.mark.parametrize("name", ["schema", "validate", "Upper", "a_b", "x" * 65, "a%20b"])
async def test_an_id_that_cannot_be_one_is_refused(edge: Suite, name: str) -> None:
    refused = await put(edge, path=f"/api/workflows/{name}")
    assert refused.status_code in (404, 422)
    problem(refused, refused.status_code)
    started = await edge.client.post(f"/api/workflows/{name}/runs", json={})
    problem(started, started.status_code)
    assert not edge.executor.workflows
    assert not edge.executor.runs


async def test_a_saved_workflow_runs(edge: Suite) -> None:
    await put(edge)
    body = {"inputs": {"a": 1}, "priority": "standard"}
    started = await edge.client.post(f"{PATH}/runs", json=body, headers={"Idempotency-Key": "k"})
    assert started.status_code == 202
    assert started.headers["location"] == started.json()["links"]["self"]
    (run,) = edge.executor.runs.values()
    assert (run.request.kind, run.request.priority) == (pb.RUN_KIND_PAGE, pb.PRIORITY_STANDARD)
    assert run.body == {"workflow_id": "class-report", "inputs": {"a": 1}}
    again = await edge.client.post(f"{PATH}/runs", json=body, headers={"Idempotency-Key": "k"})
    assert again.json()["run_id"] == started.json()["run_id"]
    other = await edge.client.post(f"{PATH}/runs", json={"inputs": {"a": 2}}, headers={"Idempotency-Key": "k"})
    problem(other, 422)

    by_default = await edge.client.post(f"{PATH}/runs", json={})
    assert edge.executor.runs[by_default.json()["run_id"]].request.priority == pb.PRIORITY_BACKGROUND


async def test_a_run_is_streamed_to_who_asks_for_events(edge: Suite) -> None:
    await put(edge)
    edge.executor.script = FakeRun.finish
    headers = {"Accept": "text/event-stream"}
    streamed = await edge.client.post(f"{PATH}/runs", json={"inputs": {"a": 1}}, headers=headers)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert "RUN_FINISHED" in streamed.text
    run = edge.executor.runs[streamed.headers["x-run-id"]]
    assert run.request.priority == pb.PRIORITY_INTERACTIVE


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
async def test_a_workflow_that_is_not_there_does_not_run(edge: Suite, accept: str) -> None:
    refused = await edge.client.post(f"{PATH}/runs", json={}, headers={"Accept": accept})
    assert problem(refused, 404)["type"].endswith("workflow-not-found")
    assert not edge.executor.runs


async def test_inputs_that_do_not_fit_are_told_with_their_pointer(edge: Suite) -> None:
    await put(edge)
    fault = errors.Violation("/inputs/a", "must be a number")
    edge.executor.refuse = errors.InvalidArgument("the inputs do not fit", violations=(fault,))
    refused = await edge.client.post(f"{PATH}/runs", json={"inputs": {"a": "x"}})
    assert problem(refused, 422)["errors"] == [{"loc": ["body", "/inputs/a"], "msg": "must be a number"}]


async def test_workflows_and_connectors_are_skills(edge: Suite) -> None:
    await edge.client.put(PATH, json={"blueprint": BLUEPRINT, "description": "adds one"})
    schema = b'{"type":"object","required":["class"]}'
    edge.executor.tools.append(
        pb.Tool(name="school.grades", description="Grades.", input_schema=schema, kind="openapi", connector="school")
    )
    skills = {one["name"]: one for one in (await edge.client.get("/skills")).json()["skills"]}
    assert skills["class-report"] == {
        "name": "class-report",
        "kind": "workflow",
        "description": "adds one",
        "input_schema": BLUEPRINT["inputs"],
    }
    assert skills["school.grades"]["kind"] == "connector"
    assert skills["school.grades"]["connector"] == {"name": "school", "protocol": "openapi"}
    assert skills["school.grades"]["input_schema"]["required"] == ["class"]


async def test_one_tenant_sees_nothing_of_another(edge: Suite) -> None:
    edge.executor.workflows["other", "theirs"] = workflows_pb2.Workflow(workflow_id="theirs", revision=1)
    problem(await edge.client.get("/api/workflows/theirs"), 404)
    assert (await edge.client.get("/api/workflows")).json()["items"] == []
    assert (await put(edge, path="/api/workflows/theirs")).status_code == 201
