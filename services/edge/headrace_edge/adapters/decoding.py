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
    PRIORITIES,
    Connector,
    Failure,
    Message,
    ModelUsage,
    Run,
    RunKind,
    RunRecord,
    RunStatus,
    Session,
    Skill,
    Usage,
)
from headrace_edge.quota.model import KindCost, ModelEntry, ModelState, Quota


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
    error, failure = None, _failure(message)
    if failure is not None:
        problem = policy.problem_of_failure(failure, now_s=datetime.now(UTC).timestamp())
        error = {**problems.document(problem), "code": failure.code}
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
    return RunRecord(run(message), _failure(message))


def _failure(message: pb.Run) -> Failure | None:
    if not message.HasField("error"):
        return None
    error, left_s = message.error, None
    if error.HasField("retry_after_s"):
        ended = _maybe_time(message, "end_time")
        since_s = (datetime.now(UTC) - ended).total_seconds() if ended is not None else 0.0
        left_s = max(0.0, error.retry_after_s - max(0.0, since_s))
    return Failure(error.code, error.message, left_s)


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


def tool(one: pb.Tool) -> Skill:
    """Decode a tool."""
    known: dict[str, Any] = {
        "name": one.name,
        "description": one.description,
        "input_schema": json_value(one.input_schema),
    }
    if not one.connector:
        return Skill(kind="tool", **known)
    return Skill(kind="connector", connector=Connector(name=one.connector, protocol=one.kind), **known)


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
        configured_rpm=one.configured_rpm,
        queued=_by_priority(one, "queued_{}"),
        expected_wait_s=_by_priority(one, "expected_wait_{}_s"),
        cooling_s=one.cooling_s,
        shared=one.shared,
        breaker_open=one.breaker_open,
        cached_ratio=one.cached_ratio,
    )


def quota(answer: pb.QueueSignalsResponse) -> Quota:
    """Decode the queue and the gates."""
    return Quota(
        time=time(answer.time),
        queued=_by_priority(answer, "queued_{}"),
        running=answer.running,
        oldest_wait_s=answer.oldest_wait_s,
        slots_per_replica=answer.slots_per_replica,
        replicas=answer.replicas,
        seconds_per_run=answer.seconds_per_run,
        models={one.model: state(one) for one in answer.models},
        default_model=answer.default_model,
        kinds={
            pb.RunKind.Name(one.kind).removeprefix("RUN_KIND_").lower(): KindCost(
                calls_per_run=one.calls_per_run, seconds_per_run=one.seconds_per_run
            )
            for one in answer.kinds
        },
    )


def _by_priority(message: pb.QueueSignalsResponse | pb.ModelSignals, field: str) -> dict[str, Any]:
    return {one: getattr(message, field.format(one)) for one in PRIORITIES}


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
