"""The clients of router, planner and rag against real in-process servers of their contracts."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import orjson
import pytest
from headrace.planner.v1 import planner_pb2, planner_pb2_grpc
from headrace.rag.v1 import rag_pb2, rag_pb2_grpc
from headrace.router.v1 import router_pb2, router_pb2_grpc
from headrace_blueprint.tools import CALCULATOR, Tool
from headrace_executor.adapters.planner_client import PlannerClient
from headrace_executor.adapters.rag_client import RagClient
from headrace_executor.adapters.router_client import RouterClient
from headrace_executor.engine.retrying import until_deadline
from headrace_executor.ports import Entity, Found, Passage, Planned, Routed, Turn
from headrace_llm.usage import Usage
from headrace_runtime import channels, errors, serve

from tests.support.executor_fakes import PAID, claimed

RUN = claimed({})


class Router(router_pb2_grpc.RouterServiceServicer):
    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def Route(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked.append(request)
        return router_pb2.RouteResponse(
            intent=router_pb2.INTENT_QA,
            confidence=0.5,
            decided_by=router_pb2.DECIDED_BY_MODEL,
            usage=PAID.to_proto(),
        )


class Planner(planner_pb2_grpc.PlannerServiceServicer):
    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.blueprint = b'{"name":"x"}'
        self.origin = planner_pb2.ORIGIN_REPAIRED

    async def Plan(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked.append(request)
        return planner_pb2.PlanResponse(blueprint=self.blueprint, origin=self.origin, warnings=["w"], usage=PAID.to_proto())


class Rag(rag_pb2_grpc.RagServiceServicer):
    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.failures: list[Exception] = []

    async def Search(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked.append(request)
        if self.failures:
            raise self.failures.pop(0)
        return rag_pb2.SearchResponse(
            chunks=[
                rag_pb2.Chunk(document_id="d", title="T", text="x", score=0.0),
                rag_pb2.Chunk(document_id="e", title="", text="y"),
            ],
            entities=[rag_pb2.Entity(name="n", kind="k", description="d")],
            relations=[rag_pb2.Relation(source="a", target="b", keywords="k", description="d")],
        )

    async def Ingest(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked.append(request)
        document = rag_pb2.Document(document_id=request.document_id, state=rag_pb2.DOCUMENT_STATE_READY, chunks=3)
        document.create_time.FromJsonString("2026-01-02T03:04:05Z")
        return rag_pb2.IngestResponse(document=document, usage=PAID.to_proto())


class World:
    """One server with the three services, and a channel to it."""

    def __init__(self) -> None:
        self.router, self.planner, self.rag = Router(), Planner(), Rag()  # type: ignore[abstract]
        self.service = serve.Service(
            (
                serve.Endpoint(
                    "headrace.router.v1.RouterService", self.router, router_pb2_grpc.add_RouterServiceServicer_to_server
                ),
                serve.Endpoint(
                    "headrace.planner.v1.PlannerService",
                    self.planner,
                    planner_pb2_grpc.add_PlannerServiceServicer_to_server,
                ),
                serve.Endpoint("headrace.rag.v1.RagService", self.rag, rag_pb2_grpc.add_RagServiceServicer_to_server),
            )
        )
        self.channel: grpc.aio.Channel


@pytest.fixture
async def world() -> AsyncIterator[World]:
    value = World()
    server, _, port = await serve.start(value.service, "127.0.0.1:0")
    async with channels.open_channel(f"127.0.0.1:{port}") as channel:
        value.channel = channel
        yield value
    await server.stop(None)


async def test_routes(world: World) -> None:
    routed = await RouterClient(world.channel).route(
        RUN, message="m", mode="auto", has_blueprint=True, history=[Turn("user", "before")]
    )
    assert routed == Routed("qa", 0.5, "model", PAID)
    (asked,) = world.router.asked
    assert (asked.tenant_id, asked.message, asked.has_blueprint) == ("t1", "m", True)
    assert asked.mode == router_pb2.INTENT_UNSPECIFIED
    assert asked.history[0].text == "before"


async def test_an_explicit_mode_is_passed_on(world: World) -> None:
    await RouterClient(world.channel).route(RUN, message="m", mode="quiz", has_blueprint=False, history=())
    assert world.router.asked[0].mode == router_pb2.INTENT_QUIZ


async def plan(world: World) -> Planned:
    return await PlannerClient(world.channel).plan(
        RUN, intent="build", message="m", workspace="w", model="", tools=("time",), sources=("s",), history=()
    )


async def test_plans(world: World) -> None:
    assert await plan(world) == Planned({"name": "x"}, "repaired", ("w",), PAID)
    (asked,) = world.planner.asked
    assert (asked.intent, list(asked.tools), list(asked.sources)) == (router_pb2.INTENT_BUILD, ["time"], ["s"])


async def test_the_planner_is_told_of_tools_and_of_the_records_that_names_stand_for(world: World) -> None:
    schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
    await PlannerClient(world.channel).plan(
        RUN,
        intent="build",
        message="m",
        workspace="w",
        model="",
        tools=(),
        sources=(),
        history=(),
        tool_specs=[Tool("school.grades", "The grades of a class.", schema), CALCULATOR],
        entities=[Entity("class", 7, "3B", "３ｂ"), Entity("student", "s1", "Mia", "mia")],
    )
    (asked,) = world.planner.asked
    assert (asked.tool_specs[0].name, asked.tool_specs[0].description) == ("school.grades", "The grades of a class.")
    assert [orjson.loads(one.input_schema) for one in asked.tool_specs] == [schema, dict(CALCULATOR.input_schema)]
    told = [(one.kind, orjson.loads(one.id), one.name, one.text) for one in asked.entities]
    assert told == [("class", 7, "3B", "３ｂ"), ("student", "s1", "Mia", "mia")]


async def test_a_plan_that_was_made_before_says_so(world: World) -> None:
    world.planner.origin = planner_pb2.ORIGIN_REUSED
    assert (await plan(world)).origin == "reused"


async def test_a_plan_that_is_no_json_is_an_error_of_the_planner(world: World) -> None:
    world.planner.blueprint = b"{"
    with pytest.raises(errors.InternalError):
        await plan(world)


async def search(world: World, mode: str = "mix") -> Found:
    return await RagClient(world.channel).search(RUN, query="q", workspace="w", mode=mode, top_k=3)


async def test_searches(world: World) -> None:
    found = await search(world)
    assert found.chunks == (Passage("d", "T", "x", 0.0), Passage("e", "", "y", None))
    assert found.entities == ({"name": "n", "kind": "k", "description": "d"},)
    assert found.relations[0]["source"] == "a"
    assert world.rag.asked[0].mode == rag_pb2.SEARCH_MODE_MIX
    assert orjson.dumps(found.entities)


async def test_an_unknown_workspace_finds_nothing(world: World) -> None:
    world.rag.failures = [errors.NotFound("no such workspace")]
    assert await search(world) == Found((), (), (), Usage())


async def test_an_unknown_mode_is_refused_before_the_call(world: World) -> None:
    with pytest.raises(errors.InvalidArgument, match="naive"):
        await search(world, "psychic")
    assert not world.rag.asked


async def test_errors_keep_their_kind_and_when_to_come_back(world: World) -> None:
    world.rag.failures = [errors.ResourceExhausted("full", retry_after_s=4)]
    with pytest.raises(errors.ResourceExhausted) as caught:
        await search(world)
    assert caught.value.retry_after_s == 4


async def test_reads_a_document(world: World) -> None:
    document, usage = await RagClient(world.channel).ingest(RUN, document_id="d9", title="T", text="x", workspace="")
    assert document["document_id"] == "d9"
    assert document["status"] == "ready"
    assert document["created_at"] == "2026-01-02T03:04:05Z"
    assert document["updated_at"] is None
    assert usage == PAID


async def test_a_service_that_is_started_again_is_waited_for() -> None:
    world = World()
    server, _, port = await serve.start(world.service, "127.0.0.1:0")
    async with channels.open_channel(f"127.0.0.1:{port}") as channel:
        client = RouterClient(channel, attempt_s=1.0)

        async def ask() -> Routed:
            return await client.route(RUN, message="m", mode="", has_blueprint=False, history=())

        await ask()
        await server.stop(None)
        waiting = asyncio.create_task(until_deadline(ask, part="the router", deadline_s=20))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.3)
        again, _, _ = await serve.start(world.service, f"127.0.0.1:{port}")
        assert (await waiting).intent == "qa"
    await again.stop(None)
