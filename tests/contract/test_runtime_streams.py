"""How much of a stream is on its way to a reader who does not read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as pb_grpc
from headrace_runtime import channels, serve

NAME = "headrace.executor.v1.ExecutorService"
MESSAGE_BYTES = 256 * 1024
READ_FAST = 80
"""Messages that are read at once, so that gRPC may learn how much fits on the way."""
AHEAD_BYTES = 1024 * 1024
"""What may be on its way: a message at each end, and a window."""


class Talkative(pb_grpc.ExecutorServiceServicer):
    """Sends without end, as fast as it is let."""

    def __init__(self) -> None:
        self.sent = 0

    async def WatchRun(self, request: pb.WatchRunRequest, context: Any) -> AsyncIterator[pb.WatchRunResponse]:  # noqa: N802
        event = pb.Event(seq=1, data=b"x" * MESSAGE_BYTES)
        while True:
            yield pb.WatchRunResponse(events=[event])
            self.sent += 1


async def test_a_reader_that_stops_holds_its_source_back() -> None:
    source = Talkative()  # type: ignore[abstract]
    endpoint = serve.Endpoint(NAME, source, pb_grpc.add_ExecutorServiceServicer_to_server)
    server, _, port = await serve.start(serve.Service((endpoint,)), "127.0.0.1:0")
    channel = channels.open_channel(f"127.0.0.1:{port}")
    try:
        watch = channels.stream(pb_grpc.ExecutorServiceStub(channel).WatchRun, pb.WatchRunRequest(), timeout_s=60)
        async with aclosing(watch) as answers:  # type: ignore[type-var]
            for _ in range(READ_FAST):
                await anext(answers)
            seen = -1
            while seen != source.sent:
                seen = source.sent
                await asyncio.sleep(0.2)
            assert (source.sent - READ_FAST) * MESSAGE_BYTES <= AHEAD_BYTES
    finally:
        await channel.close()
        await server.stop(None)
