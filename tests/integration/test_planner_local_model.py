"""The planner with a real model on this machine: whatever it writes, the answer is a valid blueprint."""

from pathlib import Path

import pytest
from headrace.planner.v1 import planner_pb2, planner_pb2_grpc
from headrace.router.v1 import router_pb2
from headrace_blueprint import tools, validation
from headrace_llm import app as llm
from headrace_llm.settings import LlmSettings
from headrace_planner import app
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


@pytest.mark.timeout(180)
async def test_a_real_small_model_plans_or_the_template_does(
    local_model_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    file = tmp_path / "models.yaml"
    file.write_text(MODELS.format(url=local_model_url))
    settings = Settings(plan_timeout_s=60)
    async with llm.model_client(LlmSettings(models_file=file, redis_url=SecretStr(redis_url))) as models:
        server, _, port = await serve.start(serve.Service((app.endpoint(settings, models),)), settings.listen)
        async with channels.open_channel(f"127.0.0.1:{port}") as channel:
            stub: planner_pb2_grpc.PlannerServiceAsyncStub = planner_pb2_grpc.PlannerServiceStub(channel)
            request = planner_pb2.PlanRequest(
                tenant_id="acme", intent=router_pb2.INTENT_BUILD, message="Make a one-page report about the water cycle"
            )
            answer = await channels.unary(stub.Plan, request, timeout_s=DEADLINE_S)
        await server.stop(grace=None)
    document = validation.loads(answer.blueprint)
    assert validation.validate(document, tools=tools.SCHEMAS, kinds=RUNNABLE) == []
    assert answer.origin in (planner_pb2.ORIGIN_MODEL, planner_pb2.ORIGIN_REPAIRED, planner_pb2.ORIGIN_TEMPLATE)
    assert (answer.origin == planner_pb2.ORIGIN_MODEL) == (not answer.warnings)
    assert answer.usage.llm_calls >= 1, answer.warnings
    assert answer.usage.completion_tokens > 0
