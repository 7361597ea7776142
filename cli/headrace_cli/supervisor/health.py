"""Whether a service answers: the gRPC health service, and the edge's readiness. Each call takes under a second."""

import http.client

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from headrace_cli.embedded.program import accepts
from headrace_cli.supervisor.ports import HOST

TIMEOUT_S = 0.8


def grpc_serving(port: int) -> bool:
    """Whether the server on this port says SERVING for itself as a whole."""
    if not accepts(port):
        return False
    with grpc.insecure_channel(f"{HOST}:{port}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        try:
            answer = check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def http_ready(port: int) -> bool:
    """Whether the edge says that it and what it needs is ready."""
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/api/health/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
