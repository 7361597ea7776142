"""What model calls cost: added up from the runs themselves and, for what no run tells, from usage_days."""

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta

import asyncpg
from headrace_llm import budgets
from headrace_llm.budgets import Amount
from headrace_llm.usage import ModelUsage
from headrace_postgres.pool import Pool
from headrace_runtime import errors

from headrace_executor.errors import StoreRefused
from headrace_executor.runs import ids
from headrace_executor.usage import CHAT, DayUsage, Dimension, UsageQuery, UsageRow

SCAN_S = 8.0
"""Longest that adding up may take, waiting for one's turn included; the edge waits for 10 s."""
SCANS = 2
"""Questions of this process that are added up at once, so that the others keep their connections."""

FIGURES = """(m.value->>'llm_calls')::bigint AS llm_calls, (m.value->>'cached_calls')::bigint AS cached_calls,
    (m.value->>'prompt_tokens')::bigint AS prompt_tokens, (m.value->>'completion_tokens')::bigint AS completion_tokens,
    (m.value->>'cost_usd')::double precision AS cost_usd"""
"""The columns of one model's usage, from `MODELS` AS m."""


def models(usage: str) -> str:
    """SQL for the models of a stored usage, as rows of key and value; nothing stored has none."""
    return f"jsonb_each(convert_from(NULLIF({usage}, ''), 'UTF8')::jsonb -> 'models')"


def day_of(run_id: str) -> str:
    """SQL for the day in UTC that a run was made on."""
    return f"(uuid_extract_timestamp({run_id}) AT TIME ZONE 'UTC')::date"


# A run's id begins with its time, so days are ranges of ids. An ended run has its whole usage, another one has its steps'.
_WHICH = """r.tenant_id = $1 AND r.run_id >= $2 AND r.run_id < $3
      AND ($4::uuid IS NULL OR r.session_id = $4) AND ($5::uuid IS NULL OR r.run_id = $5)"""
_SPENT = f"""
WITH spent AS (
    SELECT r.run_id, r.session_id, r.kind, {day_of("r.run_id")} AS day, m.key AS model, {FIGURES}
    FROM runs r CROSS JOIN LATERAL {models("r.usage")} m
    WHERE {_WHICH} AND r.finished_at IS NOT NULL
    UNION ALL
    SELECT r.run_id, r.session_id, r.kind, {day_of("r.run_id")}, m.key, {FIGURES}
    FROM runs r JOIN steps s USING (run_id) CROSS JOIN LATERAL {models("s.usage")} m
    WHERE {_WHICH} AND r.finished_at IS NULL
    UNION ALL
    SELECT NULL, NULL, kind, day, model, llm_calls, cached_calls, prompt_tokens, completion_tokens, cost_usd
    FROM usage_days
    WHERE tenant_id = $1 AND day >= $6 AND day < $7 AND $4::uuid IS NULL AND $5::uuid IS NULL
)"""
_SUMS = """COALESCE(sum(llm_calls), 0)::bigint AS llm_calls, COALESCE(sum(cached_calls), 0)::bigint AS cached_calls,
    COALESCE(sum(prompt_tokens), 0)::bigint AS prompt_tokens,
    COALESCE(sum(completion_tokens), 0)::bigint AS completion_tokens,
    CASE WHEN bool_or(cost_usd IS NULL) AND count(*) > 0 THEN NULL ELSE COALESCE(sum(cost_usd), 0) END AS cost_usd,
    COALESCE(sum(cost_usd), 0) AS known_usd"""
_COLUMNS = {
    Dimension.DAY: "day",
    Dimension.MODEL: "model",
    Dimension.KIND: "kind",
    Dimension.SESSION: "session_id",
    Dimension.RUN: "run_id",
}
ADD_DAYS = """
INSERT INTO usage_days AS d
    (tenant_id, day, kind, model, llm_calls, cached_calls, prompt_tokens, completion_tokens, cost_usd)
{rows}
ON CONFLICT (tenant_id, day, kind, model) DO UPDATE SET
    llm_calls = d.llm_calls + excluded.llm_calls,
    cached_calls = d.cached_calls + excluded.cached_calls,
    prompt_tokens = d.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = d.completion_tokens + excluded.completion_tokens,
    cost_usd = d.cost_usd + excluded.cost_usd
"""
"""Adds rows, each of its own key, to usage_days. An unknown cost makes the sum unknown."""
_ADD_CHAT = ADD_DAYS.format(
    rows=f"""SELECT tenant_id, day, '{CHAT}', model, llm_calls, cached_calls, prompt_tokens, completion_tokens, cost_usd
FROM unnest($1::text[], $2::date[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::double precision[])
  AS c(tenant_id, day, model, llm_calls, cached_calls, prompt_tokens, completion_tokens, cost_usd)
ORDER BY tenant_id, day, model"""
)


class UsageStore:
    """`usage.UsageStore` on Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._scans = asyncio.Semaphore(SCANS)

    async def rows(self, query: UsageQuery, *, limit: int) -> Sequence[UsageRow]:
        """The groups, newest days first, then the dearest; one row for a question that groups by nothing.

        Raises DeadlineExceeded for more runs than can be added up in time.
        """
        columns = [_COLUMNS[one] for one in query.by]
        select = "".join(f"{name}, " for name in columns)
        group = f"GROUP BY {', '.join(columns)}" if columns else ""
        newest = ["day DESC"] if Dimension.DAY in query.by else []
        order = ", ".join([*newest, "known_usd DESC", "llm_calls DESC", *(name for name in columns if name != "day")])
        statement = f"{_SPENT} SELECT {select}{_SUMS} FROM spent {group} ORDER BY {order} LIMIT $8"
        which = _range(query.tenant_id, query.first, query.last, query.session_id, query.run_id)
        try:
            async with asyncio.timeout(SCAN_S), self._scans, self._pool.connection() as connection:
                found = await connection.fetch(statement, *which, limit, timeout=2 * SCAN_S)
        except TimeoutError as error:
            message = f"so many runs cannot be added up in {SCAN_S:g} s; ask for fewer days"
            raise errors.DeadlineExceeded(message, reason="USAGE_TOO_LARGE") from error
        return [_row(row, query.by) for row in found]

    async def spent(self, tenant_id: str, day: str) -> Amount:
        """What runs of a day and that day's chat calls have used; an unknown cost counts no money."""
        the_day = date.fromisoformat(day)
        try:
            row = await self._pool.fetchrow(
                f"{_SPENT} SELECT {_SUMS} FROM spent", *_range(tenant_id, the_day, the_day, None, None)
            )
        except StoreRefused as error:
            raise errors.InternalError(f"the day's usage cannot be read: {error}") from error
        assert row is not None
        tokens = row["prompt_tokens"] + row["completion_tokens"]
        return Amount(row["llm_calls"], tokens, budgets.nano(row["known_usd"]))

    async def add_chat(self, used: Sequence[DayUsage]) -> None:
        """Add calls without a run, in one statement; no two may be of one tenant, day and model."""
        await self._pool.execute(
            _ADD_CHAT,
            [one.tenant_id for one in used],
            [one.day for one in used],
            [one.model for one in used],
            [one.usage.llm_calls for one in used],
            [one.usage.cached_calls for one in used],
            [one.usage.prompt_tokens for one in used],
            [one.usage.completion_tokens for one in used],
            [one.usage.cost_usd for one in used],
        )


def _range(tenant_id: str, first: date, last: date, session_id: str | None, run_id: str | None) -> tuple[object, ...]:
    end = last + timedelta(days=1)
    return tenant_id, ids.first_of(first), ids.first_of(end), session_id, run_id, first, end


def _row(row: asyncpg.Record, by: Sequence[Dimension]) -> UsageRow:
    named = {_COLUMNS[one]: "" if row[_COLUMNS[one]] is None else str(row[_COLUMNS[one]]) for one in by}
    usage = ModelUsage(
        row["llm_calls"], row["cached_calls"], row["prompt_tokens"], row["completion_tokens"], row["cost_usd"]
    )
    return UsageRow(usage, **named)
