"""What the client needs from outside, as protocols: a gate, the pacer behind it, and a provider."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from headrace_llm.client import Message, ModelSignals, Priority, ToolCall, Wait
from headrace_llm.gate.adaptive import Adaptive
from headrace_llm.gate.limiter import Entered, Standing, View
from headrace_llm.gate.pace import Quota
from headrace_llm.gate.turns import Waiter
from headrace_llm.registry import ModelEntry


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to make one call now."""

    model: ModelEntry
    tokens: int
    """Reserved for it."""
    waited_s: float
    granted_us: int = 0
    """When, by the clock of who let it through."""
    rank: int = 0
    """The class that it was counted in."""
    shared: bool = False
    """Whether all processes know of it."""


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
    prompt_tokens: int = 0
    """Of `tokens`, those that are known."""
    anew: Callable[[], int] | None = None
    """Makes the estimate again: while a call waits, others end and show how long answers are."""
    on_wait: Callable[[Wait], None] | None = None
    """See `ChatRequest`."""


class Gate(Protocol):
    """Decides when a call may go."""

    async def acquire(self, model: ModelEntry, ask: Ask) -> Grant:
        """Wait for this call's turn, `ask.max_wait_s` seconds at most.

        Raises `GateRefused`, at once, when its turn would come later; then nothing was taken from the quota.
        Cancelling gives the turn back where nobody has queued up behind it.
        """

    def settle(self, grant: Grant, *, actual_tokens: int | None, seconds: float) -> None:
        """Say what the call really used, None if nobody knows, and how long it took. Returns at once."""

    def give_back(self, grant: Grant) -> None:
        """Say, in place of `settle`, that the call was never sent. Returns at once."""

    async def throttled(self, grant: Grant, *, retry_after_s: float | None) -> None:
        """The provider refused the granted call: let nobody through for that long, in any process, and learn from it.

        None means that the provider did not say for how long.
        """

    def signals(self) -> Sequence[ModelSignals]:
        """Every registry model's gate now, as of a moment ago."""


class Waits(Protocol):
    """Where runs' calls stand at the gate, across processes."""

    def note(self, run_id: str, wait: Wait) -> None:
        """Say where a call of a run stands; of several that are noted together the next to go counts. Returns at once."""

    async def of_run(self, run_id: str) -> Wait | None:
        """What was noted of a run in the last seconds; None when nothing was, or nobody knows."""


class Away(Exception):
    """The shared state did not answer in time, or cannot answer now."""


@dataclass(frozen=True, slots=True)
class Told:
    """The news of a grant."""

    scope: str
    waiter_id: str
    rank: int
    tokens: int
    now_us: int


class SharedLimits(Protocol):
    """The state of all limits that all processes share. Every call ends soon, by its answer or by `Away`."""

    async def enter(self, scope: str, quota: Quota, waiter: Waiter, *, age_us: int, unblocks: int, number: int) -> Entered:
        """Let a call through, queue it or refuse it; `waiter.latest_us` counts from now. Its `order` is made there."""

    async def pump(self, scope: str, quota: Quota) -> float:
        """Let through whoever may go, in any process; return microseconds until the next may, -1 when nobody waits."""

    async def leave(self, scope: str, quota: Quota, waiter_id: str) -> bool:
        """Take a call out of the queue; False when it is not there."""

    async def missing(self, scope: str, quota: Quota, waiter_ids: Sequence[str]) -> Sequence[str]:
        """Those of the calls that are not in the queue."""

    async def standings(self, scope: str, quota: Quota, waiter_ids: Sequence[str]) -> Sequence[Standing | None]:
        """Where each of the calls stands; None for one that is not in the queue."""

    async def give_back(self, scope: str, quota: Quota, *, rank: int, tokens: int, granted_us: int) -> float:
        """Undo a grant that was not used, and pump: the next has its turn at once."""

    async def settle(self, scope: str, quota: Quota, *, reserved: int, used: int, seconds: float, granted_us: int) -> float:
        """Correct a grant by what its call used, and pump: unused tokens may be the next one's turn."""

    async def resize(self, scope: str, quota: Quota, waiter_id: str, *, tokens: int) -> None:
        """Correct the tokens of a call that waits; it keeps its place."""

    async def postpone(self, scope: str, quota: Quota, *, by_us: int) -> None:
        """Move later calls on: one has left late."""

    async def refused(self, scope: str, quota: Quota, *, granted_us: int, pause_us: int, asked: bool) -> None:
        """The provider refused a call; `asked`: the pause is its own word."""

    async def rejoin(self, scope: str, quota: Quota, *, pause_us: int) -> None:
        """Come back after an outage: the first process to do so stops everybody who shares the limit for the pause."""

    async def view(self, scope: str, quota: Quota) -> tuple[Adaptive, View]:
        """What is known of the provider, and the limit now."""

    async def beat(self) -> Sequence[str]:
        """Say that this process lives, and return the ids of all that do, in order."""

    def listen(self, heard: Callable[[Told], None]) -> AbstractAsyncContextManager[Awaitable[None]]:
        """Hear of grants of this process's calls. What is entered ends, by `Away`, with the hearing."""


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

    async def ready(self) -> None:
        """Wait until a call would leave at once: what is loaded first must not be loaded while a grant waits."""

    async def complete(self, call: ProviderCall, *, timeout_s: float) -> Answer:
        """Ask for a whole answer within `timeout_s`."""

    def stream(self, call: ProviderCall, *, timeout_s: float) -> AsyncGenerator[str | Answer, None]:
        """Ask for pieces of text; the last item is the Answer. Closing it aborts the call.

        An empty piece is a sign of life: a tool call is being written.
        """
