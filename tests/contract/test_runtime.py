"""What every service inherits: errors, ids, health, reflection and drain, seen through real gRPC."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from headrace.router.v1 import router_pb2, router_pb2_grpc
from headrace_runtime import channels, context, errors, serve

NAME = "headrace.router.v1.RouterService"


class Scripted(router_pb2_grpc.RouterServiceServicer):
    """Answers as it is told."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.seen_request_id = ""

    async def Route(self, request: router_pb2.RouteRequest, ctx: Any) -> router_pb2.RouteResponse:  # noqa: N802
        self.seen_request_id = context.request_id()
        if self.error is not None:
            raise self.error
        return router_pb2.RouteResponse(confidence=0.5)


@asynccontextmanager
async def running(servicer: Scripted) -> AsyncIterator[grpc.aio.Channel]:
    endpoint = serve.Endpoint(NAME, servicer, router_pb2_grpc.add_RouterServiceServicer_to_server)
    server, _, port = await serve.start(serve.Service((endpoint,)), "127.0.0.1:0")
    channel = channels.open_channel(f"127.0.0.1:{port}")
    try:
        yield channel
    finally:
        await channel.close()
        await server.stop(None)


async def route(channel: grpc.aio.Channel) -> router_pb2.RouteResponse:
    return await channels.unary(router_pb2_grpc.RouterServiceStub(channel).Route, router_pb2.RouteRequest(), timeout_s=5)


@pytest.mark.parametrize("cls", errors.ServiceError.__subclasses__())
async def test_an_error_arrives_as_it_was_raised(cls: type[errors.ServiceError]) -> None:
    violation = errors.Violation("message", "must not be empty")
    raised = cls("why", reason="A_REASON", retry_after_s=1.5, violations=(violation,))

    async with running(Scripted(raised)) as channel:
        with pytest.raises(cls) as caught:
            await route(channel)

    got = caught.value
    assert (got.message, got.reason, got.retry_after_s, got.violations) == ("why", "A_REASON", 1.5, (violation,))


async def test_what_nobody_foresaw_becomes_internal_and_tells_nothing() -> None:
    async with running(Scripted(KeyError("a secret"))) as channel:
        with pytest.raises(errors.InternalError) as caught:
            await route(channel)

    assert "secret" not in caught.value.message


async def test_the_request_id_travels_with_the_call() -> None:
    servicer = Scripted()
    context.enter_request("abc-1")

    async with running(servicer) as channel:
        await route(channel)

    assert servicer.seen_request_id == "abc-1"


async def test_health_and_reflection_name_the_service() -> None:
    async with running(Scripted()) as channel:
        checks = health_pb2_grpc.HealthStub(channel)
        for name in ("", NAME):
            answer = await checks.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        async for answer in stub.ServerReflectionInfo(iter([ask]), timeout=5):
            assert NAME in {service.name for service in answer.list_services_response.service}


async def test_a_call_that_nobody_answers_ends_at_its_deadline() -> None:
    class Silent(Scripted):
        async def Route(self, request: router_pb2.RouteRequest, ctx: Any) -> router_pb2.RouteResponse:  # noqa: N802
            await asyncio.Event().wait()
            raise AssertionError

    async with running(Silent()) as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)
        with pytest.raises(errors.DeadlineExceeded):
            await channels.unary(stub.Route, router_pb2.RouteRequest(), timeout_s=0.05)


async def test_a_service_that_is_away_is_unavailable() -> None:
    channel = channels.open_channel("127.0.0.1:1")
    try:
        with pytest.raises(errors.Unavailable):
            await route(channel)
    finally:
        await channel.close()
