"""Long silences, too slow for every run: `python -m pytest tests/load`."""

import asyncio
from typing import Any

import pytest
from headrace.router.v1 import router_pb2, router_pb2_grpc
from headrace_runtime import channels, serve

SILENCE_S = 130
"""A server that counts a client's pings as abuse closes the connection after about 100 s of silence."""


@pytest.mark.timeout(SILENCE_S + 60)
async def test_a_call_lives_through_a_long_silence() -> None:
    class Slow(router_pb2_grpc.RouterServiceServicer):
        async def Route(self, request: router_pb2.RouteRequest, ctx: Any) -> router_pb2.RouteResponse:  # noqa: N802
            await asyncio.sleep(SILENCE_S)
            return router_pb2.RouteResponse(confidence=1)

    name = "headrace.router.v1.RouterService"
    endpoint = serve.Endpoint(name, Slow(), router_pb2_grpc.add_RouterServiceServicer_to_server)
    server, _, port = await serve.start(serve.Service((endpoint,)), "127.0.0.1:0")
    channel = channels.open_channel(f"127.0.0.1:{port}")
    route = router_pb2_grpc.RouterServiceStub(channel).Route
    try:
        answer = await channels.unary(route, router_pb2.RouteRequest(), timeout_s=SILENCE_S + 30)
        assert answer.confidence == 1
    finally:
        await channel.close()
        await server.stop(None)
