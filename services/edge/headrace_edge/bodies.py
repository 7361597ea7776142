"""Request bodies as clients send them, and the bodies of runs made from them. Validation only; no I/O."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_RUN_BODY_BYTES = 1024 * 1024
"""Largest run body that SubmitRun takes."""
MAX_METADATA_BYTES = 16 * 1024
MAX_RESUMED = 16
"""Most questions that one message answers."""
MAX_TURNS = 16
"""Earlier messages that a run is given by another protocol's client, the newest; the engine reads fewer."""
MAX_TURN_CHARACTERS = 32_768


def _small(value: dict[str, Any]) -> dict[str, Any]:
    if len(orjson.dumps(value)) > MAX_METADATA_BYTES:
        raise ValueError(f"must be at most {MAX_METADATA_BYTES} bytes of JSON")
    return value


Priority = Literal["interactive", "standard", "background"]
Mode = Literal["auto", "chat", "qa", "build", "quiz"]
Text = Annotated[str, StringConstraints(min_length=1, max_length=32_768, pattern=r"\S")]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:/-]+$")]
Workspace = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
WorkflowName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$")]
Metadata = Annotated[dict[str, Any], AfterValidator(_small)]
Inputs = Annotated[dict[str, Any], Field(description="Values for the blueprint's inputs.")]
ToolName = Annotated[str, StringConstraints(max_length=128, pattern=r"^(\*|[A-Za-z0-9._:/-]+(\.\*)?)$")]
ToolNames = Annotated[
    list[ToolName] | None,
    Field(
        max_length=64,
        description="Tools of GET /skills that may be used; `CONNECTOR.*` is all of a connector, `*` is every tool. "
        "In chat and qa the model calls them itself, at most 32; without this field it has none.",
    ),
]


class Body(BaseModel):
    """A JSON object whose fields are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RunBody(Body):
    """What a run is made from."""

    session_id: Identifier | None = Field(None, description="The conversation to go on with; absent begins a new one.")
    priority: Priority | None = Field(None, description="Absent means `interactive`, and `background` for tasks.")

    @abstractmethod
    def run_body(self, *, execute: bool) -> bytes:
        """The body that the executor is given."""

    @property
    def asked_model(self) -> str:
        """The model that the body names, "" for none."""
        return ""

    @property
    def asked_workspace(self) -> str | None:
        """The workspace that the body names."""
        return None


class ResumeEntry(Body):
    """An answer to what an earlier run of the session asked back."""

    interrupt_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="`id` of the interrupt that ended that run."
    )
    status: Literal["resolved", "cancelled"] = Field(description="Whether it is answered, or given up.")
    payload: Any = Field(None, description="The answer, as the interrupt's `responseSchema` has it.")


class ResumingBody(RunBody):
    """What a run is made from that may answer what was asked back."""

    resume: list[ResumeEntry] | None = Field(
        None, min_length=1, max_length=MAX_RESUMED, description="Answers to what an earlier run of the session asked back."
    )

    @model_validator(mode="after")
    def _knows_the_session(self) -> Self:
        if self.resume is not None and self.session_id is None:
            raise ValueError("resume needs the session_id of the run that asked back")
        return self

    def answers(self) -> dict[str, Any]:
        """`resume` as the run's body has it, when it is there."""
        return {} if self.resume is None else {"resume": [one.model_dump() for one in self.resume]}


class RecallBody(Body):
    """How many of the session's memories go into the answer."""

    top_k: Annotated[int, Field(ge=1, le=50, description="Memories at most, the nearest to the message.")] = 5


class ConversationBody(ResumingBody):
    """A message to be answered, or the answers to what was asked back."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"message": "What does a headrace do?", "mode": "auto", "workspace": "default"}]}
    )

    message: Text | None = Field(None, description="The user's text; may be absent beside `resume`.")
    mode: Mode = Field("auto", description="What the message wants, if known.")
    model: Identifier | None = Field(None, description="A model of GET /v1/models; absent means the default.")
    workspace: Workspace | None = Field(None, description="The documents to answer from; absent means `default`.")
    tools: ToolNames = None
    metadata: Metadata | None = Field(None, description="Kept with the run.")
    memory: RecallBody | None = Field(None, description="Answer with what the session remembers; absent: without.")

    @model_validator(mode="after")
    def _says_something(self) -> "ConversationBody":
        if self.message is None and self.resume is None:
            raise ValueError("give a message, or resume with the answers to what was asked back")
        return self

    def value(self) -> dict[str, Any]:
        """The run's body but for `execute`."""
        fields = {"message", "mode", "model", "workspace", "tools", "metadata", "memory"}
        return {**self.model_dump(include=fields, exclude_none=True), **self.answers()}

    def run_body(self, *, execute: bool) -> bytes:
        """The run's body; without `execute` a build is planned and not run."""
        return orjson.dumps({**self.value(), "execute": execute})

    @property
    def asked_model(self) -> str:
        """See the base."""
        return self.model or ""

    @property
    def asked_workspace(self) -> str | None:
        """See the base."""
        return self.workspace


class HistoryBody(ConversationBody):
    """A message with what was said before it, from protocols whose clients keep the conversation."""

    history: list[dict[str, str]] | None = None
    """Replaces the session's own messages, even if empty; None keeps those."""

    def value(self) -> dict[str, Any]:
        """See the base."""
        return {**super().value(), **({} if self.history is None else {"history": self.history})}


def history(turns: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """The newest turns, (role, text), that a run may be given."""
    said = [(role, text) for role, text in turns if role in ("user", "assistant") and text.strip()]
    return [{"role": role, "text": text[:MAX_TURN_CHARACTERS]} for role, text in said[-MAX_TURNS:]]


class WorkflowBody(ResumingBody):
    """A prompt to be planned, or the answers to what was asked back about one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "Compare the two contracts and list the risks."}]})

    prompt: Text | None = Field(None, description="What the workflow should do; may be absent beside `resume`.")
    tools: ToolNames = None
    sources: list[Identifier] | None = Field(None, max_length=64, description="Workspaces or titles to use.")

    @model_validator(mode="after")
    def _says_something(self) -> "WorkflowBody":
        if self.prompt is None and self.resume is None:
            raise ValueError("give a prompt, or resume with the answers to what was asked back")
        return self

    def run_body(self, *, execute: bool) -> bytes:
        """The run's body; a plan is never executed here."""
        asked = self.model_dump(include={"prompt", "tools", "sources"}, exclude_none=True)
        return orjson.dumps({**asked, **self.answers()})


class SessionBody(Body):
    """A new conversation."""

    title: Annotated[str, StringConstraints(max_length=200)] = ""
    metadata: Metadata = Field(default_factory=dict)


class DocumentBody(Body):
    """A document as JSON."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"\S")]
    text: Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
    workspace: Workspace | None = None


class SearchBody(Body):
    """A question to a workspace's documents."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "notice period", "mode": "naive", "top_k": 5}]})

    query: Annotated[str, StringConstraints(min_length=1, max_length=8192, pattern=r"\S")]
    workspace: Workspace | None = None
    mode: Literal["naive", "local", "global", "hybrid", "mix"] = "naive"
    top_k: Annotated[int, Field(ge=1, le=50)] = 5
