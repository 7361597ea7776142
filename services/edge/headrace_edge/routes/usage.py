"""What model calls cost, and what is left of the day's budget."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query

from headrace_edge.edge import Parts
from headrace_edge.middleware.authentication import Reader
from headrace_edge.policy import Fault, Problem, Refused
from headrace_edge.usage import UsageAnswer, UsageDimension, UsageQuery

router = APIRouter(tags=["usage"])

DIMENSIONS: tuple[str, ...] = get_args(UsageDimension)

Day = Annotated[date | None, Query(description="A day in UTC, such as 2026-01-31; both are included. Today by default.")]
Filter = Annotated[str, Query(max_length=128, description="Only calls of this one.")]


@router.get(
    "/api/usage", response_model=UsageAnswer, response_model_exclude_unset=True, summary="Read what model calls cost"
)
async def get_usage(
    edge: Parts,
    caller: Reader,
    first: Annotated[Day, Query(alias="from")] = None,
    last: Annotated[Day, Query(alias="to")] = None,
    group_by: Annotated[
        str,
        Query(max_length=64, description=f"What rows are kept apart by: any of {', '.join(DIMENSIONS)}, commas between."),
    ] = "",
    session_id: Filter = "",
    run_id: Filter = "",
) -> dict[str, Any]:
    """The tenant's calls and their cost, with the day's budget and what of it is used.

    A cost is null when a call of a model without a known price is in it. Sessions and runs are told apart as long as the
    runs are kept; days, models and kinds for longer.
    """
    now = datetime.now(UTC)
    begin = first or min(last or now.date(), now.date())
    end = last or max(begin, now.date())
    query = UsageQuery(begin, end, _dimensions(group_by), session_id, run_id)
    report = await edge.usage.report(caller.tenant, query)
    midnight = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
    budget = {"daily": report.budget, "resets_at": midnight} if report.budget else None
    return {
        "from": begin,
        "to": end,
        "rows": report.rows,
        "total": report.total,
        "budget": budget,
        "truncated": report.truncated,
    }


def _dimensions(text: str) -> tuple[UsageDimension, ...]:
    names = [name.strip() for name in text.split(",")] if text else []
    if not set(names) <= set(DIMENSIONS) or len(set(names)) < len(names):
        message = f"must be some of {', '.join(DIMENSIONS)}, each once, with commas between"
        fault = Fault(("query", "group_by"), message)
        raise Refused(Problem(422, "INVALID_ARGUMENT", f"group_by {message}", (fault,)))
    return tuple(names)  # type: ignore[arg-type]
