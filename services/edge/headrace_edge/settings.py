"""The edge's settings, from HEADRACE_EDGE_… in the environment. It reads nothing else."""

from pathlib import Path
from typing import Annotated

from headrace_runtime.settings import Address, ServiceSettings
from pydantic import Field
from pydantic_settings import SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, le=3600)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]


class Settings(ServiceSettings):
    """Where the edge listens, whom it asks, and each limit with its default."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_EDGE_", extra="forbid", frozen=True)

    listen: Address = "127.0.0.1:8080"
    """Where the edge answers HTTP."""
    executor_target: str = "127.0.0.1:50051"
    """gRPC target of the executors; several addresses with commas between are balanced."""
    rag_target: str = "127.0.0.1:50054"
    """gRPC target of the rag service."""
    api_keys_file: Path | None = None
    """YAML list of API keys; without one the edge serves loopback peers only, as tenant "default"."""
    drain_notice_s: Annotated[float, Field(ge=0, le=60)] = 0
    """After SIGTERM: how long readiness already says 503 while requests are still taken."""

    max_body_bytes: Annotated[int, Field(ge=1024, le=1024 * 1024)] = 1024 * 1024
    """Largest request body, chunked ones included; more is 413."""
    max_document_bytes: Annotated[int, Field(ge=1, le=1024 * 1024)] = 1_000_000
    """Largest document text in UTF-8; more is 413."""
    max_header_bytes: Annotated[int, Field(ge=1024, le=1024 * 1024)] = 32 * 1024
    """Largest request line and headers together; more is 431."""
    max_json_depth: Annotated[int, Field(ge=2, le=512)] = 64
    """Deepest nesting of a JSON body; more is 422."""
    header_timeout_s: Seconds = 10
    """How long a request's headers may take to arrive, and the rest of a body whose request was already answered."""
    body_timeout_s: Seconds = 30
    """How long a request's body may take to arrive; more is 408."""
    max_connections: Count = 10_000
    """Open TCP connections; further ones are closed at once."""
    max_requests: Count = 1_000
    """Requests in work at once, open streams aside; more is 503."""
    max_requests_per_key: Count = 500
    """The same of one API key; more is 429."""
    max_streams: Count = 4_000
    """Open SSE streams of this process; more is 429."""
    max_streams_per_key: Count = 500
    """Open SSE streams of one API key that names no limit of its own; more is 429."""
    requests_per_minute: Count = 600
    """Requests per minute of one API key that names no limit of its own; more is 429."""
    loopback_requests_per_minute: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Requests per minute of all loopback callers together when no keys are configured; 0 means no limit."""

    call_timeout_s: Seconds = 10
    """Deadline of one unary gRPC call."""
    call_retry_s: Annotated[float, Field(ge=0, le=60)] = 5
    """How long a call that may be repeated is repeated while its service is away; then 503."""
    search_timeout_s: Seconds = 60
    """Deadline of a document search; graph modes ask a model."""
    answer_timeout_s: Seconds = 120
    """How long an HTTP answer waits for its run; then 504, and the run goes on."""
    chat_timeout_s: Seconds = 120
    """How long an answer of /v1/chat/completions may take when the client does not say; then 504."""
    output_timeout_s: Seconds = 60
    """How long a step's output may take to arrive from its executor; then the answer breaks off."""
    max_output_bytes: Annotated[int, Field(ge=1024, le=1024**3)] = 64 * 1024 * 1024
    """Largest output of a step that is passed on; a larger one breaks off."""
    wait_slice_s: Annotated[int, Field(ge=1, le=60)] = 20
    """Longest single wait that is asked of an executor."""

    heartbeat_s: Seconds = 15
    """Silence on a stream after which a comment is sent."""
    stream_open_s: Seconds = 1
    """How long a rejoined stream's headers wait for its first event, so that an error can still have its status."""
    stream_send_timeout_s: Seconds = 30
    """How long one send to a slow reader may take; then its connection is closed and it may resume."""
    watch_retry_s: Seconds = 60
    """How long a broken event stream is picked up again without the client's noticing; then the SSE stream ends."""
    watch_max_s: Seconds = 900
    """Longest single WatchRun; it is renewed after that, so that streams spread over new executors."""

    admission_patience_interactive_s: Seconds = 60
    """An interactive run that would wait longer for its first model call is refused."""
    admission_patience_standard_s: Seconds = 300
    admission_patience_background_s: Seconds = 500
    """Half as much again must be below the executors' run deadline, which counts the waiting."""
    admission_calls_per_run: Annotated[float, Field(gt=0, le=1000)] = 2
    """Model calls that a run is taken to make before one of its kind has finished."""
    admission_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The part of the quota that this edge may promise; with n edges 1/n."""
    admission_promised_share: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """The part of that for who was refused and returns; the rest is for who comes for the first time."""
    admission_max_promises: Count = 20_000
    admission_max_promises_per_tenant: Count = 10_000
    admission_max_retry_s: Annotated[float, Field(ge=1, le=86_400)] = 3600
    """The farthest time that is promised; beyond it 503 without a promise."""
    admission_grace_s: Seconds = 30
    """How long after its time a promise is kept."""
    admission_signals_timeout_s: Seconds = 1
    """How long a request waits for signals; then it is accepted unseen."""
    admission_stale_s: Seconds = 5
    """Older signals refuse nobody."""

    health_timeout_s: Seconds = 0.5
    """Deadline of one health check of a service."""
    health_ttl_s: Annotated[float, Field(ge=0, le=10)] = 1
    """How long an answer about readiness is reused."""
