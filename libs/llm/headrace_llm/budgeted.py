"""A model client that refuses a call before it is made when its tenant's budget of the day has no room for it."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import cast

import structlog

from headrace_llm import budgets, metrics
from headrace_llm.client import ChatRequest, Completion, ModelClient, ModelSignals, Restarted
from headrace_llm.registry import Registry
from headrace_llm.spending import Budgets, Reservation
from headrace_llm.usage import Bill, Usage

log = structlog.get_logger()


class BudgetedModels:
    """Implements `client.ModelClient` around another one. What a call was estimated at is corrected when it has ended."""

    def __init__(self, inner: ModelClient, budgets: Budgets, *, default_max_tokens: int) -> None:
        self._inner = inner
        self.budgets = budgets
        self._default_max_tokens = default_max_tokens
        self._unpriced: set[str] = set()

    @property
    def registry(self) -> Registry:
        """See `ModelClient`."""
        return self._inner.registry

    async def complete(self, request: ChatRequest) -> Completion:
        """See `ModelClient`. Raises `BudgetSpent` too."""
        reservation, bill = await self._reserve(request), Bill(request.on_cost)
        try:
            return await self._inner.complete(replace(request, on_cost=bill.add))
        finally:
            self._settle(reservation, bill.usage)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Restarted | Completion]:
        """See `ModelClient`. Raises `BudgetSpent` too."""
        reservation, bill = await self._reserve(request), Bill(request.on_cost)
        try:
            asked = self._inner.stream(replace(request, on_cost=bill.add))
            async with aclosing(cast("AsyncGenerator[str | Restarted | Completion, None]", asked)) as items:
                async for item in items:
                    yield item
        finally:
            self._settle(reservation, bill.usage)

    def signals(self) -> Sequence[ModelSignals]:
        """See `ModelClient`."""
        return self._inner.signals()

    async def _reserve(self, request: ChatRequest) -> Reservation | None:
        if self.budgets.daily(request.tenant_id) is None:
            return None
        entry = self.registry.resolve(request.model)
        wanted = budgets.estimate(request, entry, default_max_tokens=self._default_max_tokens)
        return await self.budgets.reserve(request.tenant_id, wanted)

    def _settle(self, reservation: Reservation | None, used: Usage) -> None:
        for name, one in used.models.items():
            if one.cost_usd:
                metrics.COST.labels(name).inc(one.cost_usd)
            elif one.cost_usd is None and reservation is not None and name not in self._unpriced:
                self._unpriced.add(name)
                log.warning("model_without_price", model=name, effect="its calls count no money in budgets")
        if reservation is not None:
            self.budgets.settle(reservation, budgets.actual(used))
