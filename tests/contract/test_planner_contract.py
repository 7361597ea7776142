"""PlannerService against its proto, over a real in-process server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from headrace.planner.v1 import planner_pb2, planner_pb2_grpc
from headrace.router.v1 import router_pb2
from headrace_blueprint import tools, validation
from headrace_llm import errors as llm_errors
from headrace_llm.registry import ModelEntry, Registry
from headrace_planner import app
from headrace_planner.settings import Settings
from headrace_runtime import channels, errors, serve

from tests.support.models import ScriptedModels
from tests.support.plans import KeptPlans

TIMEOUT_S = 20.0
DRAFT = {"name": "Rivers", "nodes": [{"id": "text", "kind": "compose", "title": "Text", "prompt": "${inputs.message}"}]}


@pytest.fixture
def models() -> ScriptedModels:
    entry = ModelEntry(id="big", model="scripted/big", context_tokens=32_768)
    return ScriptedModels(otherwise=orjson.dumps(DRAFT).decode(), registry=Registry.of([entry]))


@pytest.fixture
async def stub(models: ScriptedModels) -> AsyncIterator[planner_pb2_grpc.PlannerServiceAsyncStub]:
    settings = Settings()
    server, _, port = await serve.start(serve.Service((app.endpoint(settings, models),)), settings.listen)
    async with channels.open_channel(f"127.0.0.1:{port}") as channel:
        yield planner_pb2_grpc.PlannerServiceStub(channel)
    await server.stop(grace=None)


async def plan(stub: planner_pb2_grpc.PlannerServiceAsyncStub, **fields: Any) -> planner_pb2.PlanResponse:
    request = planner_pb2.PlanRequest(**({"tenant_id": "acme", "message": "Tell me about rivers"} | fields))
    return await channels.unary(stub.Plan, request, timeout_s=TIMEOUT_S)


async def faults(stub: planner_pb2_grpc.PlannerServiceAsyncStub, data: bytes) -> list[planner_pb2.Fault]:
    request = planner_pb2.ValidateRequest(blueprint=data)
    return list((await channels.unary(stub.Validate, request, timeout_s=TIMEOUT_S)).faults)


@pytest.mark.parametrize("intent", [value for value in router_pb2.Intent.values() if value])
async def test_each_intent_has_a_valid_plan(
    stub: planner_pb2_grpc.PlannerServiceAsyncStub, intent: router_pb2.Intent
) -> None:
    answer = await plan(stub, intent=intent)
    assert validation.validate(orjson.loads(answer.blueprint), tools=tools.SCHEMAS) == []
    by_model = intent in (router_pb2.INTENT_BUILD, router_pb2.INTENT_PATCH)
    assert answer.origin == (planner_pb2.ORIGIN_MODEL if by_model else planner_pb2.ORIGIN_BUILTIN)
    assert answer.usage.llm_calls == int(by_model)
    assert not await faults(stub, answer.blueprint)


async def test_a_model_that_fails_is_a_warning_and_no_error(
    stub: planner_pb2_grpc.PlannerServiceAsyncStub, models: ScriptedModels
) -> None:
    models.otherwise = llm_errors.GateRefused("full", retry_after_s=9)
    answer = await plan(stub, intent=router_pb2.INTENT_BUILD, sources=["Atlas"], tools=["telescope"])
    assert answer.origin == planner_pb2.ORIGIN_TEMPLATE
    assert len(answer.warnings) == 2
    assert orjson.loads(answer.blueprint)["nodes"][0]["query"] == "${inputs.message} (Atlas)"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"message": " \n"}, "message"),
        ({"message": "x" * 32_769}, "message"),
        ({"intent": router_pb2.INTENT_UNSPECIFIED}, "intent"),
        ({"intent": 99}, "intent"),
        ({"history": [router_pb2.Turn(role="user", text="x")] * 9}, "history"),
        ({"tools": ["x"] * 33}, "tools"),
        ({"tools": ["x"] * 33, "intent": router_pb2.INTENT_QA}, "tools"),
        ({"tools": ["x"] * 301, "intent": router_pb2.INTENT_BUILD}, "tools"),
        ({"sources": ["x", "x" * 201]}, "sources[1]"),
        ({"workspace": "x" * 201}, "workspace"),
        ({"tool_specs": [planner_pb2.ToolSpec(name="a")] * 201}, "tool_specs"),
        ({"tool_specs": [planner_pb2.ToolSpec(name="")]}, "tool_specs[0].name"),
        ({"entities": [planner_pb2.Entity(kind="a b", id=b"1")]}, "entities[0].kind"),
        ({"entities": [planner_pb2.Entity(kind="class", id=b"{}")]}, "entities[0].id"),
        ({"entities": [planner_pb2.Entity(kind=f"k{at}", id=b"1") for at in range(21)]}, "entities"),
    ],
)
async def test_a_wrong_request_says_which_field(
    stub: planner_pb2_grpc.PlannerServiceAsyncStub, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await plan(stub, **({"intent": router_pb2.INTENT_CHAT} | fields))
    assert [violation.field for violation in caught.value.violations] == [field]


async def test_validation_lists_every_fault_with_pointer_and_hint(stub: planner_pb2_grpc.PlannerServiceAsyncStub) -> None:
    document = {
        "version": 1,
        "name": "x",
        "nodes": [
            {"id": "a", "kind": "compose", "promt": "x"},
            {"id": "b", "kind": "branch", "cases": [{"when": "true", "then": ["z"]}]},
            {"id": "c", "kind": "data", "tool": "calculater"},
        ],
        "output": "${nodes.d.output}",
    }
    found = {fault.pointer: fault for fault in await faults(stub, orjson.dumps(document))}
    assert set(found) == {"/nodes/0/prompt", "/nodes/0/promt", "/nodes/1/cases/0/then/0", "/nodes/2/tool", "/output"}
    assert found["/nodes/2/tool"].hint == "did you mean 'calculator'?"


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 10_000 + b"]" * 10_000, b'"' + b"x" * 2_000_000 + b'"'], ids=len)
async def test_whatever_is_sent_to_validate_is_answered_with_one_fault(
    stub: planner_pb2_grpc.PlannerServiceAsyncStub, data: bytes
) -> None:
    assert len(await faults(stub, data)) == 1


async def test_a_large_blueprint_is_validated_beside_other_calls(stub: planner_pb2_grpc.PlannerServiceAsyncStub) -> None:
    nodes = [{"id": f"n{i}", "kind": "compose", "prompt": "x" * 4_000} for i in range(200)]
    document = {"version": 1, "name": "x", "nodes": nodes, "output": "${nodes.n0.output}"}
    assert await faults(stub, orjson.dumps(document)) == []


GRADES = planner_pb2.ToolSpec(
    name="school.grades",
    description="Marks of a class.",
    input_schema=b'{"type":"object","properties":{"id":{"type":"integer"}},"required":["id"]}',
)


async def test_validation_knows_the_callers_tools(stub: planner_pb2_grpc.PlannerServiceAsyncStub) -> None:
    call = {"id": "marks", "kind": "data", "tool": "school.grades", "args": {"id": "three"}}
    data = orjson.dumps({"version": 1, "name": "x", "nodes": [call], "output": "${nodes.marks.output}"})
    request = planner_pb2.ValidateRequest(blueprint=data, tool_specs=[GRADES])
    found = (await channels.unary(stub.Validate, request, timeout_s=TIMEOUT_S)).faults
    assert [fault.pointer for fault in found] == ["/nodes/0/args/id"]
    assert [fault.pointer for fault in await faults(stub, data)] == ["/nodes/0/tool"]
    nameless = planner_pb2.ValidateRequest(blueprint=data, tool_specs=[planner_pb2.ToolSpec()])
    with pytest.raises(errors.InvalidArgument, match=r"tool_specs\[0\].name"):
        await channels.unary(stub.Validate, nameless, timeout_s=TIMEOUT_S)


REPORT = {
    "name": "Report",
    "nodes": [
        {"id": "marks", "kind": "data", "tool": "school.grades", "args": {"id": "${inputs.entities.class.id}"}},
        {"id": "text", "kind": "compose", "title": "Text", "prompt": "Write on ${nodes.marks.output}"},
    ],
}


async def test_a_plan_calls_the_callers_tools_for_the_records_that_were_found(
    stub: planner_pb2_grpc.PlannerServiceAsyncStub, models: ScriptedModels
) -> None:
    models.otherwise = orjson.dumps(REPORT).decode()
    records = [planner_pb2.Entity(kind="class", id=b"7", name="Class 3B", text="3B")]
    broken = planner_pb2.ToolSpec(name="a.broken", input_schema=b'{"type": 3}')
    away = planner_pb2.ToolSpec(name="a.away", input_schema=b'{"$ref":"http://example.com/x.json"}')
    answer = await plan(stub, intent=router_pb2.INTENT_BUILD, tool_specs=[GRADES, broken, away], entities=records)
    assert answer.origin == planner_pb2.ORIGIN_MODEL
    assert [warning.split(";")[0] for warning in answer.warnings] == [
        "the arguments of the tool 'a.broken' have no valid JSON Schema",
        "the arguments of the tool 'a.away' have no valid JSON Schema",
    ]
    declared = orjson.loads(answer.blueprint)["inputs"]["properties"]["entities"]
    assert declared["properties"]["class"]["properties"]["id"] == {"type": "integer"}
    assert b"Class 3B" not in answer.blueprint


async def test_further_records_of_a_kind_are_read_from_their_list(
    stub: planner_pb2_grpc.PlannerServiceAsyncStub, models: ScriptedModels
) -> None:
    both = "Compare ${inputs.entities.class.name} and ${inputs.entities.class_all[1].name}"
    nodes = [{"id": "text", "kind": "compose", "title": "Text", "prompt": both}]
    models.otherwise = orjson.dumps({"name": "Comparison", "nodes": nodes}).decode()
    records = [planner_pb2.Entity(kind="class", id=b"7", name=name, text=name) for name in ("3A", "3B")]
    answer = await plan(stub, intent=router_pb2.INTENT_BUILD, entities=records)
    assert answer.origin == planner_pb2.ORIGIN_MODEL, answer.warnings
    declared = orjson.loads(answer.blueprint)["inputs"]["properties"]["entities"]
    assert declared["required"] == ["class", "class_all"]
    assert declared["properties"]["class_all"]["minItems"] == 2
    assert "${inputs.entities.class_all[1].id}" in models.requests[0].messages[-1].content


async def test_of_two_hundred_tools_the_model_is_told_those_that_the_message_speaks_of(
    stub: planner_pb2_grpc.PlannerServiceAsyncStub, models: ScriptedModels
) -> None:
    others = [
        planner_pb2.ToolSpec(name=f"crm.tool{at}", description="Another. " * 20, input_schema=b'{"type":"object"}')
        for at in range(199)
    ]
    message = "Grades of the class"
    answer = await plan(stub, intent=router_pb2.INTENT_BUILD, tool_specs=[*others, GRADES], message=message)
    assert answer.origin == planner_pb2.ORIGIN_MODEL
    told = models.requests[0].messages[0].content
    assert "school.grades {id}: Marks of a class." in told
    assert 10 < told.count("crm.tool") < 16


async def test_a_plan_made_before_says_so(models: ScriptedModels) -> None:
    kept = KeptPlans()
    origins = []
    for _ in range(2):  # two replicas, one after the other
        settings = Settings()
        service = serve.Service((app.endpoint(settings, models, kept),))
        server, _, port = await serve.start(service, settings.listen)
        async with channels.open_channel(f"127.0.0.1:{port}") as channel:
            answer = await plan(planner_pb2_grpc.PlannerServiceStub(channel), intent=router_pb2.INTENT_BUILD)
        await server.stop(grace=None)
        origins.append((answer.origin, answer.usage.llm_calls))
    assert origins == [(planner_pb2.ORIGIN_MODEL, 1), (planner_pb2.ORIGIN_REUSED, 0)]


PAGE = {
    "version": 1,
    "name": "page",
    "inputs": {"type": "object", "properties": {"message": {"type": "string"}, "class_id": {"type": "integer"}}},
    "nodes": [
        {"id": "marks", "kind": "data", "tool": "school.grades", "args": {"id": "${inputs.class_id}"}},
        {"id": "summary", "kind": "compose", "prompt": "Summarise ${nodes.marks.output}"},
        {"id": "outlook", "kind": "compose", "prompt": "Look out for ${inputs.message}"},
    ],
    "layout": [
        {"slot": "summary", "title": "Summary", "node": "summary"},
        {"slot": "outlook", "title": "Outlook", "node": "outlook"},
    ],
    "output": "${nodes.summary.output}",
}


async def patch(stub: planner_pb2_grpc.PlannerServiceAsyncStub, **fields: Any) -> planner_pb2.PatchResponse:
    known = {
        "tenant_id": "acme",
        "blueprint": orjson.dumps(PAGE),
        "inputs": b'{"message":"M","class_id":1}',
        "instruction": "make the summary shorter",
        "slots": [planner_pb2.PageSlot(slot="summary", title="Summary", node="summary", preview="Long")],
        "tool_specs": [GRADES],
    }
    return await channels.unary(stub.Patch, planner_pb2.PatchRequest(**(known | fields)), timeout_s=TIMEOUT_S)


async def test_a_sentence_changes_one_slot_and_leaves_the_rest(stub: planner_pb2_grpc.PlannerServiceAsyncStub) -> None:
    answer = await patch(stub)
    assert answer.origin == planner_pb2.ORIGIN_BUILTIN
    assert (list(answer.nodes), list(answer.rewritten)) == (["summary"], ["summary"])
    document = orjson.loads(answer.blueprint)
    assert document["nodes"][1]["prompt"].endswith("make the summary shorter")
    assert [document["nodes"][0], document["nodes"][2]] == [PAGE["nodes"][0], PAGE["nodes"][2]]  # type: ignore[index]
    assert answer.inputs == b'{"message":"M","class_id":1}'


async def test_a_model_says_what_else_changes(
    stub: planner_pb2_grpc.PlannerServiceAsyncStub, models: ScriptedModels
) -> None:
    models.otherwise = orjson.dumps({"rewrite": [], "remove": [], "add": [], "inputs": {"class_id": 2}}).decode()
    answer = await patch(stub, instruction="the same for the other class")
    assert answer.origin == planner_pb2.ORIGIN_MODEL
    assert list(answer.nodes) == ["marks", "summary"]
    assert orjson.loads(answer.inputs)["class_id"] == 2
    assert answer.usage.llm_calls == 1


async def test_a_sentence_that_concerns_no_slot_is_an_answer_with_what_it_cost(
    stub: planner_pb2_grpc.PlannerServiceAsyncStub, models: ScriptedModels
) -> None:
    models.otherwise = orjson.dumps({"rewrite": [], "remove": [], "add": [], "inputs": {}}).decode()
    answer = await patch(stub, instruction="hmm")
    assert "Summary, Outlook" in answer.unclear
    assert (answer.blueprint, list(answer.nodes)) == (b"", [])
    assert answer.usage.llm_calls > 0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"instruction": " "}, "instruction"),
        ({"instruction": "x" * 32_769}, "instruction"),
        ({"inputs": b"[]"}, "inputs"),
        ({"inputs": b"{"}, "inputs"),
        ({"blueprint": b"{"}, "blueprint"),
        ({"blueprint": orjson.dumps({key: value for key, value in PAGE.items() if key != "layout"})}, "blueprint/layout"),
        ({"blueprint": orjson.dumps(PAGE | {"output": "${nodes.x.output}"})}, "blueprint/output"),
        ({"tool_specs": []}, "blueprint/nodes/0/tool"),
        ({"slots": [planner_pb2.PageSlot(slot="nowhere")]}, "slots[0].slot"),
        ({"model": "x" * 201}, "model"),
    ],
)
async def test_a_wrong_change_says_which_field(
    stub: planner_pb2_grpc.PlannerServiceAsyncStub, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await patch(stub, **fields)
    assert [violation.field for violation in caught.value.violations] == [field]
