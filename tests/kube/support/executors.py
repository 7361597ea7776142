"""Executors on the wire: real gRPC servers that answer QueueSignals, and nothing else, with what a test sets."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as pb_grpc
from headrace_cli.embedded import program


class Executor(pb_grpc.ExecutorServiceServicer):
    """One executor. `silent` makes it refuse."""

    def __init__(self, fleet: "Executors", address: str) -> None:
        self._fleet = fleet
        self.address = address
        self.running_here = 0
        self.silent = False

    async def QueueSignals(self, request: pb.QueueSignalsRequest, context: Any) -> pb.QueueSignalsResponse:  # noqa: N802
        """What the fleet tells, and this one's own runs."""
        if self.silent or self._fleet.silent:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "silent")
        answer = self._fleet.answer(running_here=self.running_here)
        answer.time.FromNanoseconds(time.time_ns())
        return answer


class Executors:
    """Several executors that tell of one queue and one gate."""

    def __init__(self, addresses: list[str], port: int) -> None:
        self.queued, self.running, self.slots = 0, 0, 4
        self.rpm, self.throttled, self.seconds_per_call = 600.0, 0.0, 8.0
        self.silent = False
        self.asked = 0
        self.each = [Executor(self, address) for address in addresses]  # type: ignore[abstract]
        self.target = ",".join(f"{address}:{port}" for address in addresses)

    def answer(self, **own: Any) -> pb.QueueSignalsResponse:
        """The answer of one of them."""
        self.asked += 1
        return pb.QueueSignalsResponse(
            queued_standard=self.queued,
            running=self.running,
            slots_per_replica=self.slots,
            replicas=len(self.each),
            default_model="qwen",
            models=[
                pb.ModelSignals(
                    model="qwen",
                    effective_rpm=self.rpm,
                    configured_rpm=self.rpm,
                    throttled_ratio=self.throttled,
                    seconds_per_call=self.seconds_per_call,
                    shared=True,
                )
            ],
            **own,
        )


@asynccontextmanager
async def open_executors(count: int = 1) -> AsyncIterator[Executors]:
    """So many executors at 127.0.0.1, 127.0.0.2, … on one port."""
    port = program.free_port()
    fleet = Executors([f"127.0.0.{n + 1}" for n in range(count)], port)
    async with AsyncExitStack() as stack:
        for one in fleet.each:
            server = grpc.aio.server()
            pb_grpc.add_ExecutorServiceServicer_to_server(one, server)
            server.add_insecure_port(f"{one.address}:{port}")
            await server.start()
            stack.push_async_callback(server.stop, None)
        yield fleet
