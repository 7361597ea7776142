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
from headrace_planner import app
from headrace_planner.settings import Settings
from headrace_runtime import channels, errors, serve

from tests.support.models import ScriptedModels

TIMEOUT_S = 20.0
DRAFT = {"name": "Rivers", "nodes": [{"id": "text", "kind": "compose", "title": "Text", "prompt": "${inputs.message}"}]}


@pytest.fixture
def models() -> ScriptedModels:
    return ScriptedModels(otherwise=orjson.dumps(DRAFT).decode())


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
        ({"tools": ["x"] * 51}, "tools"),
        ({"sources": ["x", "x" * 201]}, "sources[1]"),
        ({"workspace": "x" * 201}, "workspace"),
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
