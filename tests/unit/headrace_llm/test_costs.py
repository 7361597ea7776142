"""What requests cost, however they end: what the library tells is what the provider was paid for, each attempt once."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace

import pytest
from headrace_llm import metrics
from headrace_llm.budgeted import BudgetedModels
from headrace_llm.budgets import Amount
from headrace_llm.cache.cached_models import CachedModels, Room
from headrace_llm.cache.single_flight import Bounds
from headrace_llm.client import ChatRequest, Completion, ModelClient, Restarted
from headrace_llm.errors import InvalidAnswer, ProviderUnavailable, Throttled
from headrace_llm.job import Rules
from headrace_llm.ports import Answer, ProviderCall
from headrace_llm.registry import DailyBudget, Registry, TenantEntry
from headrace_llm.service import Models
from headrace_llm.spending import Budgets
from headrace_llm.usage import Bill, ModelUsage, Usage
from headrace_runtime.errors import ServiceError

from tests.support.budgets import FakeCounters
from tests.unit.headrace_llm.cache.fakes import FakeShared
from tests.unit.headrace_llm.fakes import ENTRY, FakeGate, FakeProvider, answer, ask

PROMPT = 6
"""The estimate of `ask`'s prompt."""
SCHEMA = {"type": "object", "required": ["n"]}
PLAIN = ENTRY.model_copy(update={"structured": "schema"})
BACKUP = PLAIN.model_copy(update={"id": "backup", "model": "openai/backup"})
ENTRIES = [PLAIN.model_copy(update={"fallbacks": ("backup",)}), BACKUP]


class Till:
    """A provider that writes down what it is paid for: each prompt that it does not refuse, and each piece that it gives.

    It fails, stalls and answers at random.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.calls: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()

    async def ready(self) -> None:
        pass

    async def complete(self, call: ProviderCall, *, timeout_s: float) -> Answer:
        model = call.model.id
        self._paid(model, PROMPT)
        if await self._fate(model, given=0):
            text = self._random.choice(["fine", '{"n": 1}'])
            self.tokens[model] += 3
            return Answer(text, "stop", PROMPT, 3, None)
        raise AssertionError("unreachable")

    async def stream(self, call: ProviderCall, *, timeout_s: float) -> AsyncGenerator[str | Answer, None]:
        model, given = call.model.id, self._random.randint(0, 3)
        self._paid(model, PROMPT)
        for number in range(given):
            await self._fate(model, given=number)
            self.tokens[model] += 1
            yield self._random.choice(["a", ""])
        await self._fate(model, given=given)
        yield Answer('{"n": 1}', "stop", PROMPT, given, None)

    async def _fate(self, model: str, *, given: int) -> bool:
        """Go on, stall until somebody loses patience, or fail; an error before the first piece is not paid."""
        for _ in range(self._random.randint(0, 3)):
            await asyncio.sleep(0)
        match self._random.random():
            case chance if chance < 0.1:
                await asyncio.sleep(60)
            case chance if chance < 0.35:
                if not given:
                    self._paid(model, -PROMPT, -1)
                raise self._random.choice([ProviderUnavailable("away"), Throttled("slow", retry_after_s=0.0)])
        return True

    def _paid(self, model: str, tokens: int, calls: int = 1) -> None:
        self.tokens[model] += tokens
        self.calls[model] += calls

    @property
    def amount(self) -> Amount:
        cost = sum(self.tokens.values()) - PROMPT * sum(self.calls.values())
        return Amount(
            sum(self.calls.values()), sum(self.tokens.values()), PROMPT * sum(self.calls.values()) * 1000 + cost * 2000
        )


async def ends(models: ModelClient, request: ChatRequest, chance: random.Random) -> Usage | None:
    """A caller who reads all, or leaves at some moment; what a whole answer is said to have cost."""
    try:
        if chance.random() < 0.4:
            return (await models.complete(request)).usage
        stream = models.stream(request)
        assert isinstance(stream, AsyncGenerator)
        leaves, seen = chance.choice([1, 2, 99]), 0
        try:
            async for item in stream:
                seen += 1
                if isinstance(item, Completion):
                    return item.usage
                if seen == leaves:
                    break
        finally:
            await stream.aclose()
    except InvalidAnswer as error:
        return error.usage
    except ServiceError:
        pass
    return None


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("seed", range(40))
async def test_what_is_told_is_what_the_provider_was_paid_for(seed: int, cached: bool) -> None:
    chance, till = random.Random(seed), Till(seed)
    registry = Registry.of(ENTRIES, tenants={"tenant": TenantEntry(daily=DailyBudget(calls=10_000))})
    counters = FakeCounters()
    budgets = Budgets(registry, counters, share=1.0, retry_s=1.0)
    rules = Rules(first_token_s=0.02, silence_s=0.02, cool_down_s=0.0)
    inner = Models(registry, FakeGate(), till, rules, jitter=lambda: 0.0)
    models: ModelClient = BudgetedModels(inner, budgets, default_max_tokens=100)
    cache = CachedModels(models, FakeShared(), Room(), Bounds()) if cached else None
    before = tokens_counted()
    bills: list[Bill] = []

    async def one() -> None:
        bill = Bill()
        bills.append(bill)
        request = replace(ask(deadline_s=chance.choice([0.03, 0.3])), on_cost=bill.add)
        if chance.random() < 0.3:
            request = replace(request, schema=SCHEMA)
        task = asyncio.ensure_future(ends(cache or models, request, chance))
        if chance.random() < 0.3:
            for _ in range(chance.randint(0, 12)):
                await asyncio.sleep(0)
            task.cancel()
        with suppress(asyncio.CancelledError):
            usage = await task
            assert usage is None or usage == bill.usage

    await asyncio.gather(*(one() for _ in range(8)))
    if cache is not None:
        await cache.close()
    await budgets.close()
    told = sum((bill.usage for bill in bills), Usage())
    assert {name: one.llm_calls for name, one in told.models.items() if one.llm_calls} == dict(+till.calls)
    assert {n: one.prompt_tokens + one.completion_tokens for n, one in told.models.items() if one.llm_calls} == dict(
        +till.tokens
    )
    assert tokens_counted() - before == sum(till.tokens.values())
    (day,) = {day for _, day in counters.days} or {""}
    assert counters.days.get(("tenant", day), Amount()) == till.amount


def tokens_counted() -> float:
    kinds = [(entry.id, kind) for entry in ENTRIES for kind in ("prompt", "completion")]
    return sum(float(metrics.TOKENS.labels(*kind)._value.get()) for kind in kinds)


async def test_void_halves_are_told_though_the_request_fails() -> None:
    cut, bill = ProviderUnavailable("cut"), Bill()
    provider = FakeProvider()
    provider.scripts.extend([["a", "b", cut], ["c", cut]])
    models = Models(Registry.of([ENTRY]), FakeGate(), provider, Rules(), jitter=lambda: 0.0)
    with pytest.raises(ProviderUnavailable):
        [_ async for _ in models.stream(ask(on_cost=bill.add))]
    one = bill.usage.models["m"]
    assert (one.llm_calls, one.prompt_tokens, one.completion_tokens) == (2, 12, 3)
    assert one.cost_usd == pytest.approx(12e-6 + 6e-6)


async def test_a_reader_who_leaves_is_told_the_prompt_and_what_came() -> None:
    bill = Bill()
    provider = FakeProvider()
    provider.scripts.append(["a", "", "b", 60.0])
    stream = Models(Registry.of([ENTRY]), FakeGate(), provider, Rules()).stream(ask(on_cost=bill.add))
    assert isinstance(stream, AsyncGenerator)
    assert [await anext(stream), await anext(stream)] == ["a", "b"]
    await stream.aclose()
    assert bill.usage.total == ModelUsage(1, 0, PROMPT, 3, 12e-6)


async def test_a_cancelled_call_is_told_its_prompt_and_a_refused_one_nothing() -> None:
    bill = Bill()
    provider = FakeProvider()
    provider.scripts.extend([[60.0], [Throttled("slow", retry_after_s=60)], [answer()]])
    models = Models(Registry.of([ENTRY]), FakeGate(), provider, Rules())
    call = asyncio.create_task(models.complete(ask(on_cost=bill.add)))
    while not provider.open:
        await asyncio.sleep(0)
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    assert bill.usage.total == ModelUsage(1, 0, PROMPT, 0, 6e-6)
    with pytest.raises(Throttled):
        await models.complete(ask(on_cost=bill.add))
    assert bill.usage.total.llm_calls == 1


async def test_a_begun_answer_of_another_model_is_paid_by_name() -> None:
    bill, provider = Bill(), FakeProvider()
    provider.scripts.extend([["a", Throttled("slow", retry_after_s=60)], ["b", answer("b")]])
    models = Models(Registry.of(ENTRIES), FakeGate(), provider, Rules())
    items = [item async for item in models.stream(ask(on_cost=bill.add))]
    assert items[:3] == ["a", Restarted("backup"), "b"]
    assert {name: one.completion_tokens for name, one in bill.usage.models.items()} == {"m": 1, "backup": 5}
