"""A run that has a slot and waits at the gate, on real Postgres and Valkey: its readers hear of it while it waits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from headrace.executor.v1 import executor_pb2 as pb
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.pipeline import RunPipeline
from headrace_executor.model import ClaimedRun
from headrace_executor.ports import Planned
from headrace_llm.app import model_client, model_parts
from headrace_llm.client import ChatRequest, Message, ModelClient
from headrace_llm.registry import Limits as ModelLimits
from headrace_llm.registry import ModelEntry, Registry
from headrace_llm.settings import LlmSettings
from pydantic import SecretStr

from tests.support import agui
from tests.support.executor_durable import Executor, executor, settings
from tests.support.executor_fakes import FakeCel, FakePlanner, FakeRag, FakeRouter, FakeSessions
from tests.support.openai_server import openai_server

PAGE: dict[str, Any] = {
    "version": 1,
    "name": "two",
    "inputs": {"properties": {"x": {"type": "string"}}},
    "nodes": [
        {"id": "one", "kind": "compose", "prompt": "first ${inputs.x}"},
        {"id": "two", "kind": "compose", "prompt": "then ${inputs.x}"},
    ],
    "output": "${nodes.two.output}",
}
SUM = {"id": "sum", "kind": "data", "tool": "calculator", "args": {"expression": "2 * 3"}}


@asynccontextmanager
async def paced(postgres_url: str, redis_url: str, *, rpm: float | None) -> AsyncIterator[Executor]:
    """An executor whose model, behind the whole library, lets so many calls through."""
    async with openai_server() as server:
        entry = ModelEntry(id="m", model="openai/m", api_base=server.base_url, limits=ModelLimits(rpm=rpm))
        llm = LlmSettings(models_file=Path("unused"), redis_url=SecretStr(redis_url))
        async with model_client(llm, Registry.of([entry])) as models:
            pipeline = RunPipeline(
                router=FakeRouter(),
                planner=FakePlanner(PAGE),
                rag=FakeRag(),
                models=models,
                sessions=FakeSessions(),
                cel=FakeCel(),
                limits=Limits(notice_s=0.2),
            )
            async with executor(settings(postgres_url, redis_url), pipeline, models) as one:
                yield one


async def page(one: Executor, x: str) -> list[dict[str, Any]]:
    """The whole log of a run of `PAGE`."""
    body = orjson.dumps({"blueprint": PAGE, "inputs": {"x": x}})
    run = await one.submit(kind=pb.RUN_KIND_PAGE, body=body)
    return await one.log(run.run_id)


def queued(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event["value"] for event in log if event.get("name") == "headrace.queued" and "step" in event["value"]]


async def test_readers_of_a_running_run_hear_that_a_step_waits_for_the_quota(postgres_url: str, redis_url: str) -> None:
    async with paced(postgres_url, redis_url, rpm=15) as one:
        log = await page(one, "a")
        again = await page(one, "a")
    agui.check(log)
    assert log[-1]["type"] == "RUN_FINISHED"
    notices = queued(log)
    assert {(notice["position"], notice["limited_by"]) for notice in notices} == {(1, "quota")}
    assert all(0 < notice["expected_wait_s"] < 4 for notice in notices)
    (step,) = {notice["step"] for notice in notices}
    at = next(n for n, event in enumerate(log) if event.get("name") == "headrace.queued" and "step" in event["value"])
    said = [n for n, event in enumerate(log) if event.get("delta") and event.get("messageId", "").endswith(step[5:])]
    assert min(said) > at
    agui.check(again)
    assert not queued(again), "an answer of the cache waits for nobody"


async def test_a_run_that_finds_the_gate_open_hears_of_no_queue(postgres_url: str, redis_url: str) -> None:
    async with paced(postgres_url, redis_url, rpm=None) as one:
        log = await page(one, "a")
    agui.check(log)
    assert not queued(log)


async def test_a_run_that_the_gate_turns_away_says_when_the_gate_would_have_room(postgres_url: str, redis_url: str) -> None:
    hurried = {**PAGE, "nodes": [{**node, "timeout_s": 10} for node in PAGE["nodes"]]}
    async with paced(postgres_url, redis_url, rpm=1) as one:
        body = orjson.dumps({"blueprint": hurried, "inputs": {"x": "a"}})
        run = await one.submit(kind=pb.RUN_KIND_PAGE, body=body)
        log = await one.log(run.run_id)
        failed = await one.get(run.run_id)
    agui.check(log)
    assert (log[-1]["type"], log[-1]["code"]) == ("RUN_ERROR", "quota")
    assert 10 < log[-1]["metadata"]["retry_after_s"] < 61
    assert 10 < failed.error.retry_after_s < 61
    ends = {event["stepName"]: event.get("metadata") for event in log if event["type"] == "STEP_FINISHED"}
    assert {"done": False} in ends.values()


class AskingPlanner(FakePlanner):
    """A planner in another process: it asks the model twice, for the run, before it has a plan."""

    def __init__(self, blueprint: Any, models: ModelClient) -> None:
        super().__init__(blueprint)
        self._models = models

    async def plan(self, run: ClaimedRun, **asked: Any) -> Planned:
        for number in range(2):
            request = ChatRequest((Message("user", f"plan {number}"),), run.tenant_id, 60.0, purpose="plan")
            await self._models.complete(run.call_context.applied(request))
        return await super().plan(run, **asked)


async def test_readers_hear_that_a_step_waits_in_another_service(postgres_url: str, redis_url: str) -> None:
    async with openai_server() as server:
        limits = ModelLimits(rpm=15)
        registry = Registry.of([ModelEntry(id="m", model="openai/m", api_base=server.base_url, limits=limits)])
        llm = LlmSettings(models_file=Path("unused"), redis_url=SecretStr(redis_url))
        async with model_parts(llm, registry) as own, model_client(llm, registry) as planners:
            pipeline = RunPipeline(
                router=FakeRouter(),
                planner=AskingPlanner({**PAGE, "nodes": [SUM], "output": "${nodes.sum.output}"}, planners),
                rag=FakeRag(),
                models=own.client,
                sessions=FakeSessions(),
                cel=FakeCel(),
                waits=own.waits,
                limits=Limits(notice_s=0.2),
            )
            async with executor(settings(postgres_url, redis_url), pipeline, own.client) as one:
                log = await one.log((await one.submit(message="plan it")).run_id)
    agui.check(log)
    assert log[-1]["type"] == "RUN_FINISHED", log[-1]
    notices = queued(log)
    assert {(notice["step"], notice["position"], notice["limited_by"]) for notice in notices} == {("plan", 1, "quota")}
    assert all(0 <= notice["expected_wait_s"] < 4 for notice in notices)
