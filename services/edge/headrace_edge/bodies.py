"""Request bodies as clients send them, and the bodies of runs made from them. Validation only; no I/O."""

from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

MAX_RUN_BODY_BYTES = 1024 * 1024
"""Largest run body that SubmitRun takes."""
MAX_METADATA_BYTES = 16 * 1024


def _small(value: dict[str, Any]) -> dict[str, Any]:
    if len(orjson.dumps(value)) > MAX_METADATA_BYTES:
        raise ValueError(f"must be at most {MAX_METADATA_BYTES} bytes of JSON")
    return value


Priority = Literal["interactive", "standard", "background"]
Text = Annotated[str, StringConstraints(min_length=1, max_length=32_768, pattern=r"\S")]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:/-]+$")]
Workspace = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Metadata = Annotated[dict[str, Any], AfterValidator(_small)]


class Body(BaseModel):
    """A JSON object whose fields are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ConversationBody(Body):
    """A message to be answered."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"message": "What does a headrace do?", "mode": "auto", "workspace": "default"}]}
    )

    message: Text = Field(description="The user's text.")
    session_id: Identifier | None = Field(None, description="The conversation to go on with; absent begins a new one.")
    mode: Literal["auto", "chat", "qa", "build", "quiz"] = Field("auto", description="What the message wants, if known.")
    model: Identifier | None = Field(None, description="A model of GET /models; absent means the default.")
    workspace: Workspace | None = Field(None, description="The documents to answer from; absent means `default`.")
    tools: list[Identifier] | None = Field(None, max_length=64, description="Tools of GET /skills that may be used.")
    priority: Priority | None = Field(None, description="Absent means `interactive`, and `background` for tasks.")
    metadata: Metadata | None = Field(None, description="Kept with the run.")

    def run_body(self, *, execute: bool) -> bytes:
        """The run's body; without `execute` a build is planned and not run."""
        value = self.model_dump(include={"message", "mode", "model", "workspace", "tools", "metadata"}, exclude_none=True)
        return orjson.dumps({**value, "execute": execute})


class WorkflowBody(Body):
    """A prompt to be planned."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "Compare the two contracts and list the risks."}]})

    prompt: Text = Field(description="What the workflow should do.")
    session_id: Identifier | None = None
    sources: list[Identifier] | None = Field(None, max_length=64, description="Workspaces or titles to use.")
    priority: Priority | None = None

    def run_body(self, *, execute: bool) -> bytes:
        """The run's body; a plan is never executed here."""
        return orjson.dumps(self.model_dump(include={"prompt", "sources"}, exclude_none=True))


class PageBody(Body):
    """A blueprint to be run."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "blueprint": {
                        "version": 1,
                        "name": "sum",
                        "inputs": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
                        "nodes": [{"id": "sum", "kind": "compute", "expr": "inputs.a + inputs.b"}],
                        "output": "${nodes.sum.output}",
                    },
                    "inputs": {"a": 1, "b": 2},
                }
            ]
        }
    )

    blueprint: dict[str, Any] = Field(description="The whole blueprint.")
    inputs: dict[str, Any] = Field(default_factory=dict, description="Values for the blueprint's inputs.")
    session_id: Identifier | None = None
    priority: Priority | None = None

    def run_body(self, *, execute: bool) -> bytes:
        """The run's body."""
        return orjson.dumps({"blueprint": self.blueprint, "inputs": self.inputs})


class ConversationTask(ConversationBody):
    """A conversation that nobody waits for."""

    kind: Literal["conversation"]


class WorkflowTask(WorkflowBody):
    """A plan that nobody waits for."""

    kind: Literal["workflow"]


class PageTask(PageBody):
    """A page that nobody waits for."""

    kind: Literal["page"]


TaskBody = Annotated[ConversationTask | WorkflowTask | PageTask, Field(discriminator="kind")]
RunBody = ConversationBody | WorkflowBody | PageBody


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
