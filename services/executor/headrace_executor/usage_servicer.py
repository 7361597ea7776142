"""UsageService: what model calls cost."""

from datetime import UTC, date, datetime
from typing import Any

from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as pb_grpc
from headrace.llm.v1 import usage_pb2
from headrace_llm.budgets import Amount
from headrace_llm.registry import DailyBudget
from headrace_llm.usage import ModelUsage

from headrace_executor import codec
from headrace_executor.runs import ids
from headrace_executor.usage import MAX_DAYS, Dimension, UsageQuery, UsageRow, Usages

Context = Any

_DIMENSIONS: dict[int, Dimension] = {pb.UsageDimension.Value(f"USAGE_DIMENSION_{one.name}"): one for one in Dimension}


class UsageServicer(pb_grpc.UsageServiceServicer):
    """headrace.executor.v1.UsageService."""

    def __init__(self, usages: Usages) -> None:
        self._usages = usages

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context) -> pb.GetUsageResponse:  # noqa: N802
        """Add up a tenant's calls."""
        report = await self._usages.report(_query(request, today=datetime.now(UTC).date()))
        budget = None if report.budget is None else _budget(*report.budget)
        return pb.GetUsageResponse(rows=[_row(one) for one in report.rows], truncated=report.truncated, budget=budget)


def _query(request: pb.GetUsageRequest, *, today: date) -> UsageQuery:
    first = _day("first_day", request.first_day) or today
    last = _day("last_day", request.last_day) or max(today, first)
    if last < first:
        raise codec.invalid("last_day", "must not be before first_day")
    if (last - first).days >= MAX_DAYS:
        raise codec.invalid("last_day", f"must be less than {MAX_DAYS} days after first_day")
    by = []
    for value in request.group_by:
        dimension = _DIMENSIONS.get(value)
        if dimension is None or dimension in by:
            raise codec.invalid("group_by", "must name known dimensions, each once")
        by.append(dimension)
    return UsageQuery(
        codec.tenant(request.tenant_id),
        first,
        last,
        tuple(by),
        _id("session_id", request.session_id),
        _id("run_id", request.run_id),
    )


def _day(field: str, value: str) -> date | None:
    if not value:
        return None
    try:
        day = date.fromisoformat(value)
    except ValueError:
        day = None
    if day is None or day.isoformat() != value or not 1970 <= day.year < 9999:
        raise codec.invalid(field, "must be a day such as 2026-01-31")
    return day


def _id(field: str, value: str) -> str | None:
    if not value:
        return None
    parsed = ids.parse(value)
    if parsed is None:
        raise codec.invalid(field, "must be an id as GET /api/tasks gives it")
    return parsed


def _row(row: UsageRow) -> pb.UsageRow:
    return pb.UsageRow(
        day=row.day,
        model=row.model,
        kind=row.kind,
        session_id=row.session_id,
        run_id=row.run_id,
        usage=_usage(row.usage),
    )


def _usage(one: ModelUsage) -> usage_pb2.ModelUsage:
    return usage_pb2.ModelUsage(
        llm_calls=one.llm_calls,
        cached_calls=one.cached_calls,
        prompt_tokens=one.prompt_tokens,
        completion_tokens=one.completion_tokens,
        cost_usd=one.cost_usd,
    )


def _budget(daily: DailyBudget, used: Amount) -> pb.Budget:
    return pb.Budget(
        usd_limit=daily.usd,
        usd=used.usd,
        tokens_limit=daily.tokens,
        tokens=used.tokens,
        calls_limit=daily.calls,
        calls=used.calls,
    )
