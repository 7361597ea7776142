"""Serves the application with uvicorn until a signal, then drains: announced, streams ended, requests finished."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import prometheus_client
import structlog
import uvicorn
import uvloop
from headrace_runtime import logs, serve, settings, telemetry

from headrace_edge import app, auth, http_protocol
from headrace_edge.limits import Streams
from headrace_edge.settings import Settings

ENDS_PER_STEP = 100
"""Streams ended at once while draining; their clients come back elsewhere in as many steps."""
STEP_S = 0.05

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to us."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def main() -> None:
    """Serve until SIGTERM or SIGINT. A wrong setting, keys file or address is one line and exit code 2 or 1."""
    values = settings.load(Settings)
    logs.configure("edge", values.log_level)
    telemetry.configure("edge", values.otlp_endpoint)
    try:
        sock = bind(values.listen)
    except OSError as error:
        sys.exit(f"HEADRACE_EDGE_LISTEN: cannot listen on {values.listen}: {error.strerror}")
    code = 0
    try:
        uvloop.run(_until_signal(values, sock))
    except auth.KeysFileError as error:
        print(f"HEADRACE_EDGE_API_KEYS_FILE: {error}", file=sys.stderr)
        code = settings.EXIT_CODE
    except Exception:
        log.exception("ended")
        code = 1
    serve.leave(code)


async def _until_signal(values: Settings, sock: socket.socket) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    if values.metrics_listen:
        host, _, port = values.metrics_listen.rpartition(":")
        prometheus_client.start_http_server(int(port), addr=host or "::")
    async with serving(values, sock) as running:
        log.info("serving", port=sock.getsockname()[1])
        stopped = asyncio.create_task(stop.wait(), name="signal")
        await asyncio.wait({stopped, running.task}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        log.info("draining", seconds=values.drain_s)
    log.info("stopped")


@dataclass(frozen=True, slots=True)
class Running:
    """An edge that serves."""

    application: app.Application
    task: "asyncio.Task[None]"
    """Ends when the server does; early only when it failed."""


def bind(listen: str) -> socket.socket:
    """A socket bound to HOST:PORT. Raises OSError."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named, or asyncio leaves Nagle's algorithm on: 40 ms for each answer of two writes.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, int(port)))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


@asynccontextmanager
async def serving(values: Settings, sock: socket.socket) -> AsyncIterator[Running]:
    """Serve on a bound socket inside the block; drain at its end, for at most `drain_s`."""
    async with app.application(values) as application:
        server = _Server(_config(values, application))
        task = asyncio.create_task(server.serve(sockets=[sock]), name="http")
        try:
            await server.ready.wait()
            yield Running(application, task)
            application.drain.announce()
            await asyncio.sleep(values.drain_notice_s)
        finally:
            application.drain.begin()
            server.should_exit = True
            await _end_streams(application.streams)
            await task


async def _end_streams(streams: Streams) -> None:
    opened = streams.opened()
    for start in range(0, len(opened), ENDS_PER_STEP):
        for stream in opened[start : start + ENDS_PER_STEP]:
            stream.end("drain")
        await asyncio.sleep(STEP_S)


def _config(values: Settings, application: app.Application) -> uvicorn.Config:
    protocol = http_protocol.limited(
        max_header_bytes=2 * values.max_header_bytes,
        sender_timeout_s=values.header_timeout_s,
        max_connections=values.max_connections,
        reader_timeout_s=values.stream_send_timeout_s,
    )
    return uvicorn.Config(
        application.asgi,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=4096,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, int(values.drain_s)),
    )
