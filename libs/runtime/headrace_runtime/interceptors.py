"""The one interceptor of every server: request id in, metrics counted, errors out as google.rpc.Status."""

from __future__ import annotations  # gRPC's generic classes cannot be subscripted when the code runs

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import structlog
from prometheus_client import Counter, Histogram

from headrace_runtime import context, errors

HANDLED = Counter("headrace_grpc_server_handled_total", "Calls answered, by method and status code.", ["method", "code"])
SECONDS = Histogram(
    "headrace_grpc_server_seconds",
    "Seconds from a unary call's arrival to its answer.",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)

log = structlog.get_logger()

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Boundary(grpc.aio.ServerInterceptor):
    """Wraps each handler. A `ServiceError` becomes its status; anything else is logged once and becomes INTERNAL."""

    def __init__(self) -> None:
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the method's handler, wrapped once and kept."""
        method = handler_call_details.method
        known = self._wrapped.get(method)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming:
            return handler
        wrapped = _wrap_stream(handler, method) if handler.response_streaming else _wrap_unary(handler, method)
        self._wrapped[method] = wrapped
        return wrapped


def _wrap_unary(handler: Handler, method: str) -> Handler:
    behaviour: Any = handler.unary_unary
    seconds = SECONDS.labels(method)
    ok = HANDLED.labels(method, "OK")

    async def call(request: Any, ctx: Context) -> Any:
        started = time.perf_counter()
        _enter(ctx)
        try:
            response = await behaviour(request, ctx)
        except Exception as error:  # noqa: BLE001 - the one border where any failure becomes a status
            await _abort(ctx, method, error)
        else:
            ok.inc()
            return response
        finally:
            seconds.observe(time.perf_counter() - started)

    return grpc.unary_unary_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)


def _wrap_stream(handler: Handler, method: str) -> Handler:
    behaviour: Any = handler.unary_stream
    ok = HANDLED.labels(method, "OK")

    async def call(request: Any, ctx: Context) -> AsyncIterator[Any]:
        _enter(ctx)
        try:
            async for response in behaviour(request, ctx):
                yield response
        except Exception as error:  # noqa: BLE001 - the one border where any failure becomes a status
            await _abort(ctx, method, error)
        else:
            ok.inc()

    return grpc.unary_stream_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)


def _enter(ctx: Context) -> None:
    candidate = next((v for k, v in ctx.invocation_metadata() or () if k == context.REQUEST_ID_KEY), None)
    context.enter_request(candidate if isinstance(candidate, str) else None)


async def _abort(ctx: Context, method: str, error: Exception) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, asyncio.TimeoutError):
        error = errors.DeadlineExceeded("it took longer than the deadline allows")
    if not isinstance(error, errors.ServiceError):
        log.error("rpc_failed", method=method, exc_info=error)
        error = errors.InternalError("internal error; the service's log has the request id")
    HANDLED.labels(method, error.code.name).inc()
    ctx.set_code(error.code)
    await ctx.abort_with_status(errors.to_status(error))
