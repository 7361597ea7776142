"""Calls under a budget: refused before they are made, corrected after, and what happens without the counters."""

import asyncio
from contextlib import aclosing, suppress
from typing import Any

import pytest
from headrace_llm import metrics
from headrace_llm.budgeted import BudgetedModels
from headrace_llm.budgets import Amount
from headrace_llm.client import ChatRequest, Message
from headrace_llm.errors import BudgetSpent, InvalidAnswer, ProviderUnavailable
from headrace_llm.registry import DailyBudget, ModelEntry, Price, Registry, TenantEntry
from headrace_llm.spending import IN_FLIGHT_RETRY_S, SEED_S, TEND_S, Budgets
from headrace_llm.usage import ModelUsage, Usage

from tests.support.budgets import FakeCounters, FakeLedger
from tests.support.models import Answer, Scripted, ScriptedModels

NOON = 1_767_268_800.0
DAY = "2026-01-01"
ENTRY = ModelEntry(id="big", model="scripted/big", price=Price(prompt_usd_per_million=1, completion_usd_per_million=2))


class Bench:
    """One process with scripted models, fake counters and a clock."""

    def __init__(self, *answers: Answer, counters: FakeCounters | None = None, share: float = 0.5, **daily: Any) -> None:
        tenants = {"t": TenantEntry(daily=DailyBudget(**daily)), "free": TenantEntry()}
        self.registry = Registry.of([ENTRY], tenants=tenants)
        self.counters = counters or FakeCounters()
        self.now = NOON
        self.ticks = 0.0
        self.budgets = Budgets(
            self.registry, self.counters, share=share, retry_s=1.0, now=lambda: self.now, clock=lambda: self.ticks
        )
        self.inner = ScriptedModels(answers, registry=self.registry)
        self.models = BudgetedModels(self.inner, self.budgets, default_max_tokens=100)

    async def ask(self, tenant: str = "t", **fields: Any) -> None:
        try:
            await self.models.complete(ChatRequest((Message("user", "hello"),), tenant, 5.0, **fields))
        finally:
            await self.budgets.close()

    @property
    def used(self) -> Amount:
        return self.counters.days.get(("t", DAY), Amount())


async def test_a_call_is_reserved_at_its_estimate_and_corrected_to_what_it_used() -> None:
    bench = Bench(Scripted(("a", "b"), gate=(gate := asyncio.Event())), calls=5)
    call = asyncio.create_task(bench.ask())
    while not bench.inner.requests:
        await asyncio.sleep(0)
    assert bench.used == Amount(1, 106, 206_000)
    gate.set()
    await call
    assert bench.used == Amount(1, 12, 0)


async def test_a_spent_budget_refuses_before_anybody_is_asked_and_says_until_when() -> None:
    bench = Bench(calls=2)
    before = metrics.BUDGET_REFUSED.labels("calls")._value.get()
    await bench.ask()
    await bench.ask()
    with pytest.raises(BudgetSpent, match=r"2 of its 2 calls.*tenants\.t\.daily\.calls") as caught:
        await bench.ask()
    assert caught.value.reason == "BUDGET_SPENT"
    assert caught.value.retry_after_s == 43_200
    assert len(bench.inner.requests) == 2
    assert metrics.BUDGET_REFUSED.labels("calls")._value.get() == before + 1


async def test_a_new_day_begins_with_the_whole_budget() -> None:
    bench = Bench(calls=1)
    await bench.ask()
    bench.now += 43_200
    await bench.ask()
    with pytest.raises(BudgetSpent):
        await bench.ask()


@pytest.mark.parametrize("daily", [{"tokens": 105}, {"usd": 0.0002}])
async def test_a_call_whose_estimate_does_not_fit_is_refused_and_a_shorter_one_is_not(daily: dict[str, Any]) -> None:
    bench = Bench(**daily)
    with pytest.raises(BudgetSpent):
        await bench.ask()
    await bench.ask(max_tokens=10)


async def test_while_only_calls_in_flight_fill_the_budget_a_refusal_is_for_a_moment() -> None:
    bench = Bench(tokens=150)
    reservation = await bench.budgets.reserve("t", Amount(1, 106, 0))
    assert reservation is not None
    with pytest.raises(BudgetSpent) as caught:
        await bench.ask()
    assert (caught.value.reason, caught.value.retry_after_s) == ("BUDGET_IN_FLIGHT", IN_FLIGHT_RETRY_S)
    bench.budgets.settle(reservation, Amount(1, 12, 0))
    await bench.ask()
    reservation = await bench.budgets.reserve("t", Amount(1, 126, 0))
    assert reservation is not None
    bench.budgets.settle(reservation, Amount(1, 126, 0))
    with pytest.raises(BudgetSpent) as caught:
        await bench.ask()
    assert caught.value.retry_after_s == 43_200


async def test_calls_at_once_cannot_pass_the_budget_together() -> None:
    bench = Bench(calls=3)
    ends = await asyncio.gather(*(bench.ask() for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(end, BudgetSpent) for end in ends) == 7
    assert len(bench.inner.requests) == 3


async def test_a_tenant_without_a_budget_costs_no_question() -> None:
    bench = Bench(calls=1)
    await bench.ask("free")
    await bench.ask("somebody")
    await bench.budgets.require("somebody")
    assert bench.counters.questions == 0


async def test_a_failed_call_is_given_back_but_for_what_it_is_known_to_have_cost() -> None:
    paid = Usage({"big": ModelUsage(2, 0, 10, 5, 0.5)})
    bench = Bench(ProviderUnavailable("gone"), InvalidAnswer("no", text="", faults=["x"], usage=paid), calls=5)
    with pytest.raises(ProviderUnavailable):
        await bench.ask()
    assert bench.used == Amount()
    with pytest.raises(InvalidAnswer):
        await bench.ask()
    assert bench.used == Amount(2, 15, 500_000_000)


async def test_a_stream_that_breaks_off_counts_its_prompt_and_what_came() -> None:
    for script in (Scripted(("a", "b", "c")), Scripted(("a", "b"), error=ProviderUnavailable("gone"))):
        bench = Bench(script, calls=5)
        request = ChatRequest((Message("user", "hello"),), "t", 5.0)
        seen = 0
        with suppress(ProviderUnavailable):
            async with aclosing(bench.models.stream(request)) as stream:  # type: ignore[type-var]
                async for _ in stream:
                    seen += 1
                    if seen == 2 and script.error is None:
                        break
        await bench.budgets.close()
        assert bench.used == Amount(1, 10 + 2, 0)


async def test_a_stream_to_its_end_counts_what_its_usage_says() -> None:
    bench = Bench("one two", calls=5)
    items = [item async for item in bench.models.stream(ChatRequest((Message("user", "hello"),), "t", 5.0))]
    await bench.budgets.close()
    assert items[:2] == ["one ", "two"]
    assert bench.used == Amount(1, 12, 0)


async def test_a_caller_that_goes_while_it_asks_leaves_no_reservation() -> None:
    bench = Bench(calls=5)
    asked = asyncio.create_task(bench.budgets.reserve("t", Amount(1, 10, 10)))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await bench.budgets.close()
    assert bench.used == Amount()


async def test_without_the_counters_a_process_spends_its_share_of_what_was_left_and_owes_it() -> None:
    bench = Bench(calls=12, share=0.5)
    await bench.ask()
    await bench.ask()
    bench.counters.away = True
    for _ in range(5):
        await bench.ask()
    with pytest.raises(BudgetSpent):
        await bench.ask()
    bench.counters.away = False
    bench.ticks += 2
    await bench.ask()
    assert bench.used.calls == 8


async def test_without_the_counters_from_the_start_nobody_is_unlimited() -> None:
    bench = Bench(calls=4, share=0.5, counters=FakeCounters(away=True))
    await bench.ask()
    await bench.ask()
    with pytest.raises(BudgetSpent):
        await bench.ask()


async def test_counters_that_are_away_are_left_alone_for_a_while() -> None:
    bench = Bench(calls=100, counters=FakeCounters(away=True))
    for _ in range(5):
        await bench.ask()
    assert bench.counters.questions == 1
    bench.ticks += 2
    await bench.ask()
    assert bench.counters.questions == 2


async def test_what_is_owed_is_told_even_if_no_further_call_comes() -> None:
    bench = Bench(calls=100)
    bench.counters.away = True
    await bench.ask()
    bench.counters.away = False
    bench.ticks += 2
    await bench.budgets.reconcile()
    assert bench.used.calls == 1


async def test_emptied_counters_are_raised_to_the_ledger_before_the_next_call() -> None:
    bench = Bench(calls=5)
    bench.budgets.ledger = FakeLedger(Amount(4, 100, 0))
    await bench.ask()
    assert bench.used.calls == 5
    bench.counters.empty()
    bench.budgets.ledger = FakeLedger(Amount(5, 100, 0))
    with pytest.raises(BudgetSpent):
        await bench.ask()


async def test_a_process_without_a_ledger_goes_on_until_one_with_a_ledger_has_looked() -> None:
    counters = FakeCounters()
    router, executor = Bench(calls=5, counters=counters), Bench(calls=5, counters=counters)
    executor.budgets.ledger = ledger = FakeLedger()
    await executor.ask()
    counters.empty()
    await router.ask()
    ledger.amount = Amount(5, 60, 0)
    await executor.budgets.reconcile()
    with pytest.raises(BudgetSpent):
        await router.ask()


async def test_the_ledger_is_asked_again_after_a_while_and_never_lowers_a_count() -> None:
    bench = Bench(calls=50)
    bench.budgets.ledger = ledger = FakeLedger(Amount(9, 0, 0))
    await bench.ask()
    await bench.budgets.reconcile()
    assert ledger.asked == 1
    bench.counters.now_s += SEED_S + 1
    ledger.amount = Amount(3, 0, 0)
    await bench.budgets.reconcile()
    assert ledger.asked == 2
    assert bench.used.calls == 10


async def test_a_ledger_that_is_away_stops_nobody_and_is_left_alone_for_a_while() -> None:
    bench = Bench(calls=9)
    bench.budgets.ledger = ledger = FakeLedger(away=True)
    await asyncio.gather(*(bench.ask() for _ in range(3)))
    assert (bench.used.calls, ledger.asked) == (3, 1)
    bench.ticks += TEND_S + 1
    ledger.away, ledger.amount = False, Amount(9, 0, 0)
    with pytest.raises(BudgetSpent):
        await bench.ask()


@pytest.mark.parametrize(("daily", "figure"), [({"calls": 1}, "calls"), ({"tokens": 12}, "tokens"), ({"usd": 0}, "usd")])
async def test_a_run_is_refused_when_not_even_the_smallest_call_would_fit(daily: dict[str, Any], figure: str) -> None:
    bench = Bench(**daily)
    await bench.counters.add("t", DAY, Amount(1, 12, 0))
    with pytest.raises(BudgetSpent, match=rf"daily\.{figure}"):
        await bench.budgets.require("t")


async def test_days_that_are_over_are_forgotten() -> None:
    bench = Bench(calls=5)
    await bench.ask()
    bench.now += 86_400
    await bench.budgets.reconcile()
    assert not bench.budgets._known


async def test_the_models_cost_is_a_metric_for_tenants_without_a_budget_too() -> None:
    before = metrics.COST.labels("big")._value.get()
    bench = Bench()
    bench.models._inner = _Priced(bench.inner)  # type: ignore[assignment]
    await bench.ask("free")
    assert metrics.COST.labels("big")._value.get() == pytest.approx(before + 0.25)


class _Priced:
    """Says that every answer cost a quarter."""

    def __init__(self, inner: ScriptedModels) -> None:
        self.registry = inner.registry
        self._inner = inner

    async def complete(self, request: ChatRequest) -> Any:
        request.on_cost(Usage({"big": ModelUsage(1, 0, 1, 1, 0.25)}))
        return await self._inner.complete(request)
