"""The edge's answers, as docs/api.md shapes them, and the nouns that its ports speak in. Plain data; no I/O."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

RunKind = Literal["conversation", "workflow", "page", "patch", "quiz", "document"]
RunStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
PRIORITIES = ("interactive", "standard", "background")
"""Those further left go first."""
ENDED: frozenset[RunStatus] = frozenset({"succeeded", "failed", "cancelled"})


class Answer(BaseModel):
    """Something the edge answers with."""

    model_config = ConfigDict(frozen=True)


class ProblemDocument(Answer):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:headrace:problem:not-found"])
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[dict[str, Any]] | None = Field(None, description="For input: `loc` and `msg` of each fault.")


class ModelUsage(Answer):
    """One model's share."""

    llm_calls: int = 0
    cached_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None


class Usage(ModelUsage):
    """What a run's model calls cost."""

    models: dict[str, ModelUsage] = Field(default_factory=dict)


class Run(Answer):
    """A run."""

    run_id: str
    session_id: str
    kind: RunKind
    status: RunStatus
    priority: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int
    output: Any = None
    error: dict[str, Any] | None = None
    usage: Usage
    timings: dict[str, float] = Field(description="`queued_ms`, `running_ms` and `total_ms`, as far as they are known.")
    last_event_id: int = Field(description="The sequence number of the newest event, 0 for none.")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed."""

    code: str
    message: str
    retry_after_s: float | None = None
    """Seconds from now until another run may have what this one lacked; None when nobody knows."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the executor tells it."""

    run: Run
    failure: Failure | None


class Accepted(Answer):
    """A run that was taken on."""

    run_id: str
    status: RunStatus
    links: dict[str, str]
    queue: "QueuePlace | None" = Field(None, description="Absent when nothing is to be waited for.")


class QueuePlace(Answer):
    """What a run waits for, as far as it can be foreseen."""

    position: int = Field(description="1 is next.")
    expected_wait_s: float


class Intent(Answer):
    """What the router decided."""

    kind: str
    confidence: float
    decided_by: str


class PageReference(Answer):
    """A version of a page; GET /api/pages/{page_id} has it."""

    page_id: str
    version: int


class ConversationAnswer(Answer):
    """The answer to a message."""

    run_id: str
    session_id: str
    intent: Intent | None
    reply: str
    blueprint: dict[str, Any] | None
    inputs: dict[str, Any] | None = Field(
        None, description="Of a blueprint that was planned and not run: what the message gives it to run with."
    )
    quiz: Any
    citations: list[dict[str, Any]]
    page: PageReference | None = Field(None, description="The page that it made.")
    interrupts: list[dict[str, Any]] = Field(
        default_factory=list, description="What it asks back: `id`, `message`, `responseSchema`; answer with `resume`."
    )
    warnings: list[str] = Field(default_factory=list, description="What the plan, or a quiz, does not have as asked.")
    usage: Usage
    timings: dict[str, float]


class WorkflowAnswer(Answer):
    """A planned workflow."""

    run_id: str
    session_id: str
    blueprint: dict[str, Any] = Field(description="Empty when something must be asked back.")
    inputs: dict[str, Any] = Field(
        description="What the prompt gives it to run with: the message, and the records that it names."
    )
    warnings: list[str]
    origin: str | None = Field(None, description="builtin, model, repaired, template, request or reused.")
    interrupts: list[dict[str, Any]] = Field(
        default_factory=list, description="What it asks back: `id`, `message`, `responseSchema`; answer with `resume`."
    )
    usage: Usage


Item = TypeVar("Item")


class Listing(Answer, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(None, description="For ?cursor=, null at the end.")


class Session(Answer):
    """A conversation."""

    session_id: str
    title: str
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class Message(Answer):
    """One turn of a conversation."""

    message_id: str
    role: str
    text: str
    run_id: str | None
    created_at: datetime


class Document(Answer):
    """A document and the state of its parsing."""

    document_id: str
    workspace: str
    title: str
    status: Literal["pending", "processing", "ready", "failed"]
    error: str | None
    chunks: int
    characters: int
    created_at: datetime
    updated_at: datetime


class DocumentAccepted(Answer):
    """A document that will be read."""

    document_id: str
    run_id: str
    links: dict[str, str]


class Found(Answer):
    """What a search found."""

    chunks: list[dict[str, Any]]
    entities: list[dict[str, Any]]
    relations: list[dict[str, Any]]
    usage: Usage
    timings: dict[str, float]


class Connector(Answer):
    """Where a tool is from."""

    name: str
    protocol: str = Field(description="http, openapi or mcp.")


class Skill(Answer):
    """Something that a run can do."""

    name: str
    kind: Literal["mode", "tool", "connector", "workflow"] = Field(
        description="A conversation's mode, a built-in tool, a connector's tool, or a saved workflow by its id."
    )
    description: str
    input_schema: dict[str, Any] | None
    connector: Connector | None = Field(None, description="Only with a connector's tool.")


class Skills(Answer):
    """What runs can do."""

    skills: list[Skill]


class Check(Answer):
    """One part's health."""

    status: Literal["ok", "unavailable"]
    latency_ms: float
    detail: str | None = None


class Health(Answer):
    """The edge's health and that of the parts it asks."""

    status: Literal["ok", "degraded", "draining", "unavailable"]
    version: str
    checks: dict[str, Check]


@dataclass(frozen=True, slots=True)
class Submission:
    """A run to be taken on."""

    tenant: str
    request_id: str
    kind: RunKind
    body: bytes
    session_id: str = ""
    thread_id: str = ""
    """What the client calls its conversation; read when there is no `session_id`."""
    priority: str = ""
    traceparent: str = ""
    model: str = ""
    """Which one the body names; "" means the default."""
    keyed: bool = False
    """Whether `request_id` is the client's and not made up."""
