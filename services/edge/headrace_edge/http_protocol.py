"""uvicorn's HTTP protocol with the limits that it lacks: endless headers, silent senders, bodies nobody wants, readers
that never read.
"""

import asyncio
import socket
import struct
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headrace_edge import metrics
from headrace_edge.sse import ABORT_EXTENSION

MAX_DISCARDED_BYTES = 64 * 1024 * 1024
"""How much of a body is read and thrown away after its request was refused, so that its sender gets to the answer."""


class BoundedHttp(HttpToolsProtocol):
    """One connection. `limited` makes the class that carries the limits."""

    max_header_bytes: ClassVar[int]
    sender_timeout_s: ClassVar[float]
    max_connections: ClassVar[int]
    reader_timeout_s: ClassVar[float]

    _in_headers = True
    _header_bytes = 0
    _in_body = False
    _discarded = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse one connection too many; bound how long sent bytes may stay unread and headers may take."""
        full = len(self.connections) >= self.max_connections
        super().connection_made(transport)
        if full:
            self._refuse("too_many")
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self.reader_timeout_s * 1000))
        self._expect("header_timeout")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._expected()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a request's line and headers while they are not whole."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > self.max_header_bytes:
                self._refuse("header_bytes")

    def on_message_begin(self) -> None:
        """Begin to count, and give the application a way to reset the connection."""
        super().on_message_begin()
        self._in_headers, self._header_bytes, self._discarded = True, 0, 0
        self._expect("header_timeout")
        self.scope["extensions"] = {ABORT_EXTENSION: {"call": self._reset}}

    def on_headers_complete(self) -> None:
        """Headers are whole."""
        self._expected()
        self._in_headers, self._in_body = False, True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Throw away a refused request's body, but not for ever."""
        super().on_body(body)
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > MAX_DISCARDED_BYTES:
                self._refuse("unwanted_body")

    def on_message_complete(self) -> None:
        """The body is whole."""
        self._in_body = False
        self._expected()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A body that still comes must end soon."""
        super().on_response_complete()
        if self._in_body:
            self._expect("unwanted_body")

    def _expect(self, cause: str) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.sender_timeout_s, self._refuse, cause)

    def _expected(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, cause: str) -> None:
        self._expected()
        metrics.CONNECTIONS_REFUSED.labels(cause).inc()
        self._reset()

    def _reset(self) -> None:
        """Close at once and free what the kernel still holds for the reader."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def limited(
    *, max_header_bytes: int, sender_timeout_s: float, max_connections: int, reader_timeout_s: float
) -> type[BoundedHttp]:
    """The protocol class with these limits."""
    limits: dict[str, Any] = {
        "max_header_bytes": max_header_bytes,
        "sender_timeout_s": sender_timeout_s,
        "max_connections": max_connections,
        "reader_timeout_s": reader_timeout_s,
    }
    return type("LimitedHttp", (BoundedHttp,), limits)
