"""Asks a service's gRPC health."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from headrace_runtime import channels, errors


class HealthProbe:
    """`readiness.Probe` of one service."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_s: float) -> None:
        self._stub = health_pb2_grpc.HealthStub(channel)
        self._timeout_s = timeout_s

    async def __call__(self) -> None:
        """Return when the whole service says SERVING. Raises ServiceError otherwise."""
        answer = await channels.unary(self._stub.Check, health_pb2.HealthCheckRequest(), timeout_s=self._timeout_s)
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise errors.Unavailable("it says that it is not serving")
