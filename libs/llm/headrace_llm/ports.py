"""What the client needs from outside, as protocols: a gate, the pacer behind it, and a provider."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from headrace_llm.client import Message, ModelSignals, Priority, ToolCall
from headrace_llm.policy import Limit, Slot
from headrace_llm.registry import ModelEntry


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to make one call now."""

    model: ModelEntry
    tokens: int
    """Reserved for it."""
    waited_s: float
    slot: Slot


@dataclass(frozen=True, slots=True)
class Ask:
    """What a call wants of the gate."""

    tokens: int
    """An estimate of prompt and answer."""
    priority: Priority
    tenant_id: str
    max_wait_s: float
    """How long it may wait: what its deadline leaves when a call of its kind has had its time."""
    started_at: float | None = None
    """See `ChatRequest`; the same over all attempts of a request, so that a repeated one keeps its place."""
    unblocks: int = 0
    run_id: str = ""


class Gate(Protocol):
    """Decides when a call may go."""

    async def acquire(self, model: ModelEntry, ask: Ask) -> Grant:
        """Wait for this call's turn, `ask.max_wait_s` seconds at most.

        Raises `GateRefused`, at once, when its turn would come later; then nothing was taken from the quota.
        Cancelling gives the turn back where nobody has queued up behind it.
        """

    def settle(self, grant: Grant, *, actual_tokens: int | None, seconds: float) -> None:
        """Say what the call really used, None if nobody knows, and how long it took. Returns at once."""

    async def throttled(self, grant: Grant, *, retry_after_s: float) -> None:
        """The provider refused the granted call: let nobody through for that long, in any process."""

    def signals(self) -> Sequence[ModelSignals]:
        """Every registry model's gate, as this process saw it in the last minute."""


class Pacer(Protocol):
    """Hands out slots in time. One limit's slots are handed out in the order that they are used."""

    async def reserve(self, scope: str, limit: Limit, *, tokens: int, max_wait_us: int) -> Slot:
        """Reserve the next slot, unless it is further away than `max_wait_us`."""

    async def cooling_us(self, scope: str) -> int:
        """How long the scope still cools down, 0 for not at all."""

    async def give_back(self, scope: str, slot: Slot) -> None:
        """Undo a reservation that was not used, where it is the newest one; else only its tokens."""

    async def adjust(self, scope: str, limit: Limit, slot: Slot, *, tokens: int) -> None:
        """Add tokens that a call used beyond its slot's reservation; a negative number gives unused ones back."""

    async def cool_down(self, scope: str, *, for_us: int) -> None:
        """Move all slots from now on behind a pause."""


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """One request to one model, whatever the retries around it."""

    model: ModelEntry
    messages: Sequence[Message]
    max_tokens: int
    temperature: float
    schema: Mapping[str, Any] | None
    tools: Sequence[Mapping[str, Any]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider said at the end of a call."""

    text: str
    finish_reason: str
    prompt_tokens: int | None
    """None when the provider did not say."""
    completion_tokens: int | None
    cost_usd: float | None
    """By the provider library's price list; None when it does not know the model."""
    tool_calls: Sequence[ToolCall] = ()


class Provider(Protocol):
    """Speaks to models. Every failure is one of `headrace_llm.errors`."""

    async def complete(self, call: ProviderCall, *, timeout_s: float) -> Answer:
        """Ask for a whole answer within `timeout_s`."""

    def stream(self, call: ProviderCall, *, timeout_s: float) -> AsyncGenerator[str | Answer, None]:
        """Ask for pieces of text; the last item is the Answer. Closing it aborts the call.

        An empty piece is a sign of life: a tool call is being written.
        """
