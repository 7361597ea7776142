"""A compose node whose model calls tools, with a provider behind the model library: the wire, the gate, the cost."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from headrace_cli.embedded.program import free_port
from headrace_executor import events
from headrace_executor.engine.pipeline import RunPipeline
from headrace_executor.model import RunKind
from headrace_llm import app
from headrace_llm.settings import LlmSettings
from headrace_llm.usage import Usage
from pydantic import SecretStr

from tests.support import agui
from tests.support.executor_fakes import (
    NOW,
    FakeCel,
    FakeJournal,
    FakePlanner,
    FakeRag,
    FakeRouter,
    FakeSessions,
    claimed,
)
from tests.support.simulator_server import SimulatorServer, simulator_server
from tests.support.toolbox import FakeToolbox, tool

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:litellm")
GRADES = {"type": "object", "properties": {"class_id": {"type": "string"}}, "required": ["class_id"]}
TOOLS = ["school.grades", "calculator"]


@pytest.fixture(scope="module")
def provider() -> Iterator[SimulatorServer]:
    with simulator_server(free_port()) as server:
        server.change(rpm=6000, latency={"first_token_s": 0.01, "sigma": 0})
        yield server


async def compose(base_url: str, redis_url: str, folder: Path, **node: Any) -> tuple[Any, FakeJournal, FakeToolbox]:
    """Run one compose node with tools and return its output."""
    file = folder / "models.yaml"
    file.write_text(f"models:\n  sim:\n    model: openai/sim\n    api_base: {base_url}\n")
    toolbox = FakeToolbox([tool("school.grades", GRADES)], {"school.grades": _grades})
    blueprint = {
        "version": 1,
        "name": "agent",
        "nodes": [{"id": "a", "kind": "compose", "tools": TOOLS, **node}],
        "output": "${nodes.a.output}",
    }
    async with app.model_client(LlmSettings(models_file=file, redis_url=SecretStr(redis_url))) as models:
        pipeline = RunPipeline(
            router=FakeRouter(),
            planner=FakePlanner(None),
            rag=FakeRag(),
            models=models,
            sessions=FakeSessions(),
            cel=FakeCel(),
            toolbox=toolbox,
            now=lambda: NOW,
        )
        journal = FakeJournal(claimed({"blueprint": blueprint}, kind=RunKind.PAGE))
        outcome = await pipeline.run(journal)
    return outcome.output["output"], journal, toolbox


def _grades(arguments: Mapping[str, Any]) -> Any:
    return {"class": arguments["class_id"], "mean": 2.5}


async def test_a_model_calls_two_tools_one_after_the_other_and_tells_what_they_said(
    provider: SimulatorServer, redis_url: str, tmp_path: Path
) -> None:
    prompt = "Ask school.grades for class_id=c7, then the calculator for expression=2+3"
    output, journal, toolbox = await compose(provider.base_url, redis_url, tmp_path, prompt=prompt)
    assert output == 'The tools say: {"class":"c7","mean":2.5} and {"value":5,"text":"5"}'
    assert [(one.arguments, one.call_id) for one in toolbox.calls] == [({"class_id": "c7"}, "r1:node:a#1.0")]
    agui.check(journal.finish(events.run_error("internal", "the test is over")))
    assert agui.text(journal.events, "r1:a") == output
    assert set(journal.log.steps) == {"node:a", "node:a#1", "node:a#1.0", "node:a#2", "node:a#2.0"}
    assert sum((step.usage for step in journal.log.steps.values()), Usage()).total.llm_calls == 3


async def test_with_a_schema_the_answer_is_its_json(provider: SimulatorServer, redis_url: str, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"mean": {"type": "integer", "minimum": 3}}, "required": ["mean"]}
    output, journal, toolbox = await compose(
        provider.base_url, redis_url, tmp_path, prompt="Ask school.grades for class_id=c7", schema=schema
    )
    assert output == {"mean": 3}
    assert len(toolbox.calls) == 1
    assert sum((step.usage for step in journal.log.steps.values()), Usage()).total.llm_calls == 3
