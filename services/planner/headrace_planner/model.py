"""The planner's nouns. Plain data; no I/O, no protobuf."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from headrace_blueprint import model as language
from headrace_blueprint.faults import Fault
from headrace_blueprint.tools import Tool
from headrace_llm.call_context import NO_CONTEXT, CallContext
from headrace_llm.usage import Usage

Json = Any

MAX_MESSAGE_CHARS = 32_768
MAX_TURNS = 8
MAX_SOURCES = 50
"""Most sources that a request names."""
MAX_NAME_CHARS = 200

MAX_TOOL_SPECS = 200
"""Most tools that a request brings."""
MAX_TOOLS = 300
"""Most tools that a request names: those that it brings, the built-in ones, and some that there are not."""
MAX_MODEL_TOOLS = language.MAX_TOOLS
"""Most tools that a request names for the model of a conversation to call itself."""
MAX_ENTITIES = 20

RUNNABLE = language.ALL
"""Kinds of nodes that the engine runs; a blueprint with another one has a fault."""


class Intent(StrEnum):
    """What a message wants."""

    CHAT = "chat"
    QA = "qa"
    BUILD = "build"
    QUIZ = "quiz"
    PATCH = "patch"

    @property
    def is_conversational(self) -> bool:
        """Whether one model answers the message itself, with tools if the request names some."""
        return self in (Intent.CHAT, Intent.QA)


class Origin(StrEnum):
    """Where a plan came from."""

    BUILTIN = "builtin"
    MODEL = "model"
    REPAIRED = "repaired"
    TEMPLATE = "template"
    REUSED = "reused"


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier message."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Entity:
    """A record that a name in the message stands for. What it is called is not told: a plan reads that when it runs."""

    kind: str
    id_type: Literal["string", "integer", "number"]
    text: str
    """As the message writes it."""
    place: int = 0
    """Among the records of its kind, in the order of the message."""

    @property
    def path(self) -> str:
        """How a plan names the record: `${PATH.id}` and `${PATH.name}`."""
        return f"inputs.entities.{self.kind}" + (f"_all[{self.place}]" if self.place else "")


@dataclass(frozen=True, slots=True)
class Request:
    """What to plan for."""

    tenant_id: str
    intent: Intent
    message: str
    workspace: str = ""
    model: str = ""
    """Registry model of the compose nodes; "" leaves it to the default."""
    tools: Sequence[str] = ()
    """Names of what a plan's data nodes may use, every tool if there are none; in chat and qa, of what the answering model
    may call, none if there are none."""
    tool_specs: Sequence[Tool] = ()
    """The tools that there are beside the built-in ones."""
    entities: Sequence[Entity] = ()
    """One of a kind."""
    sources: Sequence[str] = ()
    history: Sequence[Turn] = ()
    recalled: bool = False
    """Whether there are memories to be read, as `${inputs.memories}`."""
    warnings: tuple[str, ...] = ()
    """What was left out of the request when it was read."""
    context: CallContext = NO_CONTEXT


@dataclass(frozen=True, slots=True)
class Plan:
    """A valid blueprint and where it came from."""

    blueprint: Mapping[str, Json]
    origin: Origin
    warnings: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Draft:
    """A model's answer to a question for a plan or for a change."""

    text: str
    """As it came."""
    document: Json
    """The text's JSON; None when it does not fit the schema."""
    faults: tuple[Fault, ...] = ()
    """Why it does not fit; not empty then."""
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Brief:
    """What a model is told once: the question, and the JSON Schema of its answer."""

    instructions: str
    schema: Mapping[str, Json]
