"""A model whose calls a test plays, and a Redis of the memory."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from headrace_llm.cache.policy import Kept, Key
from headrace_llm.cache.ports import Found, Question, Turn
from headrace_llm.client import ChatRequest, Completion, Message, ModelSignals, Restarted
from headrace_llm.registry import ModelEntry, Registry
from headrace_llm.usage import ModelUsage, Usage

ENTRY = ModelEntry(id="m", model="openai/m")
REGISTRY = Registry.of([ENTRY])
COST = ModelUsage(1, 0, 10, 5, 0.5)


def ask(text: str = "hello", *, tenant: str = "t", deadline_s: float = 1000.0, **changes: object) -> ChatRequest:
    """A request."""
    return ChatRequest((Message("user", text),), tenant, deadline_s, **changes)  # type: ignore[arg-type]


def done(text: str = "fine", *, model: str = "m", finish: str = "stop") -> Completion:
    """An answer that cost `COST`."""
    return Completion(text, model, Usage({model: COST}), finish)


async def idle() -> None:
    """Let every task go as far as it can."""
    for _ in range(40):
        await asyncio.sleep(0)


@dataclass
class Call:
    """One call, which goes on as the test says."""

    request: ChatRequest
    script: asyncio.Queue[str | Restarted | Completion | Exception] = field(default_factory=asyncio.Queue)
    open: bool = True

    def say(self, *items: str | Restarted | Completion | Exception) -> None:
        """Have it go on."""
        for item in items:
            self.script.put_nowait(item)


@dataclass
class Stage:
    """A `ModelClient` whose calls wait for the test."""

    registry: Registry = REGISTRY
    calls: list[Call] = field(default_factory=list)
    may_close: asyncio.Event | None = None
    """What a call that is broken off waits for."""

    @property
    def open(self) -> list[Call]:
        """The calls that have not ended."""
        return [call for call in self.calls if call.open]

    async def complete(self, request: ChatRequest) -> Completion:
        async for item in self.stream(request):
            if isinstance(item, Completion):
                return item
        raise AssertionError

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Restarted | Completion]:
        call = Call(request)
        self.calls.append(call)
        try:
            while True:
                item = await call.script.get()
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, Completion):
                    call.open = False
                    request.on_cost(item.usage)
                yield item
                if isinstance(item, Completion):
                    return
        finally:
            if call.open and self.may_close is not None:
                await self.may_close.wait()
            call.open = False

    def signals(self) -> Sequence[ModelSignals]:
        return [ModelSignals("m", granted_rpm=7)]


class FakeBell:
    """Rings in the same process."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.unshared = False

    def mute(self) -> None:
        self.event.clear()

    async def rung(self, *, timeout_s: float) -> Turn | None:
        await self.event.wait()
        return Turn.ALONE if self.unshared else None


class FakeShared:
    """Answers and leases in memory."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.kept: dict[str, Kept] = {}
        self.leases: dict[tuple[str, int], str] = {}
        self.bells: dict[str, list[FakeBell]] = {}
        self.looks = 0
        self.ttl_s = 100.0

    async def look(self, question: Question) -> Found | Turn:
        self.looks += 1
        await asyncio.sleep(0)
        if self.away:
            return Turn.ALONE
        if kept := self.kept.get(question.key.digest):
            return Found(kept, self.ttl_s)
        owner = self.leases.setdefault((question.key.digest, question.urgency), question.token)
        await asyncio.sleep(0)
        return Turn.MINE if owner == question.token else Turn.OTHERS

    async def renew(self, question: Question) -> None:
        await asyncio.sleep(0)

    async def settle(self, question: Question, *, kept: Kept | None, failed: bool = False) -> None:
        await asyncio.sleep(0)
        if kept is not None:
            self.kept[question.key.digest] = kept
        if self.leases.get((question.key.digest, question.urgency)) == question.token:
            del self.leases[question.key.digest, question.urgency]
        for bell in self.bells.get(question.key.digest, ()):
            bell.unshared = kept is None and not failed
            bell.event.set()

    @contextmanager
    def listen(self, key: Key) -> Iterator[FakeBell]:
        bell = FakeBell()
        self.bells.setdefault(key.digest, []).append(bell)
        try:
            yield bell
        finally:
            self.bells[key.digest].remove(bell)
