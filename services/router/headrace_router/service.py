"""The one use case: learn what is needed, the cheapest first, until `policy` can decide."""

import dataclasses
import time

from headrace_llm.call_context import NO_CONTEXT, CallContext
from headrace_llm.usage import Usage

from headrace_router import metrics, policy
from headrace_router.asker import Asker
from headrace_router.model import Decision, Question, Routed
from headrace_router.neighbourhood import Neighbourhood


class Router:
    """Decides what messages want. It keeps nothing between calls."""

    def __init__(self, neighbourhood: Neighbourhood, asker: Asker, *, clear_margin: float = policy.CLEAR_MARGIN) -> None:
        self._neighbourhood = neighbourhood
        self._asker = asker
        self._clear_margin = clear_margin

    async def route(
        self, question: Question, *, tenant_id: str, budget_s: float | None, context: CallContext = NO_CONTEXT
    ) -> Routed:
        """Decide one message. `budget_s` is what is left of the caller's deadline, None for no deadline."""
        started = time.perf_counter()
        until = None if budget_s is None else started + budget_s
        evidence = policy.Evidence(question, clear_margin=self._clear_margin)
        usage = Usage()
        decision = policy.decide(evidence)
        if decision is None:
            evidence = dataclasses.replace(evidence, vote=await self._neighbourhood.vote(question.message))
            decision = policy.decide(evidence)
        if decision is None:
            left = None if until is None else until - time.perf_counter()
            asked = await self._asker.ask(question, tenant_id=tenant_id, budget_s=left, context=context)
            usage = asked.usage
            decision = policy.decide(dataclasses.replace(evidence, answer=asked.answer, asked=True))
        assert decision is not None, "with a vote and an attempt to ask, the chain always decides"
        _count(decision, time.perf_counter() - started)
        return Routed(decision, usage)


def _count(decision: Decision, seconds: float) -> None:
    metrics.DECISIONS.labels(decision.decided_by.value, decision.intent.value).inc()
    metrics.SECONDS.labels(decision.decided_by.value).observe(seconds)
