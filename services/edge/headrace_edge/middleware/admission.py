"""Limits on a request before anybody works on it: header bytes, body bytes, requests in work, and the process's own end."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace_edge import metrics, problems
from headrace_edge.draining import Drain
from headrace_edge.limits import Work
from headrace_edge.policy import Problem, Refused
from headrace_edge.sse import LEAVE_KEY

_CLOSE = {"connection": "close"}


class AdmissionMiddleware:
    """Lets a request in or answers with a problem. Health is always let in."""

    def __init__(self, app: ASGIApp, *, work: Work, drain: Drain, max_header_bytes: int, max_body_bytes: int) -> None:
        self._app = app
        self._work = work
        self._drain = drain
        self._max_header_bytes = max_header_bytes
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, count and pass on."""
        if scope["path"].startswith("/api/health"):
            await self._app(scope, receive, send)
            return
        problem = self._refusal(scope)
        if problem is not None:
            await problems.response(problem, scope["path"])(scope, receive, send)
            return
        try:
            self._work.enter()
        except Refused as error:
            await problems.response(error.problem, scope["path"])(scope, receive, send)
            return
        held = True

        def leave() -> None:
            nonlocal held
            if held:
                held = False
                self._work.leave()

        scope[LEAVE_KEY] = leave
        try:
            await self._app(scope, _Limited(receive, self._max_body_bytes), send)
        finally:
            leave()

    def _refusal(self, scope: Scope) -> Problem | None:
        if self._drain.begun.done():
            return Problem(503, "DRAINING", "this server is stopping", retry_after_s=1, headers=_CLOSE)
        size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        length = 0
        for name, value in scope["headers"]:
            size += len(name) + len(value) + 4
            if name == b"content-length" and value.isdigit():
                length = int(value)
        if size > self._max_header_bytes:
            metrics.REFUSED.labels("header_bytes").inc()
            detail = f"the headers are larger than {self._max_header_bytes} bytes"
            return Problem(431, "HEADERS_TOO_LARGE", detail)
        if length > self._max_body_bytes:
            return too_large(self._max_body_bytes)
        return None


def too_large(limit: int) -> Problem:
    """The body passes the limit; counted. The connection stays, or a client that still sends would never read this."""
    metrics.REFUSED.labels("body_bytes").inc()
    return Problem(413, "BODY_TOO_LARGE", f"the body is larger than {limit} bytes")


class _Limited:
    """A `receive` that counts the body's bytes, chunked or not, and raises Refused (413) past the limit."""

    __slots__ = ("_limit", "_receive", "_seen")

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._seen = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._seen > self._limit:
                raise Refused(too_large(self._limit))
        return message
