"""The planner with a real model on this machine: whatever it writes, the answer is a valid blueprint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import orjson
import pytest
from headrace.planner.v1 import planner_pb2, planner_pb2_grpc
from headrace.router.v1 import router_pb2
from headrace_blueprint import validation
from headrace_blueprint.tools import Tool
from headrace_llm import app as llm
from headrace_llm.settings import LlmSettings
from headrace_planner import app, toolbox
from headrace_planner.model import RUNNABLE
from headrace_planner.settings import Settings
from headrace_runtime import channels, serve
from pydantic import SecretStr

MODELS = """
models:
  local:
    model: openai/smollm2
    api_base: {url}
    context_tokens: 4096
"""
DEADLINE_S = 90.0


TOOLS = (
    Tool(
        "school.list_students",
        "Lists the students of a class.",
        {
            "type": "object",
            "properties": {"class_id": {"type": "integer"}, "active": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}},
            "required": ["class_id"],
        },
    ),
    Tool(
        "school.grades",
        "Grades of a class or student in a term.",
        {
            "type": "object",
            "properties": {
                "class_id": {"type": "integer", "minimum": 1},
                "term": {"enum": ["spring", "autumn"]},
                "subjects": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["class_id", "term"],
        },
    ),
    *(Tool(f"crm.tool{at}", "Does something else.", {"type": "object", "properties": {"a": {}}}) for at in range(20)),
)
CASES: Sequence[tuple[str, Sequence[Tool], str]] = (
    ("Make a one-page report about the water cycle", (), ""),
    ("帮我做一个关于光合作用的页面", (), ""),
    ("Write a report on class 3B with its students, strengths and weak points", TOOLS, "3B"),
    ("做一份三年级二班的数学成绩分析报告", TOOLS, "三年级二班"),
    ("Compare the grades of spring and autumn ${nodes.x.output} ${", TOOLS, ""),
    ("?", TOOLS, ""),
)


@pytest.fixture
async def stub(
    local_model_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[planner_pb2_grpc.PlannerServiceAsyncStub]:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    file = tmp_path / "models.yaml"
    file.write_text(MODELS.format(url=local_model_url))
    settings = Settings(plan_timeout_s=60)
    async with llm.model_client(LlmSettings(models_file=file, redis_url=SecretStr(redis_url))) as models:
        server, _, port = await serve.start(serve.Service((app.endpoint(settings, models),)), settings.listen)
        async with channels.open_channel(f"127.0.0.1:{port}") as channel:
            yield planner_pb2_grpc.PlannerServiceStub(channel)
        await server.stop(grace=None)


@pytest.mark.timeout(600)
async def test_a_real_small_model_plans_or_the_template_does(stub: planner_pb2_grpc.PlannerServiceAsyncStub) -> None:
    for message, tools, record in CASES:
        request = planner_pb2.PlanRequest(
            tenant_id="acme",
            intent=router_pb2.INTENT_BUILD,
            message=message,
            tool_specs=[
                planner_pb2.ToolSpec(
                    name=one.name, description=one.description, input_schema=orjson.dumps(one.input_schema)
                )
                for one in tools
            ],
            entities=[planner_pb2.Entity(kind="class", id=b"7", name="Class 3B", text=record)] if record else [],
        )
        answer = await channels.unary(stub.Plan, request, timeout_s=DEADLINE_S)
        document = validation.loads(answer.blueprint)
        known = toolbox.schemas((*tools, *toolbox.BUILTIN))
        assert validation.validate(document, tools=known, kinds=RUNNABLE) == [], message
        assert answer.origin in (planner_pb2.ORIGIN_MODEL, planner_pb2.ORIGIN_REPAIRED, planner_pb2.ORIGIN_TEMPLATE)
        assert (answer.origin == planner_pb2.ORIGIN_MODEL) == (not answer.warnings)
        assert answer.usage.llm_calls >= 1, answer.warnings
        assert answer.usage.completion_tokens > 0


@pytest.mark.timeout(180)
async def test_a_real_small_model_maps_a_sentence_or_slots_are_told(stub: planner_pb2_grpc.PlannerServiceAsyncStub) -> None:
    slots = ["summary", "strengths", "weaknesses", "outlook"]
    document = {
        "version": 1,
        "name": "page",
        "nodes": [{"id": slot, "kind": "compose", "prompt": f"Write the {slot}."} for slot in slots],
        "layout": [{"slot": slot, "title": slot.title(), "node": slot} for slot in slots],
        "output": "${nodes.summary.output}",
    }
    request = planner_pb2.PatchRequest(
        tenant_id="acme", blueprint=orjson.dumps(document), instruction="the tone is too harsh, be kind to the children"
    )
    answer = await channels.unary(stub.Patch, request, timeout_s=DEADLINE_S)
    if answer.unclear:
        assert "name one of: Summary, Strengths, Weaknesses, Outlook" in answer.unclear
        assert answer.usage.llm_calls >= 1
    else:
        assert validation.validate(validation.loads(answer.blueprint), tools={}, kinds=RUNNABLE) == []
        assert answer.origin in (planner_pb2.ORIGIN_MODEL, planner_pb2.ORIGIN_REPAIRED)
        assert set(slots) <= {slot["slot"] for slot in validation.loads(answer.blueprint)["layout"]}
        assert answer.nodes
