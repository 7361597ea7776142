"""Asking back and answering through the service, on real Postgres: who may answer, and what the plan gets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from headrace.executor.v1 import executor_pb2 as pb
from headrace_executor.adapters.postgres.interruptions import InterruptionStore
from headrace_executor.engine.pipeline import RunPipeline
from headrace_executor.ports import Entity
from headrace_postgres.pool import open_pool
from headrace_tools.model import EntitySource

from tests.support import agui
from tests.support.executor_durable import Executor, executor, settings
from tests.support.executor_fakes import FakeCel, FakeModels, FakePlanner, FakeRag, FakeRouter, FakeSessions
from tests.support.toolbox import FakeToolbox, tool

CLASSES = [{"id": 31, "name": "3B", "year": 2024}, {"id": 32, "name": "3B", "year": 2025}]
PLAN = {
    "version": 1,
    "name": "report",
    "inputs": {"type": "object", "properties": {"entities": {"type": "object"}}},
    "nodes": [
        {"id": "a", "kind": "compute", "expr": "'class ' + string(inputs.entities.class.id)"},
    ],
    "output": "${nodes.a.output}",
}


@asynccontextmanager
async def school(postgres_url: str, redis_url: str) -> AsyncIterator[tuple[Executor, FakePlanner]]:
    """An executor whose tenants all have a school, and what its planner was asked."""
    planner = FakePlanner(PLAN)
    async with open_pool(postgres_url, application="test", size=1, statement_timeout_s=5, wait_s=5) as pool:
        pipeline = RunPipeline(
            router=FakeRouter("build"),
            planner=planner,
            rag=FakeRag(),
            models=FakeModels(),
            sessions=FakeSessions(),
            cel=FakeCel(),
            toolbox=FakeToolbox(
                [tool("school.classes")],
                {"school.classes": lambda _: CLASSES},
                [EntitySource("class", "school.classes", {}, "", "id", ("name",))],
            ),
            interruptions=InterruptionStore(pool),
        )
        async with executor(settings(postgres_url, redis_url), pipeline) as one:
            yield one, planner


async def answered(one: Executor, asking: pb.Run, payload: Any = 32, **fields: Any) -> pb.Run:
    """The run that answers another's question, when it has ended."""
    resume = [{"interrupt_id": f"{asking.run_id}:0", "status": "resolved", "payload": payload}]
    fields = {"session_id": asking.session_id, **fields}
    run = await one.submit(body=orjson.dumps({"resume": resume}), **fields)
    return await one.get(run.run_id, tenant=fields.get("tenant", "t"), wait_s=20)


async def test_a_run_asks_back_and_its_answer_plans_with_the_right_record(postgres_url: str, redis_url: str) -> None:
    async with school(postgres_url, redis_url) as (one, planner):
        asking = await one.submit(message="A report for 3B, please.")
        log = await one.log(asking.run_id)
        agui.check(log)
        assert log[-1]["outcome"]["type"] == "interrupt"
        (interrupt,) = log[-1]["outcome"]["interrupts"]
        assert interrupt["responseSchema"] == {"enum": [31, 32]}
        assert interrupt["id"] == f"{asking.run_id}:0"
        ended = await one.get(asking.run_id)
        assert ended.state == pb.RUN_STATE_SUCCEEDED
        assert orjson.loads(ended.output)["interrupts"] == [interrupt]
        assert not planner.calls
        done = await answered(one, asking)
        assert done.state == pb.RUN_STATE_SUCCEEDED
        assert orjson.loads(done.output)["reply"] == "class 32"
        (asked,) = planner.calls
        assert asked["message"] == "A report for 3B, please."
        assert asked["entities"] == (Entity("class", 32, "3B", "3B"),)
        agui.check(await one.log(done.run_id))
        again = await answered(one, asking, 31)
        assert orjson.loads(again.output)["reply"] == "class 31"
        request = pb.ListMessagesRequest(tenant_id="t", session_id=asking.session_id)
        said = [(m.role, m.text) for m in (await one.sessions.ListMessages(request)).messages]
        assert [text for _, text in said] == [
            "A report for 3B, please.",
            "Which class is meant by “3B”: 3B (year 2024) or 3B (year 2025)?",
            "class 32",
            "class 31",
        ]


async def test_nobody_else_can_answer(postgres_url: str, redis_url: str) -> None:
    async with school(postgres_url, redis_url) as (one, planner):
        asking = await one.submit(message="A report for 3B, please.")
        await one.get(asking.run_id, wait_s=20)
        own_session = await one.submit(tenant="other", message="hello 3B")
        await one.get(own_session.run_id, tenant="other", wait_s=20)
        of_another_tenant = await answered(one, asking, tenant="other", session_id=own_session.session_id)
        of_another_session = await answered(one, asking, session_id="")
        for refused in (of_another_tenant, of_another_session):
            assert refused.state == pb.RUN_STATE_FAILED
            assert "no run of this session asked that back" in refused.error.message
        assert not planner.calls


async def test_a_wrong_answer_fails_and_leaves_the_question_open(postgres_url: str, redis_url: str) -> None:
    async with school(postgres_url, redis_url) as (one, _):
        asking = await one.submit(message="A report for 3B, please.")
        await one.get(asking.run_id, wait_s=20)
        wrong = await answered(one, asking, "32")
        assert (wrong.state, wrong.error.code) == (pb.RUN_STATE_FAILED, "invalid_blueprint")
        assert "must be one of 31, 32" in wrong.error.message
        assert (await answered(one, asking)).state == pb.RUN_STATE_SUCCEEDED
