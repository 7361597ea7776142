"""Budgets on a real Valkey: budget.lua against the arithmetic, sharing, losing Redis, emptied Redis."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio
from headrace_llm import budgets
from headrace_llm.adapters.redis_budgets import KEEP_S, PREFIX, RedisCounters
from headrace_llm.adapters.redis_gate import connect
from headrace_llm.app import Parts, model_parts
from headrace_llm.budgets import Amount, Ceiling
from headrace_llm.client import ChatRequest, Message
from headrace_llm.errors import BudgetSpent
from headrace_llm.registry import DailyBudget, ModelEntry, Price, Registry, TenantEntry
from headrace_llm.settings import LlmSettings
from headrace_llm.spending import Budgets
from pydantic import SecretStr

from tests.support.budgets import FakeLedger
from tests.support.openai_server import OpenAiServer, openai_server
from tests.support.outage import way_to

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:litellm")
DAY = "2026-01-01"


@asynccontextmanager
async def process(url: str, *, share: float = 0.5, **daily: float) -> AsyncIterator[Budgets]:
    """What one process has of the budgets."""
    tenants = {"t": TenantEntry(daily=DailyBudget.model_validate(daily))}
    registry = Registry.of([ModelEntry(id="m", model="openai/m")], tenants=tenants)
    async with aclosing(connect(url, timeout_s=1, connections=4)) as client:
        value = Budgets(registry, RedisCounters(client), share=share, retry_s=0.05)
        try:
            yield value
        finally:
            await value.close()


@pytest.mark.parametrize("seed", range(5))
async def test_the_script_does_what_the_arithmetic_says(redis_url: str, seed: int) -> None:
    chance = random.Random(seed)
    async with aclosing(connect(redis_url, timeout_s=2, connections=2)) as client:
        counters, used = RedisCounters(client), Amount()
        tops = [chance.choice([None, 0, 50, 10**6, 10**12]) for _ in range(3)]
        ceiling = Ceiling(*tops)

        def amount(low: int) -> Amount:
            return Amount(*(chance.randrange(low, chance.choice([2, 100, 10**11])) for _ in range(3)))

        for _ in range(150):
            operation = chance.choice(["reserve", "reserve", "add", "raise"])
            if operation == "reserve":
                wanted, owed = amount(0), chance.choice([Amount(), amount(-50)])
                counted = await counters.reserve("t", DAY, wanted=wanted, ceiling=ceiling, owed=owed, need_seed=False)
                used, figure = budgets.reserve(budgets.correct(used, owed), wanted, ceiling)
                assert (counted.used, counted.granted) == (used, figure is None)
            elif operation == "add":
                change = amount(-1000)
                used = budgets.correct(used, change)
                assert await counters.add("t", DAY, change) == used
            else:
                least = amount(0)
                used = used.at_least(least)
                assert await counters.raise_to("t", DAY, least) == used
            assert (await counters.read("t", DAY)).used == used
        assert KEEP_S - 60 < await client.ttl(f"{PREFIX}{DAY}:t") <= KEEP_S


async def test_an_unseeded_count_grants_nothing_to_who_needs_a_seed_and_changes_nothing(redis_url: str) -> None:
    async with aclosing(connect(redis_url, timeout_s=2, connections=2)) as client:
        counters = RedisCounters(client)
        counted = await counters.reserve(
            "t", DAY, wanted=Amount(1, 1, 1), ceiling=Ceiling(9), owed=Amount(2), need_seed=True
        )
        assert (counted.granted, counted.seed_age_s) == (False, None)
        assert await client.dbsize() == 0
        assert (await counters.read("t", DAY)).seed_age_s is None
        await counters.raise_to("t", DAY, Amount())
        assert (await counters.read("t", DAY)).seed_age_s == pytest.approx(0, abs=5)
        counted = await counters.reserve("t", DAY, wanted=Amount(1), ceiling=Ceiling(9), owed=Amount(), need_seed=True)
        assert counted.granted


async def test_processes_share_one_budget(redis_url: str) -> None:
    async with process(redis_url, calls=30) as one, process(redis_url, calls=30) as two:
        asked = [each.reserve("t", Amount(1, 10, 10)) for each in (one, two) for _ in range(40)]
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(end, BudgetSpent) for end in ends) == 50
        assert await one.used("t") == Amount(30, 300, 300)


async def test_a_redis_that_goes_and_comes_back_neither_frees_nor_loses_a_call(redis_url: str) -> None:
    async with way_to(redis_url) as (url, way), process(url, calls=20, share=0.5) as away:
        async with process(redis_url, calls=20) as other:
            await away.reserve("t", Amount(1))
            await away.reserve("t", Amount(1))
            await way.cut()
            ends = [await _end(away) for _ in range(12)]
            assert ends == [True] * 9 + [False] * 3
            await other.reserve("t", Amount(1))
            await way.mend()
            async with asyncio.timeout(20):
                while await other.used("t") != Amount(12):
                    await away.reconcile()
                    await asyncio.sleep(0.01)


async def test_an_emptied_redis_gets_the_ledgers_word_before_the_next_call_of_a_process_that_has_one(
    redis_url: str,
) -> None:
    async with process(redis_url, calls=10) as executor, process(redis_url, calls=10) as router:
        executor.ledger = ledger = FakeLedger()
        await executor.reserve("t", Amount(1))
        await _flush(redis_url)
        await router.reserve("t", Amount(1))
        ledger.amount = Amount(9)
        await executor.reserve("t", Amount(1))
        for each in (executor, router):
            with pytest.raises(BudgetSpent):
                await each.reserve("t", Amount(1))


async def _end(process: Budgets) -> bool:
    """Whether one more call was let through."""
    try:
        return await process.reserve("t", Amount(1)) is not None
    except BudgetSpent:
        return False


async def _flush(url: str) -> None:
    async with aclosing(redis.asyncio.from_url(url)) as client:
        await client.flushall()


@asynccontextmanager
async def client(redis_url: str, **daily: float) -> AsyncIterator[tuple[Parts, OpenAiServer]]:
    """The real client before a real HTTP server."""
    async with openai_server() as server:
        price = Price(prompt_usd_per_million=1000, completion_usd_per_million=1000)
        entry = ModelEntry(id="local", model="openai/local", api_base=server.base_url, price=price)
        tenants = {"t": TenantEntry(daily=DailyBudget.model_validate(daily))}
        settings = LlmSettings(models_file=Path("unused"), redis_url=SecretStr(redis_url), fallback_share=0.5, cache=False)
        async with model_parts(settings, Registry.of([entry], tenants=tenants)) as parts:
            yield parts, server


def question(**changes: object) -> ChatRequest:
    return ChatRequest((Message("user", "how is it"),), "t", 20.0, max_tokens=10, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("daily", [{"calls": 2}, {"tokens": 28}, {"usd": 0.028}])
async def test_the_provider_is_not_asked_for_what_the_budget_refuses(redis_url: str, daily: dict[str, float]) -> None:
    async with client(redis_url, **daily) as (parts, server):
        for _ in range(2):
            await parts.client.complete(question())
            await parts.budgets.close()
        with pytest.raises(BudgetSpent):
            await parts.client.complete(question())
        with pytest.raises(BudgetSpent):
            await anext(aiter(parts.client.stream(question())))
        assert len(server.requests) == 2
        assert await parts.budgets.used("t") == Amount(2, 12, 12_000_000)


async def test_without_redis_calls_go_on_within_this_processs_share() -> None:
    async with client("redis://127.0.0.1:9/0", calls=4) as (parts, server):
        for _ in range(2):
            await parts.client.complete(question())
        with pytest.raises(BudgetSpent):
            await parts.client.complete(question())
        assert len(server.requests) == 2
