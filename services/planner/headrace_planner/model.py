"""The planner's nouns. Plain data; no I/O, no protobuf."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from headrace_blueprint.faults import Fault
from headrace_blueprint.tools import Tool
from headrace_llm.call_context import NO_CONTEXT, CallContext
from headrace_llm.usage import Usage

Json = Any

MAX_MESSAGE_CHARS = 32_768
MAX_TURNS = 8
MAX_NAMES = 50
"""Most tools, and most sources, that a request names."""
MAX_NAME_CHARS = 200

RUNNABLE = frozenset({"data", "retrieve", "compute", "compose"})
"""Kinds of nodes that the engine runs; a blueprint with another one has a fault."""


class Intent(StrEnum):
    """What a message wants."""

    CHAT = "chat"
    QA = "qa"
    BUILD = "build"
    QUIZ = "quiz"
    PATCH = "patch"


class Origin(StrEnum):
    """Where a plan came from."""

    BUILTIN = "builtin"
    MODEL = "model"
    REPAIRED = "repaired"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier message."""

    role: str
    text: str


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
    """What data nodes may use; empty means every tool."""
    sources: Sequence[str] = ()
    history: Sequence[Turn] = ()
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
    """A model's answer to the question for a plan."""

    text: str
    """As it came."""
    document: Json
    """The text's JSON; None when it does not fit the schema."""
    faults: tuple[Fault, ...] = ()
    """Why it does not fit; not empty then."""
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Brief:
    """What a model is told once: the question, the JSON Schema of its answer, the tools in it."""

    instructions: str
    schema: Mapping[str, Json]
    tools: tuple[Tool, ...]
