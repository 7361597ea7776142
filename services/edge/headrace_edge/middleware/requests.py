"""The outermost layer: request id, trace, one log line, metrics, and a problem for what nobody handled."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from headrace_runtime import context, telemetry
from opentelemetry import context as otel
from opentelemetry import propagate, trace
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace_edge import metrics, problems
from headrace_edge.policy import INTERNAL_DETAIL, Problem

UNMATCHED = "unmatched"
HEALTH = "/api/health"
"""Probes ask below it all the time: no log line, no span."""
CALLER_KEY = "headrace.caller"
"""Scope key of the authenticated `auth.Caller`."""

TRACE_HEADERS = ("traceparent", "tracestate")
"""All that is taken over from a client's trace; its baggage would travel to every service."""
INTERNAL = 500

log = structlog.get_logger()
tracer = trace.get_tracer("headrace_edge")


class RequestMiddleware:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and account for it."""
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        request_id = context.enter_request(headers.get(context.REQUEST_ID_KEY)).encode()
        status, answered = 0, 0.0

        async def answer(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], time.perf_counter()
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        with _span(scope, headers) as span:
            try:
                await self._app(scope, receive, answer)
            except Exception as error:
                log.error("request_failed", route=_route(scope), exc_info=error)
                if not status:
                    problem = Problem(500, "INTERNAL", INTERNAL_DETAIL)
                    await problems.response(problem, scope["path"])(scope, receive, answer)
            route = _route(scope)
            if span is not None:
                _describe(span, scope["method"], route, status)
            metrics.REQUESTS.labels(route, scope["method"], status).inc()
            metrics.SECONDS.labels(route).observe((answered or time.perf_counter()) - started)
            _log(scope, route, status, started)


def _log(scope: Scope, route: str, status: int, started: float) -> None:
    write = log.debug if route.startswith(HEALTH) or route == "/metrics" else log.info
    caller = scope.get(CALLER_KEY)
    write(
        "request",
        method=scope["method"],
        route=route,
        status=status,
        ms=round((time.perf_counter() - started) * 1000, 2),
        tenant=caller.tenant if caller else "",
    )


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", UNMATCHED))


@contextmanager
def _span(scope: Scope, headers: Headers) -> Iterator[trace.Span | None]:
    """Continue the client's trace, with a span of our own when traces are exported."""
    carrier = {key: headers[key] for key in TRACE_HEADERS if key in headers}
    if not telemetry.enabled() or scope["path"].startswith(HEALTH):
        token = otel.attach(propagate.extract(carrier)) if carrier else None
        try:
            yield None
        finally:
            if token is not None:
                otel.detach(token)
        return
    remote = propagate.extract(carrier)
    with telemetry.span(tracer, scope["method"], kind=trace.SpanKind.SERVER, parent=remote) as span:
        yield span


def _describe(span: trace.Span, method: str, route: str, status: int) -> None:
    span.update_name(f"{method} {route}")
    span.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": status})
    if status >= INTERNAL:
        telemetry.failed(span, str(status))
