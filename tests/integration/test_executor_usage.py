"""What was stored of usage: from runs, from unfinished ones' steps, from chat calls, and from runs that are gone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta

import orjson
import pytest
from headrace_executor import metrics
from headrace_executor.adapters.postgres import usage as adapter
from headrace_executor.adapters.postgres.schema import SCHEMA
from headrace_executor.adapters.postgres.upkeep import UpkeepStore
from headrace_executor.adapters.postgres.usage import UsageStore, day_of
from headrace_executor.errors import StoreAway, StoreRefused
from headrace_executor.runs import chat_usage, ids
from headrace_executor.runs.chat_usage import ChatUsage
from headrace_executor.usage import DayUsage, Dimension, UsageQuery, UsageRow
from headrace_llm.budgets import Amount
from headrace_llm.usage import ModelUsage, Usage
from headrace_postgres.pool import Pool, open_pool
from headrace_runtime import errors

TODAY = datetime.now(UTC).date()
ONE = ModelUsage(1, 0, 10, 5, 0.25)
DAY, MODEL, KIND, SESSION, RUN = Dimension


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[Pool]:
    await SCHEMA.migrate(postgres_url)
    async with open_pool(postgres_url, application="test", size=3, statement_timeout_s=5, wait_s=5) as value:
        yield value


@pytest.fixture
async def store(pool: Pool) -> UsageStore:
    return UsageStore(pool)


async def add(
    pool: Pool, day: date, usage: dict[str, ModelUsage], *, tenant: str = "t", kind: str = "page", session: str = ""
) -> str:
    """A finished run of a day."""
    run_id = ids.first_of(day)[:14] + ids.new()[14:]
    if session:
        await pool.fetch(
            "INSERT INTO sessions (session_id, tenant_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", session, tenant
        )
    await pool.fetch(
        """INSERT INTO runs
               (run_id, tenant_id, session_id, request_hash, kind, priority, state, deadline, body, finished_at, usage)
           VALUES ($1, $2, $3, '', $4, 1, 'succeeded', now(), '{}', now(), $5)""",
        run_id,
        tenant,
        session or None,
        kind,
        orjson.dumps(Usage(usage).to_json()),
    )
    return run_id


async def add_running(pool: Pool, steps: Sequence[dict[str, ModelUsage]]) -> None:
    """A run of today that is being worked on, with its finished steps."""
    run_id = ids.new()
    await pool.fetch(
        """INSERT INTO runs (run_id, tenant_id, request_hash, kind, priority, state, owner, deadline, body)
           VALUES ($1, 't', '', 'page', 1, 'running', 'me', now(), '{}')""",
        run_id,
    )
    for n, usage in enumerate(steps):
        await pool.fetch(
            "INSERT INTO steps (run_id, step, output, usage) VALUES ($1, $2, '', $3)",
            run_id,
            f"s{n}",
            orjson.dumps(Usage(usage).to_json()),
        )


async def rows(
    store: UsageStore, *by: Dimension, first: date = TODAY, last: date = TODAY, limit: int = 100, tenant: str = "t"
) -> Sequence[UsageRow]:
    return await store.rows(UsageQuery(tenant, first, last, by), limit=limit)


async def test_nothing_used_is_one_row_of_zeros_and_no_group(store: UsageStore) -> None:
    assert await rows(store) == [UsageRow(ModelUsage())]
    assert await rows(store, DAY, MODEL) == []
    assert await store.spent("t", TODAY.isoformat()) == Amount()


async def test_runs_are_added_up_by_anything(pool: Pool, store: UsageStore) -> None:
    session, yesterday = ids.new(), TODAY - timedelta(days=1)
    first = await add(pool, yesterday, {"big": ONE, "small": ModelUsage(2, 1, 3, 4, 0.5)}, session=session)
    second = await add(pool, TODAY, {"big": ONE}, kind="workflow")
    await add(pool, TODAY - timedelta(days=2), {"big": ONE})
    assert await rows(store, first=yesterday) == [UsageRow(ModelUsage(4, 1, 23, 14, 1.0))]
    assert [(row.day, row.usage.llm_calls) for row in await rows(store, DAY, first=yesterday)] == [
        (TODAY.isoformat(), 1), (yesterday.isoformat(), 3),
    ]  # fmt: skip
    assert {(row.model, row.usage.cost_usd) for row in await rows(store, MODEL, first=yesterday)} == {
        ("big", 0.5),
        ("small", 0.5),
    }
    assert {(row.kind, row.run_id) for row in await rows(store, KIND, RUN, first=yesterday)} == {
        ("page", first), ("workflow", second),
    }  # fmt: skip
    assert {row.session_id for row in await rows(store, SESSION, first=yesterday)} == {session, ""}
    query = UsageQuery("t", yesterday, TODAY, (), session_id=session)
    assert (await store.rows(query, limit=9))[0].usage.llm_calls == 3
    query = UsageQuery("t", yesterday, TODAY, (MODEL,), run_id=second)
    assert await store.rows(query, limit=9) == [UsageRow(ONE, model="big")]


async def test_a_tenant_sees_its_own_only(pool: Pool, store: UsageStore) -> None:
    run_id = await add(pool, TODAY, {"big": ONE}, tenant="other")
    await store.add_chat([DayUsage("other", TODAY, "big", ONE)])
    assert await rows(store, RUN) == []
    assert await store.rows(UsageQuery("t", TODAY, TODAY, (RUN,), run_id=run_id), limit=9) == []
    assert await store.spent("t", TODAY.isoformat()) == Amount()
    assert (await store.spent("other", TODAY.isoformat())).calls == 2


async def test_an_unfinished_run_costs_what_its_finished_steps_did(pool: Pool, store: UsageStore) -> None:
    await add_running(pool, [{"big": ONE}, {}, {"big": ONE, "small": ONE}])
    assert (await rows(store))[0].usage == ModelUsage(3, 0, 30, 15, 0.75)
    assert await store.spent("t", TODAY.isoformat()) == Amount(3, 45, 750_000_000)


async def test_an_unknown_cost_makes_its_sums_unknown_and_counts_no_money_in_budgets(pool: Pool, store: UsageStore) -> None:
    await add(pool, TODAY, {"big": ONE, "odd": ModelUsage(1, 0, 1, 1, None)})
    assert (await rows(store))[0].usage.cost_usd is None
    assert [(row.model, row.usage.cost_usd) for row in await rows(store, MODEL)] == [("big", 0.25), ("odd", None)]
    assert await store.spent("t", TODAY.isoformat()) == Amount(2, 17, 250_000_000)


async def test_no_more_rows_than_asked_for_the_newest_and_dearest_first(pool: Pool, store: UsageStore) -> None:
    for day, cost in ((1, 9.0), (0, 1.0), (0, 3.0), (0, 2.0)):
        await add(pool, TODAY - timedelta(days=day), {"big": ModelUsage(1, 0, 1, 1, cost)})
    found = await rows(store, DAY, RUN, first=TODAY - timedelta(days=1), limit=3)
    assert [row.usage.cost_usd for row in found] == [3.0, 2.0, 1.0]


async def test_more_than_can_be_added_up_in_time_is_said_so(store: UsageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "SCAN_S", 0.0)
    with pytest.raises(errors.DeadlineExceeded, match="ask for fewer days"):
        await rows(store, DAY)
    monkeypatch.undo()
    assert await rows(store, DAY) == []


async def test_what_runs_cost_outlives_them_and_counts_once_at_every_moment(pool: Pool, store: UsageStore) -> None:
    old = TODAY - timedelta(days=40)
    for kind in ("page", "page", "workflow"):
        await add(pool, old, {"big": ONE, "odd": ModelUsage(1, 0, 1, 1, None)}, kind=kind)
    await add(pool, old, {}, kind="page")
    before = await rows(store, DAY, MODEL, KIND, first=old)
    upkeep = UpkeepStore(pool)
    removed = [await upkeep.expire(TODAY, keep_log_days=7, keep_run_days=30, keep_usage_days=400) for _ in range(2)]
    assert removed == [4, 0]
    assert await rows(store, DAY, MODEL, KIND, first=old) == before
    assert {(row.kind, row.model, row.usage.llm_calls, row.usage.cost_usd) for row in before} == {
        ("page", "big", 2, 0.5), ("workflow", "big", 1, 0.25), ("page", "odd", 2, None), ("workflow", "odd", 1, None),
    }  # fmt: skip
    await upkeep.expire(TODAY, keep_log_days=7, keep_run_days=30, keep_usage_days=39)
    assert await rows(store, DAY, first=old) == []


async def test_a_run_made_now_belongs_to_today_in_utc_whatever_the_sessions_time_zone(
    pool: Pool, store: UsageStore
) -> None:
    await add_running(pool, [{"big": ONE}])
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL TimeZone = 'Pacific/Kiritimati'")
        day = await connection.fetchval(f"SELECT {day_of('run_id')} FROM runs")
    (row,) = await rows(store, DAY, first=TODAY, last=TODAY + timedelta(days=1))
    assert row.day == str(day) == ids.day_of((await pool.fetch("SELECT run_id::text FROM runs"))[0][0]).isoformat()


async def test_chat_calls_are_added_to_their_day_as_a_kind_of_their_own(pool: Pool, store: UsageStore) -> None:
    chat = ChatUsage(store)
    for _ in range(3):
        chat.record("t", Usage({"big": ONE}))
    assert await chat.flush()
    chat.record("t", Usage({"big": ONE, "small": ONE}))
    assert await chat.flush()
    found = await rows(store, DAY, KIND, MODEL)
    assert {(row.day, row.kind, row.model, row.usage.llm_calls) for row in found} == {
        (TODAY.isoformat(), "chat", "big", 4), (TODAY.isoformat(), "chat", "small", 1),
    }  # fmt: skip


async def test_chat_calls_are_stored_by_time_and_at_the_end(store: UsageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_usage, "FLUSH_S", 0.01)
    chat = ChatUsage(store)
    loop = asyncio.create_task(chat.run())
    chat.record("t", Usage({"big": ONE}))
    async with asyncio.timeout(10):
        while (await rows(store))[0].usage.llm_calls != 1:
            await asyncio.sleep(0.01)
    loop.cancel()
    chat.record("t", Usage({"big": ONE}))
    await chat.close()
    assert (await rows(store))[0].usage.llm_calls == 2
    assert loop.cancelled() or loop.cancelling()


class _Store(UsageStore):
    """Fails as long as a test wants."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.stored: list[DayUsage] = []

    async def add_chat(self, used: Sequence[DayUsage]) -> None:
        if self.error is not None:
            raise self.error
        self.stored += used


async def test_while_the_database_is_away_chat_calls_wait_and_past_the_bound_they_are_counted_as_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chat_usage, "MAX_SUMS", 2)
    store = _Store(StoreAway())
    chat = ChatUsage(store)
    dropped = metrics.CHAT_USAGE_DROPPED._value.get()
    chat.record("a", Usage({"big": ONE}))
    assert not await chat.flush()
    chat.record("a", Usage({"big": ONE}))
    chat.record("b", Usage({"big": ONE}))
    chat.record("c", Usage({"big": ONE}))
    assert metrics.CHAT_USAGE_DROPPED._value.get() == dropped + 1
    store.error = None
    assert await chat.flush()
    assert {(one.tenant_id, one.usage.llm_calls) for one in store.stored} == {("a", 2), ("b", 1)}


async def test_what_the_database_refuses_or_never_takes_is_dropped_and_counted() -> None:
    for error in (StoreRefused("no"), StoreAway()):
        chat = ChatUsage(_Store(error))
        dropped = metrics.CHAT_USAGE_DROPPED._value.get()
        chat.record("a", Usage({"big": ONE}))
        await chat.close()
        assert metrics.CHAT_USAGE_DROPPED._value.get() == dropped + 1
        assert await chat.flush()
