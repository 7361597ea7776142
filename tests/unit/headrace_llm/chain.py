"""A world of three models in a chain and one alone, whose provider and gate do what a test says."""

import asyncio
from collections import deque
from collections.abc import Sequence

from headrace_llm import metrics
from headrace_llm.breaker import BreakerRules
from headrace_llm.client import ChatRequest, Completion, Restarted
from headrace_llm.errors import ProviderUnavailable
from headrace_llm.job import Rules
from headrace_llm.registry import ModelEntry, Price, Registry
from headrace_llm.service import Models

from tests.unit.headrace_llm.fakes import FakeGate, FakeProvider, Step

BREAKER = BreakerRules(consecutive=2, open_s=10, max_open_s=40)
PRICE = Price(prompt_usd_per_million=1, completion_usd_per_million=1)
ENTRIES = [
    ModelEntry(id="a", model="openai/a", context_tokens=1000, price=PRICE, fallbacks=("b", "c"), fallback_wait_s=1),
    ModelEntry(id="b", model="openai/b", context_tokens=1000, price=PRICE, fallback_wait_s=1),
    ModelEntry(id="c", model="openai/c", context_tokens=4000, price=PRICE, fallback_wait_s=1),
    ModelEntry(id="lone", model="openai/lone"),
]
AWAY = ProviderUnavailable("away")


class World:
    def __init__(self, *scripts: Sequence[Step], gate: FakeGate | None = None, **rules: object) -> None:
        self.provider = FakeProvider(deque(scripts))
        self.gate = gate or FakeGate()
        self.now = 0.0
        self.seen: list[str | Restarted | Completion] = []
        self.models = Models(
            Registry.of(ENTRIES),
            self.gate,
            self.provider,
            Rules(**rules),  # type: ignore[arg-type]
            jitter=lambda: 0.0,
            clock=lambda: asyncio.get_running_loop().time() + self.now,
            wall_clock=lambda: 1_700_000_000.0 + self.now,
        )

    async def read(self, request: ChatRequest) -> list[str | Restarted | Completion]:
        self.seen.clear()
        async for item in self.models.stream(request):
            self.seen.append(item)
        return self.seen

    def after(self, seconds: float, step: Step) -> None:
        """The next call takes so long on the world's clock, and ends so."""
        self.provider.scripts.append([lambda: self.pass_time(seconds), step])

    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @property
    def called(self) -> list[str]:
        return [call.model.id for call in self.provider.calls]

    @property
    def open_breakers(self) -> set[str]:
        return {entry.id for entry in ENTRIES if self.models._breakers.blocked_s(entry.id) > 0}


def counted(start: str, to: str, reason: str) -> float:
    return float(metrics.FALLBACKS.labels(start, to, reason)._value.get())
