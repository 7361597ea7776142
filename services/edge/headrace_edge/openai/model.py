"""A model asked directly, and its answer in pieces."""

from dataclasses import dataclass
from typing import Literal

from headrace_edge.model import Usage


@dataclass(frozen=True, slots=True)
class Question:
    """A model to be asked."""

    tenant: str
    model: str
    body: bytes
    """OpenAI's request, JSON."""
    priority: Literal["interactive", "standard", "background"]
    timeout_s: float
    cache: bool | None
    """Whether the cache may answer; None means as usual."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """What came of an answer so far is void: it begins anew."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to have a function called."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The end of an answer."""

    text: str
    """All of it."""
    model: str
    finish_reason: str
    usage: Usage
    tool_calls: tuple[ToolCall, ...] = ()


AnswerItem = str | Restarted | Answered
"""A piece of an answer's text, or what ends it."""
