"""A provider and a gate that do what a test says."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from headrace_llm.client import ChatRequest, Message, ModelSignals
from headrace_llm.errors import GateRefused
from headrace_llm.ports import Answer, Ask, Grant, ProviderCall
from headrace_llm.registry import Limits, ModelEntry, Price, Registry

ENTRY = ModelEntry(
    id="m",
    model="openai/m",
    context_tokens=1000,
    price=Price(prompt_usd_per_million=1, completion_usd_per_million=2),
    limits=Limits(rpm=60),
)
REGISTRY = Registry.of([ENTRY])


def ask(text: str = "hello", *, deadline_s: float = 5.0, **changes: object) -> ChatRequest:
    """A request."""
    return ChatRequest((Message("user", text),), "tenant", deadline_s, **changes)  # type: ignore[arg-type]


def answer(text: str = "fine", *, prompt: int | None = 10, completion: int | None = 5, finish: str = "stop") -> Answer:
    """A provider's answer."""
    return Answer(text, finish, prompt, completion, None)


Step = str | float | Exception | Answer | Callable[[], None]
"""A piece, a pause in seconds, an error, the end, or something that happens meanwhile."""


@dataclass
class FakeProvider:
    """Each call plays the next list of steps."""

    scripts: deque[Sequence[Step]] = field(default_factory=deque)
    calls: list[ProviderCall] = field(default_factory=list)
    open: int = 0
    loaded: asyncio.Event | None = None
    """When it is ready, if that takes time."""

    async def ready(self) -> None:
        if self.loaded is not None:
            await self.loaded.wait()

    async def complete(self, call: ProviderCall, *, timeout_s: float) -> Answer:
        async with aclosing(self.stream(call, timeout_s=timeout_s)) as items:
            async for item in items:
                if isinstance(item, Answer):
                    return item
        raise AssertionError

    async def stream(self, call: ProviderCall, *, timeout_s: float) -> AsyncGenerator[str | Answer, None]:
        self.calls.append(call)
        self.open += 1
        try:
            for step in self.scripts.popleft():
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                elif callable(step):
                    step()
                else:
                    yield step
        finally:
            self.open -= 1


@dataclass
class FakeGate:
    """Grants at once and writes down what it is told."""

    refusal: Exception | None = None
    busy_s: dict[str, float] = field(default_factory=dict)
    """How long each model's turn is away; whoever may not wait so long is refused, nobody really waits."""
    asked: list[tuple[str, Ask]] = field(default_factory=list)
    granted: int = 0
    models: Sequence[str] = ("m",)
    """Of `signals`."""
    acquired: list[tuple[int, float]] = field(default_factory=list)
    settled: list[int | None] = field(default_factory=list)
    pauses: list[float | None] = field(default_factory=list)
    given_back: int = 0

    async def acquire(self, model: ModelEntry, ask: Ask) -> Grant:
        self.asked.append((model.id, ask))
        await asyncio.sleep(0)
        if self.refusal:
            raise self.refusal
        wait_s = self.busy_s.get(model.id, 0.0)
        if wait_s > ask.max_wait_s:
            raise GateRefused("later", retry_after_s=wait_s)
        self.granted += 1
        self.acquired.append((ask.tokens, ask.max_wait_s))
        return Grant(model, ask.tokens, 0.0)

    def settle(self, grant: Grant, *, actual_tokens: int | None, seconds: float) -> None:
        self.settled.append(actual_tokens)

    def give_back(self, grant: Grant) -> None:
        self.given_back += 1

    async def throttled(self, grant: Grant, *, retry_after_s: float | None) -> None:
        self.pauses.append(retry_after_s)

    def signals(self) -> Sequence[ModelSignals]:
        return [ModelSignals(model) for model in self.models]
