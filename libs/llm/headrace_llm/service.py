"""Asks models: resolve, attempt within a deadline until one answers, count the cost, hold the answer against its schema."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace

from headrace_runtime import errors
from opentelemetry import trace

from headrace_llm import accounts, metrics, tracing
from headrace_llm.asking import Answered, Asker
from headrace_llm.attempts import Course, Parts
from headrace_llm.breakers import Breakers
from headrace_llm.client import ChatRequest, Completion, ModelSignals, Restarted
from headrace_llm.history import History
from headrace_llm.job import Job, Rules
from headrace_llm.ports import Gate, Provider
from headrace_llm.registry import Registry
from headrace_llm.retry_budget import RetryBudget
from headrace_llm.usage import Bill


class Models:
    """Implements `client.ModelClient`."""

    def __init__(
        self,
        registry: Registry,
        gate: Gate,
        provider: Provider,
        rules: Rules,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._registry = registry
        self._gate = gate
        self._clock = clock
        self._wall_clock = wall_clock
        self._breakers = Breakers(registry.models, rules.breaker, clock=clock)
        history = History(default_max_tokens=rules.default_max_tokens)
        budgets = {model: RetryBudget(ratio=rules.retry_ratio, floor=rules.retry_floor) for model in registry.models}
        self._parts = Parts(registry, gate, provider, history, self._breakers, budgets, rules, clock, jitter)
        self._asker = Asker(gate, provider, history, self._breakers, rules, clock=clock)

    @property
    def registry(self) -> Registry:
        """See `ModelClient`."""
        return self._registry

    async def complete(self, request: ChatRequest) -> Completion:
        """See `ModelClient`."""
        bill = Bill(request.on_cost)
        job = self._job(replace(request, on_cost=bill.add))
        with _observed(job) as span, tracing.within(span):
            course = Course(self._parts, job)
            while True:
                attempt = await course.next()
                try:
                    answered = await self._asker.whole(attempt)
                    break
                except errors.ServiceError as error:
                    await course.failed(error)
            course.answered()
            tracing.answered(span, answered.answer, answered.measured)
            return accounts.completion(attempt.job, answered.answer, bill.usage)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Restarted | Completion]:
        """See `ModelClient`."""
        bill = Bill(request.on_cost)
        job = self._job(replace(request, on_cost=bill.add))
        with _observed(job) as span:
            course, void = Course(self._parts, job), False
            while True:
                with tracing.within(span):
                    attempt = await course.next()
                model, pieces = attempt.job.entry.id, 0
                try:
                    async with aclosing(self._asker.pieces(attempt)) as items:
                        async for item in items:
                            if void:
                                yield Restarted(model)
                                void = False
                            if isinstance(item, Answered):
                                answered = item
                                break
                            pieces += 1
                            yield item
                    break
                except errors.ServiceError as error:
                    void = void or pieces > 0
                    with tracing.within(span):
                        await course.failed(error, begun=pieces > 0)
            course.answered()
            tracing.answered(span, answered.answer, answered.measured)
            completion = accounts.completion(attempt.job, answered.answer, bill.usage)
        # The call is over: whoever has this and closes the iterator has broken nothing off.
        yield completion

    def signals(self) -> Sequence[ModelSignals]:
        """See `ModelClient`."""
        return [replace(one, breaker_open=self._breakers.blocked_s(one.model) > 0) for one in self._gate.signals()]

    def _job(self, request: ChatRequest) -> Job:
        entry = self._registry.resolve(request.model)
        return Job.of(request, entry, now=self._clock(), wall_now=self._wall_clock())


@contextmanager
def _observed(job: Job) -> Iterator[trace.Span]:
    """Make a call one span and count how it ends."""
    outcome, span = "error", tracing.start(job)
    try:
        yield span
        outcome = "ok"
    except errors.ServiceError as error:
        outcome = error.reason.lower()
        raise
    except (asyncio.CancelledError, GeneratorExit):
        outcome = "cancelled"
        raise
    finally:
        metrics.CALLS.labels(job.entry.id, outcome).inc()
        tracing.end(span, outcome)
