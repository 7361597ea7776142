import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from headrace.llm.v1 import call_pb2 as _call_pb2
from headrace.llm.v1 import usage_pb2 as _usage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UsageDimension(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_DIMENSION_UNSPECIFIED: _ClassVar[UsageDimension]
    USAGE_DIMENSION_DAY: _ClassVar[UsageDimension]
    USAGE_DIMENSION_MODEL: _ClassVar[UsageDimension]
    USAGE_DIMENSION_KIND: _ClassVar[UsageDimension]
    USAGE_DIMENSION_SESSION: _ClassVar[UsageDimension]
    USAGE_DIMENSION_RUN: _ClassVar[UsageDimension]

class RunKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_KIND_UNSPECIFIED: _ClassVar[RunKind]
    RUN_KIND_CONVERSATION: _ClassVar[RunKind]
    RUN_KIND_WORKFLOW: _ClassVar[RunKind]
    RUN_KIND_PAGE: _ClassVar[RunKind]
    RUN_KIND_PATCH: _ClassVar[RunKind]
    RUN_KIND_QUIZ: _ClassVar[RunKind]
    RUN_KIND_DOCUMENT: _ClassVar[RunKind]

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_INTERACTIVE: _ClassVar[Priority]
    PRIORITY_STANDARD: _ClassVar[Priority]
    PRIORITY_BACKGROUND: _ClassVar[Priority]

class RunState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATE_UNSPECIFIED: _ClassVar[RunState]
    RUN_STATE_QUEUED: _ClassVar[RunState]
    RUN_STATE_RUNNING: _ClassVar[RunState]
    RUN_STATE_SUCCEEDED: _ClassVar[RunState]
    RUN_STATE_FAILED: _ClassVar[RunState]
    RUN_STATE_CANCELLED: _ClassVar[RunState]
USAGE_DIMENSION_UNSPECIFIED: UsageDimension
USAGE_DIMENSION_DAY: UsageDimension
USAGE_DIMENSION_MODEL: UsageDimension
USAGE_DIMENSION_KIND: UsageDimension
USAGE_DIMENSION_SESSION: UsageDimension
USAGE_DIMENSION_RUN: UsageDimension
RUN_KIND_UNSPECIFIED: RunKind
RUN_KIND_CONVERSATION: RunKind
RUN_KIND_WORKFLOW: RunKind
RUN_KIND_PAGE: RunKind
RUN_KIND_PATCH: RunKind
RUN_KIND_QUIZ: RunKind
RUN_KIND_DOCUMENT: RunKind
PRIORITY_UNSPECIFIED: Priority
PRIORITY_INTERACTIVE: Priority
PRIORITY_STANDARD: Priority
PRIORITY_BACKGROUND: Priority
RUN_STATE_UNSPECIFIED: RunState
RUN_STATE_QUEUED: RunState
RUN_STATE_RUNNING: RunState
RUN_STATE_SUCCEEDED: RunState
RUN_STATE_FAILED: RunState
RUN_STATE_CANCELLED: RunState

class ChatRequest(_message.Message):
    __slots__ = ("tenant_id", "model", "context", "deadline_s", "body", "cache")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    model: str
    context: _call_pb2.CallContext
    deadline_s: float
    body: bytes
    cache: bool
    def __init__(self, tenant_id: _Optional[str] = ..., model: _Optional[str] = ..., context: _Optional[_Union[_call_pb2.CallContext, _Mapping]] = ..., deadline_s: _Optional[float] = ..., body: _Optional[bytes] = ..., cache: _Optional[bool] = ...) -> None: ...

class ChatResponse(_message.Message):
    __slots__ = ("text", "restarted_with", "completion")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RESTARTED_WITH_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    text: str
    restarted_with: str
    completion: ChatCompletion
    def __init__(self, text: _Optional[str] = ..., restarted_with: _Optional[str] = ..., completion: _Optional[_Union[ChatCompletion, _Mapping]] = ...) -> None: ...

class ChatCompletion(_message.Message):
    __slots__ = ("text", "model", "finish_reason", "tool_calls", "usage")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    text: str
    model: str
    finish_reason: str
    tool_calls: _containers.RepeatedCompositeFieldContainer[ChatToolCall]
    usage: _usage_pb2.Usage
    def __init__(self, text: _Optional[str] = ..., model: _Optional[str] = ..., finish_reason: _Optional[str] = ..., tool_calls: _Optional[_Iterable[_Union[ChatToolCall, _Mapping]]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ...) -> None: ...

class ChatToolCall(_message.Message):
    __slots__ = ("id", "name", "arguments")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    arguments: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., arguments: _Optional[str] = ...) -> None: ...

class GetUsageRequest(_message.Message):
    __slots__ = ("tenant_id", "first_day", "last_day", "group_by", "session_id", "run_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_DAY_FIELD_NUMBER: _ClassVar[int]
    LAST_DAY_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    first_day: str
    last_day: str
    group_by: _containers.RepeatedScalarFieldContainer[UsageDimension]
    session_id: str
    run_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., first_day: _Optional[str] = ..., last_day: _Optional[str] = ..., group_by: _Optional[_Iterable[_Union[UsageDimension, str]]] = ..., session_id: _Optional[str] = ..., run_id: _Optional[str] = ...) -> None: ...

class GetUsageResponse(_message.Message):
    __slots__ = ("rows", "truncated", "budget")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[UsageRow]
    truncated: bool
    budget: Budget
    def __init__(self, rows: _Optional[_Iterable[_Union[UsageRow, _Mapping]]] = ..., truncated: _Optional[bool] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ...) -> None: ...

class UsageRow(_message.Message):
    __slots__ = ("day", "model", "kind", "session_id", "run_id", "usage")
    DAY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    day: str
    model: str
    kind: str
    session_id: str
    run_id: str
    usage: _usage_pb2.ModelUsage
    def __init__(self, day: _Optional[str] = ..., model: _Optional[str] = ..., kind: _Optional[str] = ..., session_id: _Optional[str] = ..., run_id: _Optional[str] = ..., usage: _Optional[_Union[_usage_pb2.ModelUsage, _Mapping]] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("usd_limit", "usd", "tokens_limit", "tokens", "calls_limit", "calls")
    USD_LIMIT_FIELD_NUMBER: _ClassVar[int]
    USD_FIELD_NUMBER: _ClassVar[int]
    TOKENS_LIMIT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    CALLS_LIMIT_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    usd_limit: float
    usd: float
    tokens_limit: int
    tokens: int
    calls_limit: int
    calls: int
    def __init__(self, usd_limit: _Optional[float] = ..., usd: _Optional[float] = ..., tokens_limit: _Optional[int] = ..., tokens: _Optional[int] = ..., calls_limit: _Optional[int] = ..., calls: _Optional[int] = ...) -> None: ...

class SubmitRunRequest(_message.Message):
    __slots__ = ("tenant_id", "request_id", "session_id", "kind", "priority", "traceparent", "body", "thread_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    request_id: str
    session_id: str
    kind: RunKind
    priority: Priority
    traceparent: str
    body: bytes
    thread_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., request_id: _Optional[str] = ..., session_id: _Optional[str] = ..., kind: _Optional[_Union[RunKind, str]] = ..., priority: _Optional[_Union[Priority, str]] = ..., traceparent: _Optional[str] = ..., body: _Optional[bytes] = ..., thread_id: _Optional[str] = ...) -> None: ...

class SubmitRunResponse(_message.Message):
    __slots__ = ("run", "created")
    RUN_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    run: Run
    created: bool
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ..., created: _Optional[bool] = ...) -> None: ...

class StartRunRequest(_message.Message):
    __slots__ = ("submit",)
    SUBMIT_FIELD_NUMBER: _ClassVar[int]
    submit: SubmitRunRequest
    def __init__(self, submit: _Optional[_Union[SubmitRunRequest, _Mapping]] = ...) -> None: ...

class StartRunResponse(_message.Message):
    __slots__ = ("run", "events")
    RUN_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    run: Run
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ..., events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("run_id", "tenant_id", "session_id", "kind", "state", "priority", "create_time", "start_time", "end_time", "attempt", "output", "error", "usage", "last_seq")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    tenant_id: str
    session_id: str
    kind: RunKind
    state: RunState
    priority: Priority
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    attempt: int
    output: bytes
    error: RunError
    usage: _usage_pb2.Usage
    last_seq: int
    def __init__(self, run_id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., session_id: _Optional[str] = ..., kind: _Optional[_Union[RunKind, str]] = ..., state: _Optional[_Union[RunState, str]] = ..., priority: _Optional[_Union[Priority, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attempt: _Optional[int] = ..., output: _Optional[bytes] = ..., error: _Optional[_Union[RunError, _Mapping]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., last_seq: _Optional[int] = ...) -> None: ...

class RunError(_message.Message):
    __slots__ = ("code", "message", "retry_after_s")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    retry_after_s: float
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., retry_after_s: _Optional[float] = ...) -> None: ...

class GetRunRequest(_message.Message):
    __slots__ = ("tenant_id", "run_id", "wait_s")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    run_id: str
    wait_s: int
    def __init__(self, tenant_id: _Optional[str] = ..., run_id: _Optional[str] = ..., wait_s: _Optional[int] = ...) -> None: ...

class GetRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ("tenant_id", "session_id", "state", "kind", "page_size", "page_token")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    session_id: str
    state: RunState
    kind: RunKind
    page_size: int
    page_token: str
    def __init__(self, tenant_id: _Optional[str] = ..., session_id: _Optional[str] = ..., state: _Optional[_Union[RunState, str]] = ..., kind: _Optional[_Union[RunKind, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRunsResponse(_message.Message):
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[Run]
    next_page_token: str
    def __init__(self, runs: _Optional[_Iterable[_Union[Run, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchRunRequest(_message.Message):
    __slots__ = ("tenant_id", "run_id", "after")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    run_id: str
    after: int
    def __init__(self, tenant_id: _Optional[str] = ..., run_id: _Optional[str] = ..., after: _Optional[int] = ...) -> None: ...

class WatchRunResponse(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("seq", "data")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    seq: int
    data: bytes
    def __init__(self, seq: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class GetOutputRequest(_message.Message):
    __slots__ = ("tenant_id", "run_id", "step")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    run_id: str
    step: str
    def __init__(self, tenant_id: _Optional[str] = ..., run_id: _Optional[str] = ..., step: _Optional[str] = ...) -> None: ...

class GetOutputResponse(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class CancelRunRequest(_message.Message):
    __slots__ = ("tenant_id", "run_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    run_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., run_id: _Optional[str] = ...) -> None: ...

class CancelRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class QueueSignalsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QueueSignalsResponse(_message.Message):
    __slots__ = ("time", "queued_interactive", "queued_standard", "queued_background", "running", "oldest_wait_s", "slots_per_replica", "replicas", "seconds_per_run", "models", "kinds", "default_model", "running_here")
    TIME_FIELD_NUMBER: _ClassVar[int]
    QUEUED_INTERACTIVE_FIELD_NUMBER: _ClassVar[int]
    QUEUED_STANDARD_FIELD_NUMBER: _ClassVar[int]
    QUEUED_BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    OLDEST_WAIT_S_FIELD_NUMBER: _ClassVar[int]
    SLOTS_PER_REPLICA_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_PER_RUN_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MODEL_FIELD_NUMBER: _ClassVar[int]
    RUNNING_HERE_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    queued_interactive: int
    queued_standard: int
    queued_background: int
    running: int
    oldest_wait_s: float
    slots_per_replica: int
    replicas: int
    seconds_per_run: float
    models: _containers.RepeatedCompositeFieldContainer[ModelSignals]
    kinds: _containers.RepeatedCompositeFieldContainer[KindSignals]
    default_model: str
    running_here: int
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., queued_interactive: _Optional[int] = ..., queued_standard: _Optional[int] = ..., queued_background: _Optional[int] = ..., running: _Optional[int] = ..., oldest_wait_s: _Optional[float] = ..., slots_per_replica: _Optional[int] = ..., replicas: _Optional[int] = ..., seconds_per_run: _Optional[float] = ..., models: _Optional[_Iterable[_Union[ModelSignals, _Mapping]]] = ..., kinds: _Optional[_Iterable[_Union[KindSignals, _Mapping]]] = ..., default_model: _Optional[str] = ..., running_here: _Optional[int] = ...) -> None: ...

class KindSignals(_message.Message):
    __slots__ = ("kind", "calls_per_run", "seconds_per_run")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CALLS_PER_RUN_FIELD_NUMBER: _ClassVar[int]
    SECONDS_PER_RUN_FIELD_NUMBER: _ClassVar[int]
    kind: RunKind
    calls_per_run: float
    seconds_per_run: float
    def __init__(self, kind: _Optional[_Union[RunKind, str]] = ..., calls_per_run: _Optional[float] = ..., seconds_per_run: _Optional[float] = ...) -> None: ...

class ModelSignals(_message.Message):
    __slots__ = ("model", "granted_rpm", "effective_rpm", "queue_depth", "oldest_wait_s", "throttled_ratio", "seconds_per_call", "configured_rpm", "queued_interactive", "queued_standard", "queued_background", "expected_wait_interactive_s", "expected_wait_standard_s", "expected_wait_background_s", "cooling_s", "shared", "breaker_open", "cached_ratio")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    GRANTED_RPM_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_RPM_FIELD_NUMBER: _ClassVar[int]
    QUEUE_DEPTH_FIELD_NUMBER: _ClassVar[int]
    OLDEST_WAIT_S_FIELD_NUMBER: _ClassVar[int]
    THROTTLED_RATIO_FIELD_NUMBER: _ClassVar[int]
    SECONDS_PER_CALL_FIELD_NUMBER: _ClassVar[int]
    CONFIGURED_RPM_FIELD_NUMBER: _ClassVar[int]
    QUEUED_INTERACTIVE_FIELD_NUMBER: _ClassVar[int]
    QUEUED_STANDARD_FIELD_NUMBER: _ClassVar[int]
    QUEUED_BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_WAIT_INTERACTIVE_S_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_WAIT_STANDARD_S_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_WAIT_BACKGROUND_S_FIELD_NUMBER: _ClassVar[int]
    COOLING_S_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    BREAKER_OPEN_FIELD_NUMBER: _ClassVar[int]
    CACHED_RATIO_FIELD_NUMBER: _ClassVar[int]
    model: str
    granted_rpm: float
    effective_rpm: float
    queue_depth: int
    oldest_wait_s: float
    throttled_ratio: float
    seconds_per_call: float
    configured_rpm: float
    queued_interactive: int
    queued_standard: int
    queued_background: int
    expected_wait_interactive_s: float
    expected_wait_standard_s: float
    expected_wait_background_s: float
    cooling_s: float
    shared: bool
    breaker_open: bool
    cached_ratio: float
    def __init__(self, model: _Optional[str] = ..., granted_rpm: _Optional[float] = ..., effective_rpm: _Optional[float] = ..., queue_depth: _Optional[int] = ..., oldest_wait_s: _Optional[float] = ..., throttled_ratio: _Optional[float] = ..., seconds_per_call: _Optional[float] = ..., configured_rpm: _Optional[float] = ..., queued_interactive: _Optional[int] = ..., queued_standard: _Optional[int] = ..., queued_background: _Optional[int] = ..., expected_wait_interactive_s: _Optional[float] = ..., expected_wait_standard_s: _Optional[float] = ..., expected_wait_background_s: _Optional[float] = ..., cooling_s: _Optional[float] = ..., shared: _Optional[bool] = ..., breaker_open: _Optional[bool] = ..., cached_ratio: _Optional[float] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "default_model")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MODEL_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    default_model: str
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., default_model: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("id", "provider", "context_tokens", "prompt_usd_per_million", "completion_usd_per_million", "requests_per_minute", "tokens_per_minute", "fallbacks", "state")
    ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_USD_PER_MILLION_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_USD_PER_MILLION_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    FALLBACKS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    id: str
    provider: str
    context_tokens: int
    prompt_usd_per_million: float
    completion_usd_per_million: float
    requests_per_minute: int
    tokens_per_minute: int
    fallbacks: _containers.RepeatedScalarFieldContainer[str]
    state: ModelSignals
    def __init__(self, id: _Optional[str] = ..., provider: _Optional[str] = ..., context_tokens: _Optional[int] = ..., prompt_usd_per_million: _Optional[float] = ..., completion_usd_per_million: _Optional[float] = ..., requests_per_minute: _Optional[int] = ..., tokens_per_minute: _Optional[int] = ..., fallbacks: _Optional[_Iterable[str]] = ..., state: _Optional[_Union[ModelSignals, _Mapping]] = ...) -> None: ...

class ListToolsRequest(_message.Message):
    __slots__ = ("tenant_id",)
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    def __init__(self, tenant_id: _Optional[str] = ...) -> None: ...

class ListToolsResponse(_message.Message):
    __slots__ = ("tools",)
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    tools: _containers.RepeatedCompositeFieldContainer[Tool]
    def __init__(self, tools: _Optional[_Iterable[_Union[Tool, _Mapping]]] = ...) -> None: ...

class Tool(_message.Message):
    __slots__ = ("name", "description", "input_schema", "kind", "connector")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CONNECTOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    input_schema: bytes
    kind: str
    connector: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., input_schema: _Optional[bytes] = ..., kind: _Optional[str] = ..., connector: _Optional[str] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("session_id", "tenant_id", "title", "metadata", "create_time", "update_time")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    tenant_id: str
    title: str
    metadata: bytes
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, session_id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., title: _Optional[str] = ..., metadata: _Optional[bytes] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateSessionRequest(_message.Message):
    __slots__ = ("tenant_id", "title", "metadata", "request_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    title: str
    metadata: bytes
    request_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., title: _Optional[str] = ..., metadata: _Optional[bytes] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: Session
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ...) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ("tenant_id", "session_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    session_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., session_id: _Optional[str] = ...) -> None: ...

class GetSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: Session
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("tenant_id", "page_size", "page_token")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    page_size: int
    page_token: str
    def __init__(self, tenant_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions", "next_page_token")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[Session]
    next_page_token: str
    def __init__(self, sessions: _Optional[_Iterable[_Union[Session, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteSessionRequest(_message.Message):
    __slots__ = ("tenant_id", "session_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    session_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., session_id: _Optional[str] = ...) -> None: ...

class DeleteSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListMessagesRequest(_message.Message):
    __slots__ = ("tenant_id", "session_id", "page_size", "page_token")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    session_id: str
    page_size: int
    page_token: str
    def __init__(self, tenant_id: _Optional[str] = ..., session_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMessagesResponse(_message.Message):
    __slots__ = ("messages", "next_page_token")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    next_page_token: str
    def __init__(self, messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("message_id", "role", "text", "run_id", "create_time")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    role: str
    text: str
    run_id: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, message_id: _Optional[str] = ..., role: _Optional[str] = ..., text: _Optional[str] = ..., run_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
