"""WorkflowService against its proto, through a real server and a real Postgres."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import orjson
import pytest
from headrace.executor.v1 import executor_pb2 as run_pb
from headrace.executor.v1 import workflows_pb2 as pb
from headrace_blueprint.tools import Tool
from headrace_runtime import channels, errors
from headrace_tools.model import ToolEntry
from headrace_tools.ports import NoTools

from tests.support.executor_durable import Executor, ScriptedPipeline, executor, refused, settings

NODE = {"id": "sum", "kind": "compute", "expr": "inputs.n + 1"}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}}
PLAN = {"version": 1, "name": "Weekly report", "inputs": SCHEMA, "nodes": [NODE], "output": "${nodes.sum.output}"}


class Tools(NoTools):
    """One connector, of one tenant."""

    def tools(self, tenant_id: str) -> dict[str, ToolEntry]:
        if tenant_id != "t":
            return {}
        arguments = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
        return {"school.pupil": ToolEntry(Tool("school.pupil", "Finds a pupil.", arguments), "http", "school")}


@pytest.fixture
async def one(postgres_url: str) -> AsyncIterator[Executor]:
    config = settings(postgres_url, max_workflows_per_tenant=3)
    async with executor(config, ScriptedPipeline(), toolbox=Tools()) as value:
        yield value


async def call(method: Any, request: Any) -> Any:
    return await channels.unary(method, request, timeout_s=20)


async def put(one: Executor, workflow_id: str = "report", plan: Any = PLAN, **fields: Any) -> pb.PutWorkflowResponse:
    blueprint = plan if isinstance(plan, bytes) else orjson.dumps(plan)
    values = {"tenant_id": "t", "workflow_id": workflow_id, "blueprint": blueprint, **fields}
    answer: pb.PutWorkflowResponse = await call(one.workflows.PutWorkflow, pb.PutWorkflowRequest(**values))
    return answer


async def get(one: Executor, workflow_id: str = "report", tenant: str = "t") -> pb.Workflow:
    answer = await call(one.workflows.GetWorkflow, pb.GetWorkflowRequest(tenant_id=tenant, workflow_id=workflow_id))
    found: pb.Workflow = answer.workflow
    return found


async def run_saved(one: Executor, workflow_id: str = "report", **fields: Any) -> run_pb.Run:
    body = orjson.dumps({"workflow_id": workflow_id, **fields.pop("body", {})})
    return await one.submit(kind=run_pb.RUN_KIND_PAGE, body=body, **fields)


def flow(workflow_id: str) -> dict[str, Any]:
    node = {"id": "inner", "kind": "flow", "workflow_id": workflow_id}
    return {**PLAN, "nodes": [NODE, node]}


async def test_a_workflow_lives_and_its_revisions_count(one: Executor) -> None:
    made = await put(one, description="For parents")
    assert (made.created, made.workflow.revision, made.workflow.name) == (True, 1, "Weekly report")
    again = await put(one, plan={**PLAN, "name": "Renamed"}, expected_revision=1)
    assert (again.created, again.workflow.revision) == (False, 2)
    found = await get(one)
    assert (found.name, found.description, found.revision) == ("Renamed", "", 2)
    assert orjson.loads(found.blueprint) == {**PLAN, "name": "Renamed"}
    assert orjson.loads(found.inputs) == SCHEMA
    assert found.create_time.ToNanoseconds() == made.workflow.create_time.ToNanoseconds()
    assert found.update_time.ToNanoseconds() > found.create_time.ToNanoseconds()
    await call(one.workflows.DeleteWorkflow, pb.DeleteWorkflowRequest(tenant_id="t", workflow_id="report"))
    assert (await refused(get(one))).reason == "WORKFLOW_NOT_FOUND"
    assert (await put(one, expected_revision=0)).workflow.revision == 3


async def test_a_write_whose_answer_was_lost_may_be_sent_again(one: Executor) -> None:
    changed = {**PLAN, "name": "Renamed"}
    await put(one)
    first, again = [await put(one, plan=changed, description="d", expected_revision=1) for _ in range(2)]
    assert first == again
    for plan, description in ((PLAN, "d"), (changed, "other")):
        error = await refused(put(one, plan=plan, description=description, expected_revision=1))
        assert error.reason == "WORKFLOW_CHANGED"
    await put(one, plan=changed, description="d", expected_revision=2)
    error = await refused(put(one, plan=changed, description="d", expected_revision=1))
    assert error.reason == "WORKFLOW_CHANGED"


@pytest.mark.parametrize(
    ("expected", "kind", "reason"),
    [
        (0, errors.AlreadyExists, "WORKFLOW_EXISTS"),
        (1, errors.Aborted, "WORKFLOW_CHANGED"),
        (9, errors.Aborted, "WORKFLOW_CHANGED"),
    ],
)
async def test_a_write_over_another_revision_is_refused(one: Executor, expected: int, kind: Any, reason: str) -> None:
    await put(one)
    await put(one)
    error = await refused(put(one, plan={**PLAN, "name": "lost"}, expected_revision=expected))
    assert (type(error), error.reason) == (kind, reason)
    if expected:
        request = pb.DeleteWorkflowRequest(tenant_id="t", workflow_id="report", expected_revision=expected)
        assert (await refused(call(one.workflows.DeleteWorkflow, request))).reason == reason
    assert ((await get(one)).revision, (await get(one)).name) == (2, "Weekly report")


async def test_what_was_deleted_is_not_made_again_by_a_change_of_it(one: Executor) -> None:
    assert (await refused(put(one, expected_revision=1))).reason == "WORKFLOW_CHANGED"
    assert (await refused(get(one))).reason == "WORKFLOW_NOT_FOUND"


@pytest.mark.parametrize("expected", [0, 1])
async def test_of_two_writes_over_the_same_revision_one_wins(one: Executor, expected: int) -> None:
    if expected:
        await put(one)
    names = [f"writer {n}" for n in range(8)]
    writes = [put(one, plan={**PLAN, "name": name}, expected_revision=expected) for name in names]
    answers = await asyncio.gather(*writes, return_exceptions=True)
    won = [answer.workflow for answer in answers if isinstance(answer, pb.PutWorkflowResponse)]
    assert len(won) == 1
    assert {type(answer) for answer in answers if isinstance(answer, Exception)} == {
        errors.Aborted if expected else errors.AlreadyExists
    }
    assert ((await get(one)).name, (await get(one)).revision) == (won[0].name, expected + 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"tenant_id": ""},
        {"workflow_id": ""},
        {"workflow_id": "Report"},
        {"workflow_id": "-a"},
        {"workflow_id": "a\n"},
        {"workflow_id": "a" * 65},
        {"description": "x" * 1001},
        {"description": "a\x00"},
        {"expected_revision": -1},
        {"plan": b"{"},
        {"plan": b""},
        {"plan": b'"' + b"x" * 1024 * 1024 + b'"'},
        {"plan": []},
        {"plan": {**PLAN, "version": 2}},
        {"plan": {**PLAN, "output": "${nodes.gone.output}"}},
        {"plan": flow("gone")},
        {"plan": flow("report")},
    ],
)
async def test_what_cannot_be_a_workflow_is_refused_with_its_places(one: Executor, fields: dict[str, Any]) -> None:
    error = await refused(put(one, **fields))
    assert isinstance(error, errors.InvalidArgument)
    assert error.violations
    if "plan" in fields:
        assert all(violation.field.startswith("/blueprint") for violation in error.violations)
    assert not (await call(one.workflows.ListWorkflows, pb.ListWorkflowsRequest(tenant_id="t"))).workflows


async def test_a_circle_of_saved_workflows_is_refused_where_it_would_close(one: Executor) -> None:
    await put(one, "c")
    await put(one, "b", flow("c"))
    await put(one, "a", flow("b"))
    error = await refused(put(one, "c", flow("a")))
    (violation,) = error.violations
    assert violation.field == "/blueprint/nodes/1/workflow_id"
    assert "c → a → b → c" in violation.message
    assert (await get(one, "c")).revision == 1


async def test_a_tenant_has_so_many_workflows_and_may_always_replace_them(one: Executor) -> None:
    for name in ("a", "b", "c"):
        await put(one, name)
    for expected in ({}, {"expected_revision": 0}):
        error = await refused(put(one, "d", **expected))
        assert (type(error), error.reason) == (errors.ResourceExhausted, "TOO_MANY_WORKFLOWS")
    assert (await put(one, "a")).workflow.revision == 2
    assert isinstance(await refused(put(one, "b", expected_revision=0)), errors.AlreadyExists)
    assert (await put(one, "d", tenant_id="other")).created


async def test_no_revision_of_an_id_comes_twice(one: Executor) -> None:
    async def delete(workflow_id: str, **fields: Any) -> None:
        await call(one.workflows.DeleteWorkflow, pb.DeleteWorkflowRequest(tenant_id="t", workflow_id=workflow_id, **fields))

    await put(one, "a")
    seen = (await put(one, "a")).workflow.revision
    await put(one, "b", tenant_id="other")
    await delete("a", expected_revision=seen)
    again = await put(one, "a", expected_revision=0)
    assert (again.created, again.workflow.revision) == (True, seen + 1)
    for stale in (1, seen):
        assert (await refused(put(one, "a", expected_revision=stale))).reason == "WORKFLOW_CHANGED"
        assert (await refused(delete("a", expected_revision=stale))).reason == "WORKFLOW_CHANGED"
    replaced = await put(one, "a")
    assert (replaced.created, replaced.workflow.revision) == (False, seen + 2)
    await put(one, "b")
    await delete("b")
    await delete("a")
    assert (await put(one, "b", expected_revision=0)).workflow.revision == seen + 3
    assert (await put(one, "b", tenant_id="other")).workflow.revision == 2, "another tenant's go on as they were"


async def test_a_workflow_that_is_removed_and_made_at_the_same_moment_never_has_a_revision_twice(one: Executor) -> None:
    seen: list[int] = []

    async def make() -> None:
        answer = await put(one, "a")
        seen.append(answer.workflow.revision)

    async def remove() -> None:
        await call(one.workflows.DeleteWorkflow, pb.DeleteWorkflowRequest(tenant_id="t", workflow_id="a"))

    for _ in range(15):
        answers = await asyncio.gather(make(), remove(), make(), return_exceptions=True)
        assert all(answer is None or isinstance(answer, errors.NotFound) for answer in answers)
    assert len(seen) == len(set(seen)) == 30


async def test_the_limit_of_workflows_holds_for_writes_of_one_moment(one: Executor) -> None:
    for _ in range(4):
        names = [f"w{number}" for number in range(12)]
        answers = await asyncio.gather(*(put(one, name) for name in names), return_exceptions=True)
        made = [name for name, answer in zip(names, answers, strict=True) if isinstance(answer, pb.PutWorkflowResponse)]
        assert len(made) == 3
        refusals = [answer for answer in answers if not isinstance(answer, pb.PutWorkflowResponse)]
        assert {type(refusal) for refusal in refusals} == {errors.ResourceExhausted}
        for name in made:
            await call(one.workflows.DeleteWorkflow, pb.DeleteWorkflowRequest(tenant_id="t", workflow_id=name))


async def test_workflows_are_listed_by_id_page_by_page_without_their_blueprints(one: Executor) -> None:
    for name in ("b", "a-2", "a"):
        await put(one, name)
    seen: list[str] = []
    token = ""
    while True:
        page = await call(
            one.workflows.ListWorkflows, pb.ListWorkflowsRequest(tenant_id="t", page_size=2, page_token=token)
        )
        seen += [one.workflow_id for one in page.workflows]
        assert all(not one.blueprint and orjson.loads(one.inputs) == SCHEMA for one in page.workflows)
        token = page.next_page_token
        if not token:
            break
    assert seen == ["a", "a-2", "b"]
    for fields in ({"page_token": "!"}, {"page_size": 201}, {"page_token": "QQ"}):
        error = await refused(call(one.workflows.ListWorkflows, pb.ListWorkflowsRequest(tenant_id="t", **fields)))
        assert isinstance(error, errors.InvalidArgument)


async def test_a_page_of_a_list_is_shorter_where_schemas_are_large(one: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace_executor.workflows.MAX_LIST_BYTES", 1_000_000)
    for name in ("a", "b", "c"):
        await put(one, name, {**PLAN, "inputs": {**SCHEMA, "description": "x" * 900_000}})
    first = await call(one.workflows.ListWorkflows, pb.ListWorkflowsRequest(tenant_id="t"))
    rest = pb.ListWorkflowsRequest(tenant_id="t", page_token=first.next_page_token)
    second = await call(one.workflows.ListWorkflows, rest)
    assert [[w.workflow_id for w in page.workflows] for page in (first, second)] == [["a", "b"], ["c"]]
    assert not second.next_page_token


async def test_another_tenants_workflows_do_not_exist(one: Executor) -> None:
    await put(one)
    for attempt in (
        get(one, tenant="u"),
        call(one.workflows.DeleteWorkflow, pb.DeleteWorkflowRequest(tenant_id="u", workflow_id="report")),
        run_saved(one, tenant="u"),
        get(one, "no id at all"),
    ):
        error = await refused(attempt)
        assert (type(error), error.reason) == (errors.NotFound, "WORKFLOW_NOT_FOUND")
    assert not (await call(one.workflows.ListWorkflows, pb.ListWorkflowsRequest(tenant_id="u"))).workflows
    error = await refused(put(one, "x", flow("report"), tenant_id="u"))
    assert "'report'" in error.violations[0].message
    assert "there are none" in error.violations[0].message
    assert (await put(one, tenant_id="u", plan={**PLAN, "name": "theirs"})).created
    assert (await get(one)).name == "Weekly report"


async def test_a_blueprint_with_faults_is_an_answer(one: Executor) -> None:
    async def faults(blueprint: bytes, inputs: bytes = b"", **fields: str) -> dict[str, str]:
        request = pb.ValidateWorkflowRequest(tenant_id="t", blueprint=blueprint, inputs=inputs, **fields)
        answer = await call(one.workflows.ValidateWorkflow, request)
        return {fault.pointer: f"{fault.message} {fault.hint}" for fault in answer.faults}

    plan = orjson.dumps(PLAN)
    assert await faults(plan) == {}
    assert await faults(plan, b'{"n": 2}', workflow_id="report") == {}
    assert set(await faults(plan, b'{"n": "two"}')) == {"/inputs/n"}
    assert set(await faults(plan, b"{")) == {"/inputs"}
    assert set(await faults(b"{", b"{")) == {"/blueprint", "/inputs"}
    assert set(await faults(orjson.dumps(flow("me")), workflow_id="me")) == {"/blueprint/nodes/1/workflow_id"}
    near = {**PLAN, "nodes": [{"id": "sum", "kind": "data", "tool": "school.pupils", "args": {"id": 1}}]}
    assert "'school.pupil'" in (await faults(orjson.dumps(near)))["/blueprint/nodes/0/tool"]


async def test_the_schema_knows_the_tenants_tools(one: Executor) -> None:
    async def schema(tenant: str) -> Any:
        request = pb.GetBlueprintSchemaRequest(tenant_id=tenant)
        return orjson.loads((await call(one.workflows.GetBlueprintSchema, request)).schema)

    ours, bare = await schema("t"), await schema("")
    jsonschema.Draft202012Validator.check_schema(ours)
    plan = {**PLAN, "nodes": [{"id": "sum", "kind": "data", "tool": "school.pupil", "args": {"id": "${inputs.n}"}}]}
    unknown = {**PLAN, "nodes": [{"id": "sum", "kind": "data", "tool": "school.gone"}]}
    assert jsonschema.Draft202012Validator(ours).is_valid(plan)
    assert not jsonschema.Draft202012Validator(ours).is_valid(unknown)
    assert jsonschema.Draft202012Validator(bare).is_valid(unknown)
    assert not jsonschema.Draft202012Validator(await schema("u")).is_valid(plan)


async def test_a_run_has_the_revision_that_was_saved_when_it_was_accepted(one: Executor) -> None:
    seen: list[Any] = []
    go = asyncio.Event()

    async def look(journal: Any, _: str) -> None:
        await go.wait()
        seen.append(journal.run.body)

    one.durable.worker._driver._pipeline = ScriptedPipeline(steps=("node:a",), before=look)
    await put(one)
    run = await run_saved(one, body={"inputs": {"n": 5}}, request_id="key")
    await put(one, plan={**PLAN, "name": "later"})
    await call(one.workflows.DeleteWorkflow, pb.DeleteWorkflowRequest(tenant_id="t", workflow_id="report"))
    again = await run_saved(one, body={"inputs": {"n": 5}}, request_id="key")
    assert again.run_id == run.run_id
    assert (await refused(run_saved(one, request_id="other"))).reason == "WORKFLOW_NOT_FOUND"
    assert (await refused(run_saved(one, request_id="key"))).reason == "IDEMPOTENCY_KEY_REUSED"
    go.set()
    assert (await one.get(run.run_id, wait_s=20)).state == run_pb.RUN_STATE_SUCCEEDED
    assert seen == [{"blueprint": PLAN, "inputs": {"n": 5}, "workflow": {"id": "report", "revision": 1}}]
    session = await one.sessions.GetSession(run_pb.GetSessionRequest(tenant_id="t", session_id=run.session_id))
    assert session.session.title == "Weekly report"


@pytest.mark.parametrize("request_id", ["", "key"])
async def test_inputs_that_do_not_fit_are_refused_before_anything_is_accepted(one: Executor, request_id: str) -> None:
    await put(one)
    for body in ({"workflow_id": "report"}, {"blueprint": PLAN}):
        data = orjson.dumps({**body, "inputs": {"n": "five"}})
        error = await refused(one.submit(kind=run_pb.RUN_KIND_PAGE, body=data, request_id=request_id))
        assert isinstance(error, errors.InvalidArgument)
        assert [violation.field for violation in error.violations] == ["/inputs/n"]
    assert not (await call(one.runs.ListRuns, run_pb.ListRunsRequest(tenant_id="t"))).runs


async def test_a_saved_workflow_whose_flow_has_gone_is_refused_by_its_id(one: Executor) -> None:
    await put(one, "inner")
    await put(one, plan=flow("inner"))
    await call(one.workflows.DeleteWorkflow, pb.DeleteWorkflowRequest(tenant_id="t", workflow_id="inner"))
    error = await refused(run_saved(one))
    assert [violation.field for violation in error.violations] == ["/workflow_id"]
    assert "'inner'" in error.violations[0].message
