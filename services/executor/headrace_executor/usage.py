"""The use case of usage: what a tenant's model calls cost, by day, model, kind, session and run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Protocol

import structlog
from headrace_llm.budgets import Amount
from headrace_llm.registry import DailyBudget
from headrace_llm.usage import ModelUsage
from headrace_runtime import errors

MAX_ROWS = 1_000
"""Rows of one answer."""
MAX_DAYS = 92
"""Days that one question may be about."""
CHAT = "chat"
"""The kind of calls without a run."""


log = structlog.get_logger()


class Dimension(StrEnum):
    """What rows may be kept apart by."""

    DAY = "day"
    MODEL = "model"
    KIND = "kind"
    SESSION = "session"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """A checked question. Both days are included; an id of None filters nothing."""

    tenant_id: str
    first: date
    last: date
    by: tuple[Dimension, ...] = ()
    session_id: str | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One group; what the question does not group by is empty."""

    usage: ModelUsage
    day: str = ""
    model: str = ""
    kind: str = ""
    session_id: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class DayUsage:
    """One model's calls of one day that make no run."""

    tenant_id: str
    day: date
    model: str
    usage: ModelUsage


@dataclass(frozen=True, slots=True)
class Report:
    """The answer."""

    rows: Sequence[UsageRow]
    truncated: bool
    budget: tuple[DailyBudget, Amount] | None
    """Of today: the limits and what is used; None for a tenant that has none."""


class UsageStore(Protocol):
    """What was stored of usage. Raises `StoreAway` and `StoreRefused`."""

    async def rows(self, query: UsageQuery, *, limit: int) -> Sequence[UsageRow]:
        """The groups, newest days first, then the dearest; one row for a question that groups by nothing."""

    async def spent(self, tenant_id: str, day: str) -> Amount:
        """What runs of a day and that day's chat calls have used; an unknown cost counts no money."""

    async def add_chat(self, used: Sequence[DayUsage]) -> None:
        """Add calls without a run, in one statement."""


class Budgets(Protocol):
    """The part of `headrace_llm.spending.Budgets` that runs and reports use."""

    def daily(self, tenant_id: str) -> DailyBudget | None:
        """A tenant's budget, None when it has none."""

    async def used(self, tenant_id: str) -> Amount:
        """What a tenant with a budget has used of today."""

    async def require(self, tenant_id: str) -> None:
        """Raise `BudgetSpent` when not even the smallest call would be let through."""


class Usages:
    """Answers questions about usage."""

    def __init__(self, store: UsageStore, budgets: Budgets | None) -> None:
        self._store = store
        self._budgets = budgets

    async def report(self, query: UsageQuery) -> Report:
        """The rows, and the tenant's budget of today. Raises `StoreAway`."""
        rows = await self._store.rows(query, limit=MAX_ROWS + 1)
        return Report(rows[:MAX_ROWS], len(rows) > MAX_ROWS, await self._budget(query.tenant_id))

    async def _budget(self, tenant_id: str) -> tuple[DailyBudget, Amount] | None:
        daily = self._budgets.daily(tenant_id) if self._budgets else None
        if self._budgets is None or daily is None:
            return None
        used = await self._budgets.used(tenant_id)
        try:
            used = used.at_least(await self._store.spent(tenant_id, datetime.now(UTC).date().isoformat()))
        except errors.ServiceError as error:  # the counters know it too, unless they have been lost
            log.warning("budget_without_ledger", cause=error.message)
        return daily, used
