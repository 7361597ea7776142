"""Server-sent events over ASGI: framing, headers, heartbeats, slow and absent readers. It knows no run and no gRPC."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from headrace_runtime import errors
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headrace_edge import metrics
from headrace_edge.auth import Caller
from headrace_edge.limits import Streams
from headrace_edge.ports import Event

RETRY = b"retry: 2000\n"
"""Opens the first event's block: alone in a block, some clients take it for an event without data."""
HEARTBEAT = b":\n"
"""A comment; without a blank line for the same reason."""
ABORT_EXTENSION = "headrace.abort"
"""ASGI extension; its `call` resets the connection without waiting for its buffers."""
LEAVE_KEY = "headrace.leave"
"""Scope key: a function to call once the request is an open stream and no longer a request in work."""

log = structlog.get_logger()


def frame(events: Sequence[Event]) -> bytes:
    """Events as they go over the wire."""
    return b"".join([b"id: %d\ndata: %b\n\n" % (event.seq, event.data) for event in events])


def _nothing(_: errors.ServiceError) -> bytes:
    return b""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a stream's items look on the wire."""

    frame: Callable[[Sequence[Any]], bytes]
    opening: bytes = b""
    """Sent with the headers."""
    farewell: Callable[[errors.ServiceError], bytes] = _nothing
    """What an error after the headers looks like."""
    resumable: bool = False
    """Whether its reader can come back for the rest: then it ends when the process is to."""


AG_UI = Dialect(frame, RETRY, resumable=True)


@dataclass(frozen=True, slots=True)
class Timing:
    """How a stream keeps time, in seconds."""

    heartbeat_s: float
    send_timeout_s: float
    open_s: float


@dataclass(frozen=True, slots=True)
class Source:
    """What a stream reads."""

    run_id: str
    """"" for none."""
    batches: AsyncGenerator[Sequence[Any], None]
    wait_for_first: bool
    """Whether the headers wait a moment for the first batch: then an error has its own status, and an end without any
    event is 204, which tells an EventSource to stop."""
    abandoned: Callable[[str], Awaitable[None]] | None = None
    """Called with the run's id when the reader leaves before the end; it does not raise."""


class _SlowReader(Exception):
    """A send took too long."""


class _Outlet:
    """Sends one response's parts, each within the time limit."""

    def __init__(self, send: Send, run_id: str, timeout_s: float) -> None:
        self._send = send
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._run_id = run_id
        self.started = False
        self.busy = False
        self.sent_at = self._loop.time()

    async def start(self, scope: Scope) -> None:
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        if self._run_id:
            headers.append((b"x-run-id", self._run_id.encode("latin-1", "replace")))
        self.started = True
        leave = scope.get(LEAVE_KEY)
        if leave is not None:
            leave()
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def write(self, data: bytes, *, more: bool = True) -> None:
        if more and not data:
            return
        self.busy = True
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except TimeoutError as error:
            raise _SlowReader from error
        finally:
            self.busy = False
        self.sent_at = self._loop.time()
        metrics.STREAM_BYTES.inc(len(data))


class EventStream(Response):
    """A response that opens a source, then sends its events until they end or the reader is gone.

    Whatever `open_source` raises becomes a problem like any other.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        *,
        streams: Streams,
        caller: Caller,
        timing: Timing,
        open_source: Callable[[], Awaitable[Source]],
        dialect: Dialect = AG_UI,
    ) -> None:
        super().__init__()
        self._dialect = dialect
        self._streams = streams
        self._caller = caller
        self._timing = timing
        self._open_source = open_source
        self._leash: asyncio.Timeout | None = None
        self._cause = ""

    def end(self, cause: str) -> None:
        """End the stream soon, for a reason that the metric names."""
        if self._cause or (cause == "drain" and not self._dialect.resumable):
            return
        self._cause = cause
        if self._leash is not None:
            self._leash.reschedule(asyncio.get_running_loop().time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream."""
        with self._streams.place(self._caller, self):
            source = await self._open_source()
            outlet = _Outlet(send, source.run_id, self._timing.send_timeout_s)
            try:
                async with aclosing(source.batches):
                    await self._attended(source, outlet, scope, receive)
                await self._close(outlet, scope, send)
            except _SlowReader:
                self._cause = "slow_reader"
            metrics.STREAM_ENDS.labels(self._cause).inc()
            if self._cause == "reader_gone" and source.abandoned is not None:
                await source.abandoned(source.run_id)
            if self._cause == "slow_reader":
                metrics.SLOW_READERS.inc()
                await abort(scope, receive)

    async def _attended(self, source: Source, outlet: _Outlet, scope: Scope, receive: Receive) -> None:
        """Pump until the events end, with a second task that beats and notices when the reader goes."""
        try:
            async with asyncio.timeout(0 if self._cause else None) as self._leash:
                attendant = asyncio.create_task(self._attend(outlet, receive), name="sse-attend")
                try:
                    await self._pump(source, outlet, scope)
                    self._cause = self._cause or "finished"
                finally:
                    self._leash = None
                    attendant.cancel()
        except TimeoutError:
            if not self._cause:
                raise
        except errors.ServiceError as error:
            if not outlet.started:
                raise
            self._cause = self._cause or "source"
            log.warning("stream_broken", run_id=source.run_id, reason=error.reason)
            await outlet.write(self._dialect.farewell(error))

    async def _pump(self, source: Source, outlet: _Outlet, scope: Scope) -> None:
        if source.wait_for_first:
            first = asyncio.ensure_future(_first(source.batches))
            try:
                await asyncio.wait({first}, timeout=self._timing.open_s)
                if first.done() and not first.result():
                    return
                await outlet.start(scope)
                await outlet.write(self._dialect.opening)
                await self._write_batch(outlet, await first)
            finally:
                first.cancel()
                await asyncio.wait({first})  # what still reads the source would keep it from being closed
        else:
            await outlet.start(scope)
            await outlet.write(self._dialect.opening)
        async for batch in source.batches:
            await self._write_batch(outlet, batch)

    async def _write_batch(self, outlet: _Outlet, batch: Sequence[Any]) -> None:
        if batch:
            await outlet.write(self._dialect.frame(batch))
            metrics.STREAM_EVENTS.inc(len(batch))

    async def _attend(self, outlet: _Outlet, receive: Receive) -> None:
        loop, beat_s = asyncio.get_running_loop(), self._timing.heartbeat_s
        while True:
            due = outlet.sent_at + beat_s
            if due <= loop.time():
                if outlet.started and not outlet.busy:
                    await self._beat(outlet)
                due = loop.time() + beat_s
            try:
                async with asyncio.timeout_at(due):
                    message = await receive()
            except TimeoutError:
                continue
            if message["type"] == "http.disconnect":
                self.end("reader_gone")
                return

    async def _beat(self, outlet: _Outlet) -> None:
        try:
            await outlet.write(HEARTBEAT)
        except _SlowReader:
            self.end("slow_reader")

    async def _close(self, outlet: _Outlet, scope: Scope, send: Send) -> None:
        if self._cause == "slow_reader":
            return
        if not outlet.started and self._cause == "finished":
            await send({"type": "http.response.start", "status": 204, "headers": [(b"cache-control", b"no-store")]})
            await send({"type": "http.response.body", "body": b""})
            return
        if not outlet.started:
            await outlet.start(scope)
        await outlet.write(b"", more=False)


async def _first(batches: AsyncIterator[Sequence[Any]]) -> Sequence[Any]:
    """The first batch, an empty one when there is none."""
    async for batch in batches:
        return batch
    return ()


async def abort(scope: Scope, receive: Receive) -> None:
    """Reset the connection, and wait until the server knows."""
    extension = scope.get("extensions", {}).get(ABORT_EXTENSION)
    if extension is None:
        return
    extension["call"]()
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            while (await receive())["type"] != "http.disconnect":
                continue
