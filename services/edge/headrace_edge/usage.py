"""Questions about what model calls cost, and the answers. Plain data; no I/O."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from pydantic import Field

from headrace_edge.model import Answer, ModelUsage

UsageDimension = Literal["day", "model", "kind", "session", "run"]


class UsageRow(Answer):
    """One group of calls; it has only what was asked to be told apart."""

    day: date | None = None
    model: str | None = None
    kind: str | None = Field(None, description="A run's kind, or `chat` for calls without a run.")
    session_id: str | None = None
    run_id: str | None = None
    usage: ModelUsage


class BudgetFigure(Answer):
    """One limit of a budget."""

    limit: int | float | None = Field(description="null does not bound.")
    used: int | float


class Budget(Answer):
    """What a tenant may use of a day."""

    usd: BudgetFigure
    tokens: BudgetFigure
    calls: BudgetFigure


class DayBudget(Answer):
    """Today's budget."""

    daily: Budget
    resets_at: datetime


class UsageAnswer(Answer):
    """What model calls cost."""

    first: date = Field(alias="from")
    last: date = Field(alias="to")
    rows: list[UsageRow]
    total: ModelUsage = Field(description="Of all rows, those that are left out included.")
    budget: DayBudget | None
    truncated: bool = Field(description="Whether there are more rows than are answered with.")


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """A question about usage. Both days are included; an empty id filters nothing."""

    first: date
    last: date
    group_by: tuple[UsageDimension, ...] = ()
    session_id: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class UsageReport:
    """The executor's answer."""

    rows: list[UsageRow]
    total: ModelUsage
    budget: Budget | None
    truncated: bool
