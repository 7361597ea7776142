"""Clients of a headless Service: new replicas are found, and calls in hand outlive both that and a stop."""

import asyncio
import socket
import struct
import sys
from typing import Any

import grpc
import pytest
from headrace.router.v1 import router_pb2, router_pb2_grpc
from headrace_runtime import channels, serve

NAME = "headrace.router.v1.RouterService"
FOUND_S = 30
"""Longest that a test waits for something to be found."""


class Counting(router_pb2_grpc.RouterServiceServicer):
    """Answers at once, and calls with a message only when told."""

    def __init__(self) -> None:
        self.calls = 0
        self.held = asyncio.Event()
        self.release = asyncio.Event()

    async def Route(self, request: router_pb2.RouteRequest, ctx: Any) -> router_pb2.RouteResponse:  # noqa: N802
        self.calls += 1
        if request.message:
            self.held.set()
            await self.release.wait()
        return router_pb2.RouteResponse(confidence=0.5)


class Names(asyncio.DatagramProtocol):
    """A DNS server that knows one name's addresses; they may change."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        question_end = data.index(b"\0", 12) + 5
        question, wants_a = data[12:question_end], data[question_end - 4 : question_end - 2] == b"\0\1"
        addresses = self.addresses if wants_a else ()
        head = struct.pack("!2sHHHHH", data[:2], 0x8580, 1, len(addresses), 0, 0)
        records = b"".join(
            b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton(address) for address in addresses
        )
        self._transport.sendto(head + question + records, addr)


async def served(servicer: Counting, listen: str) -> tuple[serve.Service, grpc.aio.Server, Any, int]:
    endpoint = serve.Endpoint(NAME, servicer, router_pb2_grpc.add_RouterServiceServicer_to_server)
    service = serve.Service((endpoint,))
    return service, *await serve.start(service, listen)


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of this machine on Linux alone")
async def test_a_replica_that_joins_later_gets_calls_and_those_in_hand_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    options = dict(serve.SERVER_OPTIONS)
    assert options["grpc.max_connection_age_ms"] <= 60_000
    options["grpc.max_connection_age_ms"] = 300  # this test's minute
    monkeypatch.setattr(serve, "SERVER_OPTIONS", tuple(options.items()))
    names, first, second = Names("127.0.0.1"), Counting(), Counting()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: names, ("127.0.0.1", 0))
    _, one, _, port = await served(first, "127.0.0.1:0")
    _, two, _, _ = await served(second, f"127.0.0.2:{port}")
    channel = channels.open_channel(f"dns://127.0.0.1:{transport.get_extra_info('sockname')[1]}/router.test:{port}")
    route = router_pb2_grpc.RouterServiceStub(channel).Route
    try:
        in_hand = asyncio.create_task(channels.unary(route, router_pb2.RouteRequest(message="hold"), timeout_s=FOUND_S))
        await first.held.wait()
        names.addresses = ("127.0.0.1", "127.0.0.2")
        async with asyncio.timeout(FOUND_S):
            while not second.calls:
                await channels.unary(route, router_pb2.RouteRequest(), timeout_s=5)
                await asyncio.sleep(0.01)
        first.release.set()
        assert (await in_hand).confidence == 0.5
    finally:
        await channel.close()
        await asyncio.gather(one.stop(None), two.stop(None))
        transport.close()


async def nothing_new_is_taken(route: Any) -> None:
    async with asyncio.timeout(FOUND_S):
        while True:
            try:
                await route(router_pb2.RouteRequest(), timeout=5)
            except grpc.aio.AioRpcError:
                return


async def test_a_service_without_a_drain_of_its_own_lets_calls_in_hand_end() -> None:
    servicer = Counting()
    service, server, checks, port = await served(servicer, "127.0.0.1:0")
    async with channels.open_channel(f"127.0.0.1:{port}") as channel:
        route = router_pb2_grpc.RouterServiceStub(channel).Route
        in_hand = asyncio.create_task(channels.unary(route, router_pb2.RouteRequest(message="hold"), timeout_s=FOUND_S))
        await servicer.held.wait()
        stopping = asyncio.create_task(serve._drain(service, server, checks, FOUND_S))
        await nothing_new_is_taken(route)
        assert not stopping.done()
        servicer.release.set()
        assert (await in_hand).confidence == 0.5
        await stopping
