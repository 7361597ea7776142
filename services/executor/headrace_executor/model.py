"""The nouns of a run. Plain data; no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from headrace_llm.call_context import CallContext
from headrace_llm.usage import Usage

Json = Any
"""A JSON value as orjson reads it."""


class RunKind(StrEnum):
    """What a run was asked to do."""

    CONVERSATION = "conversation"
    WORKFLOW = "workflow"
    PAGE = "page"
    PATCH = "patch"
    QUIZ = "quiz"
    DOCUMENT = "document"


class RunState(StrEnum):
    """Where a run is: QUEUED → RUNNING → SUCCEEDED | FAILED | CANCELLED, and RUNNING → QUEUED when handed back."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to the run any more."""
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


class Priority(IntEnum):
    """Smaller goes first."""

    INTERACTIVE = 1
    STANDARD = 2
    BACKGROUND = 3


class FailureCode(StrEnum):
    """RUN_ERROR's code."""

    DEADLINE = "deadline"
    PROVIDER = "provider"
    QUOTA = "quota"
    BUDGET = "budget"
    """The tenant's, until midnight, UTC."""
    INVALID_BLUEPRINT = "invalid_blueprint"
    TOOL = "tool"
    """A tool refused, was away, or answered with what is no answer."""
    CONFLICT = "conflict"
    """A page was changed at the same time, and both changes cannot be kept."""
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed."""

    code: FailureCode
    message: str
    retry_after_s: float | None = None
    """Seconds from the run's end until another may have what this one lacked; None when nobody knows."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as everybody but its owner sees it."""

    run_id: str
    tenant_id: str
    session_id: str
    kind: RunKind
    state: RunState
    priority: Priority
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = 0
    output: bytes = b""
    error: Failure | None = None
    usage: Usage = field(default_factory=Usage)
    last_seq: int = 0


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A finished step: its result is paid for and is never computed again."""

    output: Json
    usage: Usage


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run as its owner holds it."""

    run_id: str
    tenant_id: str
    session_id: str
    kind: RunKind
    priority: Priority
    attempt: int
    """1 for the first owner."""
    fence: int
    """The lease's fencing token: every write names it, and one with an older token is refused."""
    created_at: datetime
    deadline: datetime
    """When the run fails with `deadline` whatever it is doing."""
    body: Mapping[str, Json]
    """The request, by kind as docs/runs.md says."""
    traceparent: str = ""

    @property
    def call_context(self) -> CallContext:
        """Whose turn the run's model calls take."""
        return CallContext.of_run(self.run_id, self.priority, self.created_at)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run that went well ends with."""

    output: Json
    """RUN_FINISHED.result and Run.output."""
    reply: str | None = None
    """The assistant's message for the session; None writes none."""
    interrupts: Sequence[Mapping[str, Json]] = ()
    """AG-UI's Interrupt objects (camelCase) when the run ends by asking back: RUN_FINISHED then says `interrupt`."""
