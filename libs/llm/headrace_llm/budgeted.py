"""A model client that refuses a call before it is made when its tenant's budget of the day has no room for it."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import cast

import structlog

from headrace_llm import budgets, metrics, policy
from headrace_llm.budgets import Amount
from headrace_llm.client import ChatRequest, Completion, ModelClient, ModelSignals, Restarted
from headrace_llm.registry import ModelEntry, Registry
from headrace_llm.spending import Budgets, Reservation
from headrace_llm.usage import Usage

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
        reservation, used = await self._reserve(request), Usage()
        try:
            completion = await self._inner.complete(request)
            used = completion.usage
            return completion
        except Exception as error:
            used = _paid(error)
            raise
        finally:
            self._settle(reservation, used)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Restarted | Completion]:
        """See `ModelClient`. Raises `BudgetSpent` too."""
        reservation = await self._reserve(request)
        pieces, used = 0, Usage()
        try:
            stream = cast("AsyncGenerator[str | Restarted | Completion, None]", self._inner.stream(request))
            async with aclosing(stream) as items:
                async for item in items:
                    if isinstance(item, Completion):
                        used = item.usage
                    elif isinstance(item, str):
                        pieces += 1
                    yield item
        except Exception as error:
            used = _paid(error)
            raise
        finally:
            broken_off = _broken_off(request, self._entry(request), pieces) if pieces and not used.models else None
            self._settle(reservation, used, broken_off)

    def signals(self) -> Sequence[ModelSignals]:
        """See `ModelClient`."""
        return self._inner.signals()

    async def _reserve(self, request: ChatRequest) -> Reservation | None:
        if self.budgets.daily(request.tenant_id) is None:
            return None
        wanted = budgets.estimate(request, self._entry(request), default_max_tokens=self._default_max_tokens)
        return await self.budgets.reserve(request.tenant_id, wanted)

    def _settle(self, reservation: Reservation | None, used: Usage, broken_off: Amount | None = None) -> None:
        for name, one in used.models.items():
            if one.cost_usd:
                metrics.COST.labels(name).inc(one.cost_usd)
            elif one.cost_usd is None and reservation is not None and name not in self._unpriced:
                self._unpriced.add(name)
                log.warning("model_without_price", model=name, effect="its calls count no money in budgets")
        if reservation is not None:
            self.budgets.settle(reservation, budgets.actual(used.total) if broken_off is None else broken_off)

    def _entry(self, request: ChatRequest) -> ModelEntry:
        return self.registry.resolve(request.model)


def _paid(error: Exception) -> Usage:
    """What a failed call cost, as far as its error says so."""
    usage = getattr(error, "usage", None)
    return usage if isinstance(usage, Usage) else Usage()


def _broken_off(request: ChatRequest, entry: ModelEntry, pieces: int) -> Amount:
    """What a stream cost that broke off after so many pieces, taken for a token each."""
    prompt = policy.estimate_tokens(message.content for message in request.messages)
    return budgets.priced(entry, prompt_tokens=prompt, completion_tokens=pieces)
