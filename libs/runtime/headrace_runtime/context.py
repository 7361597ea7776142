"""What travels beside a call: request id, run id and trace, in gRPC metadata, in logs and across awaits."""

import re
import uuid
from contextvars import ContextVar

import structlog
from opentelemetry import propagate

REQUEST_ID_KEY = "x-request-id"
"""Metadata key and HTTP header of the request id."""

_VALID = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
_request_id: ContextVar[str] = ContextVar("headrace_request_id", default="")


def request_id() -> str:
    """The id of the request that this task works for, "" for none."""
    return _request_id.get()


def enter_request(candidate: str | None) -> str:
    """Make `candidate` this task's request id, or a new one when it is absent or malformed, and return it."""
    value = candidate if candidate and _VALID.match(candidate) else uuid.uuid4().hex
    _request_id.set(value)
    structlog.contextvars.bind_contextvars(request_id=value)
    return value


def enter_run(run_id: str) -> None:
    """Write `run_id` on every log line of this task from here on."""
    structlog.contextvars.bind_contextvars(run_id=run_id)


def metadata() -> tuple[tuple[str, str], ...]:
    """The metadata of an outgoing call: the request id and, when tracing is on, the W3C trace context."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    value = _request_id.get()
    return ((REQUEST_ID_KEY, value), *carrier.items()) if value else tuple(carrier.items())


def traceparent() -> str:
    """The W3C `traceparent` of the current span, "" when there is none."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent", "")
