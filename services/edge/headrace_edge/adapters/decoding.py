"""Protobuf messages of the executor decoded into the edge's shapes. Pure."""

from datetime import UTC, datetime
from typing import Any, cast

import orjson
from google.protobuf import timestamp_pb2
from headrace.executor.v1 import executor_pb2 as pb
from headrace.llm.v1 import usage_pb2
from headrace_runtime import errors

from headrace_edge import policy, problems
from headrace_edge.model import (
    Failure,
    Message,
    ModelEntry,
    ModelState,
    ModelUsage,
    Run,
    RunKind,
    RunRecord,
    RunStatus,
    Session,
    Usage,
)


def usage(message: usage_pb2.Usage) -> Usage:
    """Decode what model calls cost."""
    return Usage(
        llm_calls=message.llm_calls,
        cached_calls=message.cached_calls,
        prompt_tokens=message.prompt_tokens,
        completion_tokens=message.completion_tokens,
        cost_usd=message.cost_usd if message.HasField("cost_usd") else None,
        models={name: model_usage(one) for name, one in message.models.items()},
    )


def model_usage(one: usage_pb2.ModelUsage) -> ModelUsage:
    """Decode one model's share, or that of a group of calls."""
    return ModelUsage(
        llm_calls=one.llm_calls,
        cached_calls=one.cached_calls,
        prompt_tokens=one.prompt_tokens,
        completion_tokens=one.completion_tokens,
        cost_usd=one.cost_usd if one.HasField("cost_usd") else None,
    )


def run(message: pb.Run) -> Run:
    """Decode a run."""
    created, started, finished = (
        time(message.create_time),
        _maybe_time(message, "start_time"),
        _maybe_time(message, "end_time"),
    )
    error = None
    if message.HasField("error"):
        problem = policy.problem_of_failure(message.error.code, message.error.message)
        error = {**problems.document(problem), "code": message.error.code}
    return Run(
        run_id=message.run_id,
        session_id=message.session_id,
        kind=cast("RunKind", pb.RunKind.Name(message.kind).removeprefix("RUN_KIND_").lower()),
        status=cast("RunStatus", pb.RunState.Name(message.state).removeprefix("RUN_STATE_").lower()),
        priority=pb.Priority.Name(message.priority).removeprefix("PRIORITY_").lower(),
        created_at=created,
        started_at=started,
        finished_at=finished,
        attempt=message.attempt,
        output=json_value(message.output),
        error=error,
        usage=usage(message.usage),
        timings=_timings(created, started, finished),
        last_event_id=message.last_seq,
    )


def _timings(created: datetime, started: datetime | None, finished: datetime | None) -> dict[str, float]:
    spans = {"queued_ms": (created, started), "running_ms": (started, finished), "total_ms": (created, finished)}
    return {
        name: round((b - a).total_seconds() * 1000, 3) for name, (a, b) in spans.items() if a is not None and b is not None
    }


def record(message: pb.Run) -> RunRecord:
    """Decode a run and why it failed."""
    failure = Failure(message.error.code, message.error.message) if message.HasField("error") else None
    return RunRecord(run(message), failure)


def session(one: pb.Session) -> Session:
    """Decode a conversation."""
    return Session(
        session_id=one.session_id,
        title=one.title,
        metadata=json_value(one.metadata) or {},
        created_at=time(one.create_time),
        updated_at=time(one.update_time),
    )


def turn(one: pb.Message) -> Message:
    """Decode a message."""
    return Message(
        message_id=one.message_id,
        role=one.role,
        text=one.text,
        run_id=one.run_id or None,
        created_at=time(one.create_time),
    )


def model(one: pb.Model) -> ModelEntry:
    """Decode one entry of the registry."""
    return ModelEntry(
        id=one.id,
        provider=one.provider,
        context=one.context_tokens,
        price={
            name: getattr(one, name) if one.HasField(name) else None
            for name in ("prompt_usd_per_million", "completion_usd_per_million")
        },
        limits={
            "requests_per_minute": one.requests_per_minute or None,
            "tokens_per_minute": one.tokens_per_minute or None,
        },
        fallbacks=list(one.fallbacks),
        state=state(one.state),
    )


def state(one: pb.ModelSignals) -> ModelState:
    """Decode a gate."""
    return ModelState(
        granted_rpm=one.granted_rpm,
        effective_rpm=one.effective_rpm,
        queue_depth=one.queue_depth,
        oldest_wait_s=one.oldest_wait_s,
        throttled_ratio=one.throttled_ratio,
        seconds_per_call=one.seconds_per_call,
        throttled=one.throttled_ratio > 0,
    )


def json_value(value: bytes) -> Any:
    """Parse JSON bytes, None for none. Raises InternalError."""
    if not value:
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise errors.InternalError("the executor's answer is not JSON") from error


def time(value: timestamp_pb2.Timestamp) -> datetime:
    """Decode a time, in UTC."""
    return value.ToDatetime(tzinfo=UTC)


def _maybe_time(run: pb.Run, name: Any) -> datetime | None:
    return time(getattr(run, name)) if run.HasField(name) else None
