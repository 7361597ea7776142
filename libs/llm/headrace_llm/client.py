"""How the rest of Headrace asks a model. `ModelClient` is the interface; `headrace_llm.app` makes the real one."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, Protocol

from headrace_llm.registry import Registry
from headrace_llm.usage import Usage


class Priority(IntEnum):
    """Smaller goes first at the gate."""

    INTERACTIVE = 1
    STANDARD = 2
    BACKGROUND = 3


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a model."""

    messages: Sequence[Message]
    tenant_id: str
    deadline_s: float
    """Seconds from now within which the answer must be whole, waiting at the gate included."""
    model: str = ""
    """A registry id; "" means the registry's default."""
    priority: Priority = Priority.STANDARD
    max_tokens: int | None = None
    temperature: float = 0.0
    schema: Mapping[str, Any] | None = None
    """A JSON Schema that the answer must satisfy: the provider is told, and the answer is validated."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer."""

    text: str
    model: str
    """The registry id that answered."""
    usage: Usage
    finish_reason: str = "stop"
    """stop, length or content_filter."""


@dataclass(frozen=True, slots=True)
class ModelSignals:
    """One model's gate, as this process sees it."""

    model: str
    granted_rpm: float = 0.0
    effective_rpm: float = 0.0
    queue_depth: int = 0
    oldest_wait_s: float = 0.0
    throttled_ratio: float = 0.0
    seconds_per_call: float = 0.0


class ModelClient(Protocol):
    """Asks models. Every failure is one of `headrace_llm.errors`."""

    @property
    def registry(self) -> Registry:
        """The models that can be asked."""

    async def complete(self, request: ChatRequest) -> Completion:
        """Ask for a whole answer."""

    def stream(self, request: ChatRequest) -> AsyncIterator[str | Completion]:
        """Ask for an answer in pieces of text, none of them empty; the last item is the Completion.

        Closing the iterator aborts the call at the provider.
        """

    def signals(self) -> Sequence[ModelSignals]:
        """Every registry model's gate now."""
