"""uvicorn's HTTP protocol with the limits that it lacks: endless headers, silent connections, readers that never read."""

import asyncio
import socket
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headrace_edge import metrics
from headrace_edge.sse import ABORT_EXTENSION


class BoundedHttp(HttpToolsProtocol):
    """One connection. `limited` makes the class that carries the limits."""

    max_header_bytes: ClassVar[int]
    header_timeout_s: ClassVar[float]
    max_connections: ClassVar[int]
    unread_timeout_s: ClassVar[float]

    _in_headers = True
    _header_bytes = 0
    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse one connection too many; bound how long sent bytes may stay unread and headers may take."""
        if len(self.connections) >= self.max_connections:
            metrics.CONNECTIONS_REFUSED.labels("too_many").inc()
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self.unread_timeout_s * 1000))
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._headers_done()
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
        """Begin counting, and give the application a way to reset the connection."""
        super().on_message_begin()
        self._expect_headers()
        self.scope["extensions"] = {ABORT_EXTENSION: {"call": self.transport.abort}}

    def on_headers_complete(self) -> None:
        """End counting."""
        self._headers_done()
        super().on_headers_complete()

    def _expect_headers(self) -> None:
        self._in_headers = True
        self._header_bytes = 0
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(self.header_timeout_s, self._refuse, "header_timeout")

    def _headers_done(self) -> None:
        self._in_headers = False
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _refuse(self, cause: str) -> None:
        self._headers_done()
        metrics.CONNECTIONS_REFUSED.labels(cause).inc()
        self.transport.abort()


def limited(
    *, max_header_bytes: int, header_timeout_s: float, max_connections: int, unread_timeout_s: float
) -> type[BoundedHttp]:
    """The protocol class with these limits."""
    limits: dict[str, Any] = {
        "max_header_bytes": max_header_bytes,
        "header_timeout_s": header_timeout_s,
        "max_connections": max_connections,
        "unread_timeout_s": unread_timeout_s,
    }
    return type("LimitedHttp", (BoundedHttp,), limits)
