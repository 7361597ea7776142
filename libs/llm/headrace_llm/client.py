"""How the rest of Headrace asks a model. `ModelClient` is the interface; `headrace_llm.app` makes the real one."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal, Protocol

from headrace_llm.registry import Registry
from headrace_llm.usage import Usage, unheard


class Priority(IntEnum):
    """Smaller goes first at the gate."""

    INTERACTIVE = 1
    STANDARD = 2
    BACKGROUND = 3


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to have a function called."""

    id: str
    name: str
    arguments: str
    """JSON as the model wrote it; nobody has checked it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a prompt."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: Sequence[ToolCall] = ()
    """Of an assistant's turn."""
    tool_call_id: str = ""
    """Of a tool's turn: the call that it answers."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Where a call stands that waits for its turn at the gate, about."""

    position: int
    """1 goes next. Who comes later and goes first moves it back."""
    expected_s: float
    """What is left."""
    waited_s: float
    """So far, at this gate."""


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
    purpose: str = "chat"
    """What kind of call it is (route, plan, compose, extract …): calls of a kind take about as long. A metric's label."""
    run_id: str = ""
    """The run that it belongs to, "" for none."""
    started_at: float | None = None
    """When the work that it belongs to began, in seconds since 1970: of a tenant's calls in a class, older work goes first.
    None means now."""
    unblocks: int = 0
    """How many later steps of its run wait for it: of one run's calls, those that unblock most go first."""
    tools: Sequence[Mapping[str, Any]] = ()
    """Functions that the model may wish to have called, in OpenAI's form."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further parameters in OpenAI's words (top_p, stop, seed, tool_choice, response_format …), passed on as they are."""
    cache: bool | None = None
    """Whether an exact repetition may be answered from the cache: None means at temperature 0, without tools and without
    options that vary answers."""
    on_wait: Callable[[Wait], None] | None = field(default=None, compare=False)
    """Told about once a second while the call waits at the gate, and nothing when it goes at once. It must neither wait nor
    raise."""
    on_cost: Callable[[Usage], None] = field(default=unheard, compare=False)
    """Told what each attempt cost as soon as it has ended, however it ended: answered, failed, cancelled or closed. What it
    is told adds up to what the request cost. It must neither wait nor raise."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer."""

    text: str
    model: str
    """The registry id that answered."""
    usage: Usage
    """Of all attempts: the sum of what `ChatRequest.on_cost` was told."""
    finish_reason: str = "stop"
    """stop, length, content_filter or tool_calls."""
    tool_calls: Sequence[ToolCall] = ()


@dataclass(frozen=True, slots=True)
class Restarted:
    """In a stream: what came so far is void, as `model` failed in the middle of it; the answer begins anew."""

    model: str
    """The registry id that answers now."""


@dataclass(frozen=True, slots=True)
class ModelSignals:
    """One model's gate, as this process sees it."""

    model: str
    granted_rpm: float = 0.0
    """Calls let through in the last minute, by all processes while the gate is shared."""
    effective_rpm: float = 0.0
    """The pace now: what is configured, as far as the provider was seen to grant it; 0 when nothing is configured."""
    queue_depth: int = 0
    oldest_wait_s: float = 0.0
    throttled_ratio: float = 0.0
    """Calls of the last minute that the provider refused, 0 to 1."""
    seconds_per_call: float = 0.0
    configured_rpm: float = 0.0
    queued: Mapping[Priority, int] = field(default_factory=dict)
    """The queue by priority."""
    expected_wait_s: Mapping[Priority, float] = field(default_factory=dict)
    """How long a call that came now would wait."""
    cooling_s: float = 0.0
    """What is left of the pause after a 429."""
    shared: bool = True
    """False while Redis is away and this process keeps to its share."""
    breaker_open: bool = False
    """Whether calls are refused because the model keeps failing."""
    cached_ratio: float = 0.0
    """Requests of the last minute that the cache answered, 0 to 1."""


class ModelClient(Protocol):
    """Asks models. Every failure is one of `headrace_llm.errors`."""

    @property
    def registry(self) -> Registry:
        """The models that can be asked."""

    async def complete(self, request: ChatRequest) -> Completion:
        """Ask for a whole answer."""

    def stream(self, request: ChatRequest) -> AsyncIterator[str | Restarted | Completion]:
        """Ask for an answer in pieces of text, none of them empty; the last item is the Completion.

        After a `Restarted` the pieces begin anew, perhaps of another model.

        Closing the iterator aborts the call at the provider.
        """

    def signals(self) -> Sequence[ModelSignals]:
        """Every registry model's gate now."""
