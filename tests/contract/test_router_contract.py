"""RouterService against its proto, over a real in-process server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from headrace.router.v1 import router_pb2, router_pb2_grpc
from headrace_llm import errors as llm_errors
from headrace_router import app
from headrace_router.settings import Settings
from headrace_runtime import channels, errors, serve

from tests.support.models import ScriptedModels

TIMEOUT_S = 10.0


@pytest.fixture
def models() -> ScriptedModels:
    return ScriptedModels(otherwise='{"intent": "qa"}')


@pytest.fixture
async def stub(models: ScriptedModels) -> AsyncIterator[router_pb2_grpc.RouterServiceAsyncStub]:
    """A client of the service that has the packaged examples and compares by words alone."""
    settings = Settings()
    endpoint = app.endpoint(settings, app.make_neighbourhood(settings), models)
    server, _, port = await serve.start(serve.Service((endpoint,)), settings.listen)
    async with channels.open_channel(f"127.0.0.1:{port}") as channel:
        yield router_pb2_grpc.RouterServiceStub(channel)
    await server.stop(grace=None)


async def route(
    stub: router_pb2_grpc.RouterServiceAsyncStub, *, timeout_s: float = TIMEOUT_S, **fields: object
) -> router_pb2.RouteResponse:
    request = router_pb2.RouteRequest(**({"tenant_id": "acme"} | fields))  # type: ignore[arg-type]
    return await channels.unary(stub.Route, request, timeout_s=timeout_s)


@pytest.mark.parametrize("mode", [value for value in router_pb2.Intent.values() if value])
async def test_each_mode_is_its_intent(stub: router_pb2_grpc.RouterServiceAsyncStub, mode: router_pb2.Intent) -> None:
    response = await route(stub, message="anything", mode=mode)
    assert (response.intent, response.decided_by, response.confidence) == (mode, router_pb2.DECIDED_BY_RULES, 1)


async def test_blueprint_page_and_slash_decide_by_rules(stub: router_pb2_grpc.RouterServiceAsyncStub) -> None:
    carried = await route(stub, message="run it", has_blueprint=True)
    changed = await route(stub, message="把标题改成成绩", has_page=True)
    slashed = await route(stub, message="/qa leave")
    assert [carried.intent, changed.intent, slashed.intent] == [
        router_pb2.INTENT_BUILD,
        router_pb2.INTENT_PATCH,
        router_pb2.INTENT_QA,
    ]
    assert {carried.decided_by, changed.decided_by, slashed.decided_by} == {router_pb2.DECIDED_BY_RULES}


async def test_a_plain_wish_is_decided_by_neighbours_at_no_cost(
    stub: router_pb2_grpc.RouterServiceAsyncStub, models: ScriptedModels
) -> None:
    response = await route(stub, message="出十道选择题,附答案")
    assert (response.intent, response.decided_by) == (router_pb2.INTENT_QUIZ, router_pb2.DECIDED_BY_EMBEDDING)
    assert 0.4 <= response.confidence <= 1
    assert response.usage.llm_calls == 0
    assert models.requests == []


async def test_what_is_like_nothing_known_is_decided_by_the_model(
    stub: router_pb2_grpc.RouterServiceAsyncStub, models: ScriptedModels
) -> None:
    response = await route(stub, message="zzyzx qwfp")
    assert (response.intent, response.decided_by) == (router_pb2.INTENT_QA, router_pb2.DECIDED_BY_MODEL)
    assert response.usage.models["small"].llm_calls == 1
    assert len(models.requests) == 1


async def test_history_reaches_the_model(stub: router_pb2_grpc.RouterServiceAsyncStub, models: ScriptedModels) -> None:
    turns = [router_pb2.Turn(role="user", text="volcanoes"), router_pb2.Turn(role="assistant", text="Shall I test you?")]
    await route(stub, message="yes, do it", history=turns)
    assert "Shall I test you?" in models.requests[0].messages[-1].content


@pytest.mark.parametrize(
    "error",
    [
        llm_errors.Throttled("429", retry_after_s=9),
        llm_errors.ProviderUnavailable("away"),
        llm_errors.CallTimeout("slow"),
        llm_errors.ProviderAuth("key"),
    ],
)
async def test_a_model_that_fails_is_never_the_callers_error(
    stub: router_pb2_grpc.RouterServiceAsyncStub, models: ScriptedModels, error: Exception
) -> None:
    models.otherwise = error
    response = await route(stub, message="zzyzx qwfp")
    assert response.decided_by == router_pb2.DECIDED_BY_EMBEDDING
    assert response.intent != router_pb2.INTENT_UNSPECIFIED
    assert response.confidence < 0.5


async def test_a_caller_in_a_hurry_gets_the_best_neighbour_in_time(
    stub: router_pb2_grpc.RouterServiceAsyncStub, models: ScriptedModels
) -> None:
    response = await route(stub, message="zzyzx qwfp", timeout_s=0.25)
    assert response.decided_by == router_pb2.DECIDED_BY_EMBEDDING
    assert models.requests == []


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"message": ""}, ["message"]),
        ({"message": " \n\t "}, ["message"]),
        ({"message": "x" * 32_769}, ["message"]),
        ({"message": "hi", "mode": 99}, ["mode"]),
        ({"message": "hi", "history": [router_pb2.Turn(role="user", text="a")] * 9}, ["history"]),
        ({"message": "", "mode": 99}, ["message", "mode"]),
    ],
)
async def test_a_wrong_request_is_refused_with_its_fields(
    stub: router_pb2_grpc.RouterServiceAsyncStub, fields: dict[str, Any], wrong: list[str]
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await route(stub, **fields)
    assert [violation.field for violation in caught.value.violations] == wrong


async def test_the_longest_message_and_history_are_taken(stub: router_pb2_grpc.RouterServiceAsyncStub) -> None:
    turns = [router_pb2.Turn(role="assistant", text="y" * 32_768)] * 8
    response = await route(stub, message="汉" * 32_768, history=turns)
    assert response.intent != router_pb2.INTENT_UNSPECIFIED


async def test_a_call_without_a_deadline_is_answered(stub: router_pb2_grpc.RouterServiceAsyncStub) -> None:
    response = await stub.Route(router_pb2.RouteRequest(tenant_id="acme", message="zzyzx qwfp"))
    assert response.decided_by == router_pb2.DECIDED_BY_MODEL


def test_the_service_is_named_as_the_contract_names_it() -> None:
    assert app.SERVICE == "headrace.router.v1.RouterService"
    assert grpc.StatusCode.INVALID_ARGUMENT is errors.InvalidArgument.code
