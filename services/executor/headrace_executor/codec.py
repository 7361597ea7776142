"""Between the wire's messages and our nouns. Pure."""

import base64
import binascii
import re
from datetime import datetime

import orjson
from google.protobuf.timestamp_pb2 import Timestamp
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import memories_pb2, workflows_pb2
from headrace_llm.client import ModelSignals
from headrace_llm.client import Priority as CallPriority
from headrace_runtime.errors import InvalidArgument, Violation

from headrace_executor.model import Priority, Run, RunKind, RunState
from headrace_executor.runs import ids
from headrace_executor.runs.costs import KindCost
from headrace_executor.runs.records import Session, SessionMessage

DEFAULT_PAGE = 50
MAX_PAGE = 200
MAX_NAME = 128
"""Characters of a tenant's or a request's id."""
MAX_STEP = 1024
"""Characters of a step's name."""
MAX_METADATA_BYTES = 16 * 1024

Writing = (
    memories_pb2.PutMemoryRequest
    | memories_pb2.DeleteMemoryRequest
    | workflows_pb2.PutWorkflowRequest
    | workflows_pb2.DeleteWorkflowRequest
)
"""What may be based on a revision."""

KINDS: dict[int, RunKind] = {pb.RunKind.Value(f"RUN_KIND_{kind.name}"): kind for kind in RunKind}
PRIORITIES: dict[int, Priority] = {pb.Priority.Value(f"PRIORITY_{one.name}"): one for one in Priority}
STATES: dict[int, RunState] = {pb.RunState.Value(f"RUN_STATE_{state.name}"): state for state in RunState}


def run(value: Run) -> pb.Run:
    """Encode a run."""
    message = pb.Run(
        run_id=value.run_id,
        tenant_id=value.tenant_id,
        session_id=value.session_id,
        kind=f"RUN_KIND_{value.kind.name}",
        state=f"RUN_STATE_{value.state.name}",
        priority=f"PRIORITY_{value.priority.name}",
        create_time=timestamp(value.created_at),
        attempt=value.attempt,
        output=value.output,
        usage=value.usage.to_proto(),
        last_seq=value.last_seq,
    )
    if value.started_at is not None:
        message.start_time.CopyFrom(timestamp(value.started_at))
    if value.finished_at is not None:
        message.end_time.CopyFrom(timestamp(value.finished_at))
    if value.error is not None:
        failure = value.error
        error = pb.RunError(code=failure.code.value, message=failure.message, retry_after_s=failure.retry_after_s)
        message.error.CopyFrom(error)
    return message


def session(value: Session) -> pb.Session:
    """Encode a session."""
    return pb.Session(
        session_id=value.session_id,
        tenant_id=value.tenant_id,
        title=value.title,
        metadata=value.metadata,
        create_time=timestamp(value.created_at),
        update_time=timestamp(value.updated_at),
    )


def message(value: SessionMessage) -> pb.Message:
    """Encode a message."""
    return pb.Message(
        message_id=value.message_id,
        role=value.role,
        text=value.text,
        run_id=value.run_id,
        create_time=timestamp(value.created_at),
    )


def signals(value: ModelSignals) -> pb.ModelSignals:
    """Encode one model's gate."""
    return pb.ModelSignals(
        model=value.model,
        granted_rpm=value.granted_rpm,
        effective_rpm=value.effective_rpm,
        queue_depth=value.queue_depth,
        oldest_wait_s=value.oldest_wait_s,
        throttled_ratio=value.throttled_ratio,
        seconds_per_call=value.seconds_per_call,
        configured_rpm=value.configured_rpm,
        queued_interactive=value.queued.get(CallPriority.INTERACTIVE, 0),
        queued_standard=value.queued.get(CallPriority.STANDARD, 0),
        queued_background=value.queued.get(CallPriority.BACKGROUND, 0),
        expected_wait_interactive_s=value.expected_wait_s.get(CallPriority.INTERACTIVE, 0.0),
        expected_wait_standard_s=value.expected_wait_s.get(CallPriority.STANDARD, 0.0),
        expected_wait_background_s=value.expected_wait_s.get(CallPriority.BACKGROUND, 0.0),
        cooling_s=value.cooling_s,
        shared=value.shared,
        breaker_open=value.breaker_open,
        cached_ratio=value.cached_ratio,
    )


def kind_signals(kind: RunKind, cost: KindCost) -> pb.KindSignals:
    """Encode what runs of a kind take."""
    return pb.KindSignals(kind=f"RUN_KIND_{kind.name}", calls_per_run=cost.calls, seconds_per_run=cost.seconds)


def timestamp(value: datetime) -> Timestamp:
    """Encode a time."""
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp


def tenant(tenant_id: str) -> str:
    """Check a tenant's id. Raises InvalidArgument."""
    return name("tenant_id", tenant_id, required=True)


def name(field: str, value: str, *, required: bool) -> str:
    """Check an opaque id of the caller's. Raises InvalidArgument."""
    if (required and not value) or len(value) > MAX_NAME or "\x00" in value:
        least = 1 if required else 0
        raise invalid(field, f"must have {least} to {MAX_NAME} characters, none of them NUL")
    return value


def step(value: str) -> str:
    """Check a step's name. Raises InvalidArgument."""
    if not value or len(value) > MAX_STEP or "\x00" in value:
        raise invalid("step", f"must have 1 to {MAX_STEP} characters, none of them NUL")
    return value


def metadata(data: bytes) -> bytes:
    """Check a caller's metadata: a JSON object, empty for none. Raises InvalidArgument."""
    if not data:
        return b"{}"
    if len(data) > MAX_METADATA_BYTES:
        raise invalid("metadata", f"must have at most {MAX_METADATA_BYTES} bytes")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise invalid("metadata", "must be JSON") from None
    if not isinstance(value, dict):
        raise invalid("metadata", "must be a JSON object")
    return data


def expected_revision(request: Writing) -> int | None:
    """The revision that a write is based on, 0 for none, None for whichever there is. Raises InvalidArgument."""
    if not request.HasField("expected_revision"):
        return None
    if request.expected_revision < 0:
        raise invalid("expected_revision", "must not be negative")
    return request.expected_revision


def page_size(value: int) -> int:
    """Read a page's size. Raises InvalidArgument."""
    if not 0 <= value <= MAX_PAGE:
        raise invalid("page_size", f"must be 0 to {MAX_PAGE}")
    return value or DEFAULT_PAGE


def page_token(position: str) -> str:
    """Make a token of the last item's position."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def page_position(token: str) -> str | None:
    """Read a token; None for the beginning. Raises InvalidArgument."""
    if not token:
        return None
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise invalid("page_token", "is no token of ours") from None


def page_key(token: str, pattern: re.Pattern[str]) -> str:
    """Read a token whose position is a name of the caller's; "" for the beginning. Raises InvalidArgument."""
    position = page_position(token)
    if position is None:
        return ""
    if not pattern.fullmatch(position):
        raise invalid("page_token", "is no token of ours")
    return position


def page_before(token: str) -> str | None:
    """Read a token whose position is an id. Raises InvalidArgument."""
    position = page_position(token)
    if position is None:
        return None
    parsed = ids.parse(position)
    if parsed is None:
        raise invalid("page_token", "is no token of ours")
    return parsed


def page_after(token: str) -> int:
    """Read a token whose position is a number. Raises InvalidArgument."""
    position = page_position(token)
    if position is None:
        return 0
    if not position.isascii() or not position.isdigit() or len(position) > 18:
        raise invalid("page_token", "is no token of ours")
    return int(position)


def invalid(field: str, message: str) -> InvalidArgument:
    """One wrong field."""
    return InvalidArgument(f"{field} {message}", violations=(Violation(field, message),))
