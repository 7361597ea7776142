"""JSON of any size over ASGI, passed on in pieces as they come. It knows no run and no gRPC."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from headrace_runtime import errors
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headrace_edge import metrics
from headrace_edge.sse import abort
from headrace_edge.waiting import disconnected

log = structlog.get_logger()


class Download(Response):
    """A response in pieces. What its source raises before the first one becomes a problem like any other.

    Afterwards the status is said: whatever breaks, or passes a limit, resets the connection, so that no reader takes a
    part for the whole.
    """

    media_type = "application/json"

    def __init__(self, pieces: AsyncGenerator[bytes, None], *, send_timeout_s: float, max_bytes: int) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._pieces = pieces
        self._send_timeout_s = send_timeout_s
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and stop asking for more when the client leaves."""
        sending = asyncio.create_task(self._send(send), name="download")
        gone = asyncio.create_task(disconnected(receive), name="download-attend")
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            cause = await sending if sending.done() else "reader_gone"
        finally:
            sending.cancel()
            gone.cancel()
            await asyncio.wait({sending, gone})
        if cause:
            metrics.DOWNLOADS_BROKEN.labels(cause).inc()
        if cause not in ("", "reader_gone"):
            log.warning("download_broken", cause=cause)
            await abort(scope, receive)

    async def _send(self, send: Send) -> str:
        """Send it all; why that broke off, "" when it did not."""
        async with aclosing(self._pieces) as pieces:
            first = await anext(pieces, b"")
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            return await self._pass_on(first, pieces, send)

    async def _pass_on(self, piece: bytes, pieces: AsyncGenerator[bytes, None], send: Send) -> str:
        """Send all pieces; why that broke off, "" when it did not."""
        sent = 0
        try:
            while piece:
                sent += len(piece)
                if sent > self._max_bytes:
                    return "too_large"
                async with asyncio.timeout(self._send_timeout_s):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                piece = await anext(pieces, b"")
            async with asyncio.timeout(self._send_timeout_s):
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            return "slow_reader"
        except errors.ServiceError:
            return "source"
        return ""
