"""UsageService against its proto, and what a spent budget does to submissions, through a real server and Postgres."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace_executor import usage
from headrace_executor.runs import ids
from headrace_llm.budgets import Amount
from headrace_llm.registry import DailyBudget, ModelEntry, Registry, TenantEntry
from headrace_llm.spending import Budgets
from headrace_runtime import channels, errors

from tests.support.budgets import FakeCounters
from tests.support.executor_durable import PAID, Executor, ScriptedPipeline, executor, refused, settings

TODAY = datetime.now(UTC).date().isoformat()
TENANTS = {
    "t": TenantEntry(daily=DailyBudget(calls=50, usd=2)),
    "spent": TenantEntry(daily=DailyBudget(calls=0)),
}


@pytest.fixture
def counters() -> FakeCounters:
    return FakeCounters()


@pytest.fixture
async def one(postgres_url: str, counters: FakeCounters) -> AsyncIterator[Executor]:
    registry = Registry.of([ModelEntry(id="big", model="scripted/big")], tenants=TENANTS)
    budgets = Budgets(registry, counters, share=0.5, retry_s=1)
    async with executor(settings(postgres_url), ScriptedPipeline(), budgets=budgets) as value:
        budgets.ledger = value.durable.usage
        yield value


async def get(one: Executor, *by: str, tenant: str = "t", **fields: Any) -> pb.GetUsageResponse:
    request = pb.GetUsageRequest(tenant_id=tenant, group_by=[f"USAGE_DIMENSION_{name.upper()}" for name in by], **fields)
    return await channels.unary(one.usage.GetUsage, request, timeout_s=20)


async def test_a_finished_run_is_found_under_its_day_model_kind_session_and_run(one: Executor) -> None:
    run = await one.submit(tenant="t")
    await one.log(run.run_id)
    (row,) = (await get(one, "day", "model", "kind", "session", "run")).rows
    assert (row.day, row.model, row.kind) == (TODAY, "big", "conversation")
    assert (row.session_id, row.run_id) == (run.session_id, run.run_id)
    paid = PAID.models["big"]
    assert (row.usage.llm_calls, row.usage.prompt_tokens) == (4 * paid.llm_calls, 4 * paid.prompt_tokens)
    assert row.usage.cost_usd == pytest.approx(0.004)
    (total,) = (await get(one)).rows
    assert total.usage == row.usage
    assert not total.day


async def test_a_running_run_counts_its_finished_steps(postgres_url: str) -> None:
    async def wait(journal: Any, step: str) -> None:
        if step == "node:a":
            await never.wait()

    never = asyncio.Event()
    async with executor(settings(postgres_url), ScriptedPipeline(before=wait)) as one:
        run = await one.submit()
        async for _, event in one.watch(run.run_id):
            if event["type"] == "STEP_FINISHED" and event["stepName"] == "plan":
                break
        (row,) = (await get(one, "run")).rows
        assert (row.run_id, row.usage.llm_calls) == (run.run_id, 2)
        assert not (await get(one)).HasField("budget")


async def test_a_tenant_never_sees_anothers(one: Executor) -> None:
    run = await one.submit(tenant="t")
    await one.log(run.run_id)
    for fields in ({}, {"run_id": run.run_id}, {"session_id": run.session_id}):
        assert not (await get(one, "run", tenant="u", **fields)).rows
        assert len((await get(one, "run", tenant="t", **fields)).rows) == 1


async def test_the_budget_is_told_with_what_is_used_by_whoever_knows_more(one: Executor, counters: FakeCounters) -> None:
    run = await one.submit(tenant="t")
    await one.log(run.run_id)
    budget = (await get(one)).budget
    assert (budget.calls_limit, budget.calls, budget.tokens) == (50, 4, 60)
    assert not budget.HasField("tokens_limit")
    assert budget.usd_limit == 2
    assert budget.usd == pytest.approx(0.004)
    await counters.add("t", TODAY, Amount(7, 0, 0))
    assert (await get(one)).budget.calls == 7
    counters.away = True
    assert (await get(one)).budget.calls == 7
    assert not (await get(one, tenant="u")).HasField("budget")


async def test_more_rows_than_an_answer_holds_are_said_to_exist(one: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MAX_ROWS", 1)
    for _ in range(2):
        await one.log((await one.submit(tenant="t")).run_id)
    answer = await get(one, "run")
    assert (len(answer.rows), answer.truncated) == (1, True)
    assert not (await get(one)).truncated


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("tenant_id", {"tenant_id": ""}),
        ("first_day", {"first_day": "20260101"}),
        ("first_day", {"first_day": "2026-02-30"}),
        ("last_day", {"last_day": "tomorrow"}),
        ("last_day", {"first_day": "2026-01-02", "last_day": "2026-01-01"}),
        ("last_day", {"first_day": "2026-01-01", "last_day": "2026-04-03"}),
        ("last_day", {"last_day": "9999-12-31"}),
        ("group_by", {"group_by": [pb.USAGE_DIMENSION_DAY, pb.USAGE_DIMENSION_DAY]}),
        ("group_by", {"group_by": [pb.USAGE_DIMENSION_UNSPECIFIED]}),
        ("group_by", {"group_by": [99]}),
        ("session_id", {"session_id": "mine"}),
        ("run_id", {"run_id": "\x00"}),
    ],
)
async def test_a_wrong_question_is_refused_with_its_field(one: Executor, field: str, fields: dict[str, Any]) -> None:
    request = pb.GetUsageRequest(**{"tenant_id": "t", **fields})
    error = await refused(channels.unary(one.usage.GetUsage, request, timeout_s=20))
    assert isinstance(error, errors.InvalidArgument)
    assert [violation.field for violation in error.violations] == [field]


async def test_ninety_two_days_may_be_asked_for(one: Executor) -> None:
    assert len((await get(one, first_day="2026-01-01", last_day="2026-04-02")).rows) == 1


async def test_a_run_of_a_spent_budget_is_refused_at_once_and_leaves_nothing(one: Executor) -> None:
    error = await refused(one.submit(tenant="spent"))
    assert isinstance(error, errors.ResourceExhausted)
    assert error.reason == "BUDGET_SPENT"
    assert error.retry_after_s
    assert "tenants.spent.daily.calls" in error.message
    answer = await channels.unary(one.runs.ListRuns, pb.ListRunsRequest(tenant_id="spent"), timeout_s=20)
    assert not answer.runs


async def test_a_repeated_request_finds_its_run_though_the_budget_is_spent_by_now(
    one: Executor, counters: FakeCounters
) -> None:
    run = await one.submit(tenant="t", request_id="r1")
    await one.log(run.run_id)
    await counters.add("t", TODAY, Amount(50, 0, 0))
    assert (await one.submit(tenant="t", request_id="r1")).run_id == run.run_id
    assert (await refused(one.submit(tenant="t", request_id="r2"))).reason == "BUDGET_SPENT"


async def test_emptied_counters_do_not_give_a_spent_budget_back(one: Executor, counters: FakeCounters) -> None:
    for _ in range(13):
        await one.log((await one.submit(tenant="t")).run_id)
    counters.empty()
    assert (await refused(one.submit(tenant="t", request_id=ids.new()))).reason == "BUDGET_SPENT"
