"""The one way to start a gRPC service: settings, logs, traces, metrics, health, reflection, drain."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import grpc
import prometheus_client
import structlog
import uvloop
from grpc_health.v1 import _async as aio_health
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from headrace_runtime import channels, interceptors, logs, telemetry
from headrace_runtime.settings import EXIT_CODE, InvalidSettings, ServiceSettings, load

SERVER_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", channels.MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", channels.MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Our clients ping through long silences; without these a connection is closed after a hundred seconds of one.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),
    # A client looks for new replicas when a connection ends, so none lasts; calls in it go on.
    ("grpc.max_connection_age_ms", 60_000),
    ("grpc.max_connection_age_grace_ms", 3_600_000),
)
STOP_GRACE_S = 1.0
"""How long calls may go on once a service has drained by itself."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One gRPC service of a process."""

    full_name: str
    """Such as headrace.router.v1.RouterService, for health and reflection."""
    servicer: Any
    add: Callable[[Any, grpc.aio.Server], None]
    """The generated add_…Servicer_to_server."""


@dataclass(frozen=True, slots=True)
class Service:
    """What `main` serves."""

    endpoints: tuple[Endpoint, ...]
    drain: Callable[[], Awaitable[None]] | None = None
    """Called after SIGTERM once health says NOT_SERVING, while calls still run: stop taking work, finish what is in hand.
    It must return within `drain_s`; it is cancelled then. Without it, no new call is taken and those in hand have `drain_s`
    to end."""
    failed: asyncio.Future[None] | None = None
    """When this future gets an exception, the process ends: a background task that must not die has died."""


S = TypeVar("S", bound=ServiceSettings)


def main(name: str, settings_class: type[S], build: Callable[[S], AbstractAsyncContextManager[Service]]) -> None:
    """Run one service until SIGTERM or SIGINT, or until its `failed` future says otherwise (exit code 1).

    Wrong settings, `InvalidSettings` raised by `build` included, end it with their faults on standard error and code 2.
    """
    settings = load(settings_class)
    logs.configure(name, settings.log_level)
    telemetry.configure(name, settings.otlp_endpoint)
    code = 0
    try:
        uvloop.run(_serve(name, settings, build))
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        code = EXIT_CODE
    except Exception:
        log.exception("ended")
        code = 1
    leave(code)


def leave(code: int) -> NoReturn:
    """End the process once everything of ours is closed and flushed.

    The interpreter's own teardown of the large libraries takes seconds, and a pod's grace is short.
    """
    telemetry.flush()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _serve(name: str, settings: S, build: Callable[[S], AbstractAsyncContextManager[Service]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    if settings.metrics_listen:
        host, _, metrics_port = settings.metrics_listen.rpartition(":")
        prometheus_client.start_http_server(int(metrics_port), addr=host or "::")
    async with build(settings) as service:
        server, checks, port = await start(service, settings.listen)
        log.info("serving", port=port)
        stopped = asyncio.create_task(stop.wait(), name="signal")
        waits: set[asyncio.Future[Any]] = {stopped}
        if service.failed is not None:
            waits.add(service.failed)
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        log.info("draining", seconds=settings.drain_s)
        await _drain(service, server, checks, settings.drain_s)
        stopped.cancel()
        if service.failed is not None and service.failed.done():
            service.failed.result()
    log.info("stopped")


async def start(service: Service, listen: str) -> tuple[grpc.aio.Server, aio_health.HealthServicer, int]:
    """Start a server with health and reflection and return it with its health servicer and the port that it got."""
    server = grpc.aio.server(
        interceptors=[*telemetry.server_interceptors(), interceptors.Boundary()], options=SERVER_OPTIONS
    )
    checks = aio_health.HealthServicer()
    for endpoint in service.endpoints:
        endpoint.add(endpoint.servicer, server)
        await checks.set(endpoint.full_name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    names = (*(e.full_name for e in service.endpoints), health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    port = server.add_insecure_port(listen)
    await server.start()
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    return server, checks, port


async def _drain(service: Service, server: grpc.aio.Server, checks: aio_health.HealthServicer, seconds: float) -> None:
    await checks.enter_graceful_shutdown()
    if service.drain is None:
        await server.stop(grace=seconds)
        return
    try:
        async with asyncio.timeout(seconds):
            await service.drain()
    except TimeoutError:
        log.warning("drain_incomplete", seconds=seconds)
    await server.stop(grace=STOP_GRACE_S)
