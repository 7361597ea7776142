"""Outgoing gRPC: channels that balance, keep alive and retry, and calls that always have a deadline."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

import grpc
import orjson

from headrace_runtime import context, errors, telemetry

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""Largest message that a service of ours sends or takes."""

_RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.05s",
    "maxBackoff": "1s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.enable_retries", 1),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A name is asked again when a connection ends; gRPC would otherwise use up to half a minute old answers.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # It would widen each stream's window to what is fast, 4 MiB and more, and a reader who stops would have it full.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)

Response = TypeVar("Response")


def open_channel(target: str, *, once: Sequence[str] = ()) -> grpc.aio.Channel:
    """Open a channel inside the running loop; whoever opens it closes it.

    `target` is a gRPC name (`dns:///executor:50051`, `127.0.0.1:50051`) or several addresses with commas between. `once`
    are methods, such as `headrace.router.v1.RouterService/Route`, that the channel never repeats: an answer that is lost
    does not tell whether the call was served.
    """
    name = f"ipv4:{target}" if "," in target else target
    options = (*OPTIONS, ("grpc.service_config", _service_config(once)))
    return grpc.aio.insecure_channel(name, options=options, interceptors=list(telemetry.client_interceptors()))


def _service_config(once: Sequence[str]) -> str:
    methods: list[dict[str, Any]] = [{"name": [{}], "retryPolicy": _RETRY}]
    for one in once:
        service, _, method = one.partition("/")
        methods.append({"name": [{"service": service, "method": method}]})
    return orjson.dumps({"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": methods}).decode()


async def unary(
    method: grpc.aio.UnaryUnaryMultiCallable[Any, Response], request: Any, *, timeout_s: float, wait_for_ready: bool = False
) -> Response:
    """Call a unary method with this task's request id and trace.

    Raises the `errors.ServiceError` that the service answered with. `wait_for_ready` lets the call wait for a
    connection until its deadline instead of failing at once.
    """
    try:
        return await method(request, timeout=timeout_s, metadata=context.metadata(), wait_for_ready=wait_for_ready)
    except grpc.aio.AioRpcError as error:
        raise errors.from_rpc(error) from error


async def stream(
    method: grpc.aio.UnaryStreamMultiCallable[Any, Response], request: Any, *, timeout_s: float | None
) -> AsyncIterator[Response]:
    """Iterate over a streaming method's answers; closing the iterator cancels the call. Raises as `unary` does."""
    call = method(request, timeout=timeout_s, metadata=context.metadata())
    try:
        async for response in call:
            yield response
    except grpc.aio.AioRpcError as error:
        raise errors.from_rpc(error) from error
    finally:
        call.cancel()
