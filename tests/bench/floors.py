"""The floors: what the bare libraries do on this machine, in this run, for the same traffic."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import grpc
import uvicorn
import uvloop
from headrace.router.v1 import router_pb2, router_pb2_grpc
from headrace_cli.embedded.program import free_port


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast something went."""

    per_s: float
    cpu_ms: float
    """CPU of this process (client and server are one here) per item."""


async def _rate(call: Callable[[], Awaitable[object]], *, items: int, concurrency: int) -> Rate:
    left = iter(range(items))

    async def worker() -> None:
        for _ in left:
            await call()

    started, cpu = time.perf_counter(), sum(os.times()[:2])
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    seconds, used = time.perf_counter() - started, sum(os.times()[:2]) - cpu
    return Rate(items / seconds, used / items * 1000)


async def grpc_unary(concurrency: int) -> Rate:
    """A bare grpc.aio call that answers at once."""

    class Answers(router_pb2_grpc.RouterServiceServicer):
        async def Route(self, request: router_pb2.RouteRequest, ctx: object) -> router_pb2.RouteResponse:  # noqa: N802
            return router_pb2.RouteResponse()

    server = grpc.aio.server()
    router_pb2_grpc.add_RouterServiceServicer_to_server(Answers(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)
        request = router_pb2.RouteRequest(message="x" * 100)
        rate = await _rate(lambda: stub.Route(request), items=2_000, concurrency=concurrency)
    await server.stop(None)
    return rate


async def asyncpg_insert(url: str, concurrency: int) -> Rate:
    """One row and its commit."""
    async with asyncpg.create_pool(url, min_size=concurrency, max_size=concurrency) as pool:
        await pool.execute("CREATE TABLE IF NOT EXISTS floor (id bigint GENERATED ALWAYS AS IDENTITY, data bytea)")
        rate = await _rate(
            lambda: pool.execute("INSERT INTO floor (data) VALUES ($1)", b"x" * 200), items=2_000, concurrency=concurrency
        )
        await pool.execute("DROP TABLE floor")
    return rate


class BareSse:
    """A bare ASGI application that streams `events` server-sent events at once, then holds the stream if told to."""

    def __init__(self, events: int) -> None:
        self.events = events
        self.hold = asyncio.Event()

    async def __call__(
        self, scope: dict[str, object], receive: Callable[[], Awaitable[object]], send: Callable[..., Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number in range(self.events):
            await send({"type": "http.response.body", "body": b"id: %d\ndata: {}\n\n" % number, "more_body": True})
        if scope["path"] == "/hold":
            await self.hold.wait()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def serve_bare(app: BareSse, port: int = 0) -> AsyncGenerator[int, None]:
    """Serve it with uvicorn, on a free port unless one is given, for as long as the iterator lives."""
    port = port or free_port()
    config = uvicorn.Config(
        app, port=port, log_level="error", access_log=False, lifespan="off", loop="uvloop", http="httptools"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0)
    try:
        yield port
    finally:
        app.hold.set()
        server.should_exit = True
        await task


async def _serve_for_ever(port: int) -> None:
    async for _ in serve_bare(BareSse(1), port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve_for_ever(int(sys.argv[1])))
