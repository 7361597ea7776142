"""Asks models: resolve, attempt through the gate with a deadline, count the cost, check the answer against its schema."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from headrace_runtime import errors
from opentelemetry import trace

from headrace_llm import accounts, metrics, tracing
from headrace_llm.attempts import Attempts
from headrace_llm.client import ChatRequest, Completion, ModelSignals
from headrace_llm.errors import CallTimeout, ProviderUnavailable, Throttled
from headrace_llm.history import History
from headrace_llm.job import Job, Rules
from headrace_llm.ports import Answer, Gate, Grant, Provider
from headrace_llm.registry import Registry
from headrace_llm.usage import ModelUsage


@dataclass(frozen=True, slots=True)
class _Opened:
    """A stream whose first item has come. Whoever holds it closes it and settles its grant."""

    grant: Grant
    items: AsyncGenerator[str | Answer, None]
    first: str | Answer
    started: float
    ends: float


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
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._registry = registry
        self._gate = gate
        self._provider = provider
        self._rules = rules
        self._clock = clock
        self._history = History(default_max_tokens=rules.default_max_tokens)
        self._attempts = Attempts(gate, self._history, rules, clock=clock, jitter=jitter)

    @property
    def registry(self) -> Registry:
        """See `ModelClient`."""
        return self._registry

    async def complete(self, request: ChatRequest) -> Completion:
        """See `ModelClient`."""
        job = Job.of(request, self._registry.resolve(request.model), now=self._clock())
        with _observed(job) as span:
            with tracing.within(span):
                answer, measured = await self._attempts.run(job, self._whole)
            tracing.answered(span, answer, measured)
            return accounts.completion(job, answer, measured)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Completion]:
        """See `ModelClient`."""
        job = Job.of(request, self._registry.resolve(request.model), now=self._clock())
        with _observed(job) as span:
            with tracing.within(span):
                opened = await self._attempts.run(job, self._open)
            item, pieces, tokens = opened.first, 0, None
            try:
                async with aclosing(opened.items):
                    while isinstance(item, str):
                        pieces += 1
                        if item:  # an empty one is a sign of life
                            yield item
                        item = await self._next(job, opened.items, ends=opened.ends, silence_s=self._rules.silence_s)
                measured = self._learn(job, item, opened.started)
                tokens = measured.prompt_tokens + measured.completion_tokens
                tracing.answered(span, item, measured)
            finally:
                broken_off = job.prompt_tokens + pieces
                self._settle(opened.grant, broken_off if tokens is None else tokens, opened.started)
            completion = accounts.completion(job, item, measured)
        # The call is over: whoever has this and closes the iterator has broken nothing off.
        yield completion

    def signals(self) -> Sequence[ModelSignals]:
        """See `ModelClient`."""
        return self._gate.signals()

    async def _whole(self, job: Job, grant: Grant) -> tuple[Answer, ModelUsage]:
        """One attempt at a whole answer."""
        started, tokens = self._clock(), None
        timeout_s = min(job.until - started, job.entry.timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._provider.complete(job.call, timeout_s=timeout_s)
            measured = self._learn(job, answer, started)
            tokens = measured.prompt_tokens + measured.completion_tokens
            return answer, measured
        except TimeoutError as error:
            raise _too_late(job, timeout_s) from error
        except Throttled:
            tokens = 0
            raise
        finally:
            self._settle(grant, tokens, started)

    async def _open(self, job: Job, grant: Grant) -> _Opened:
        """One attempt at a stream, up to its first item."""
        started = self._clock()
        ends = min(job.until, started + job.entry.timeout_s)
        items = self._provider.stream(job.call, timeout_s=ends - started)
        try:
            first = await self._next(job, items, ends=ends, silence_s=self._rules.first_token_s)
        except BaseException as error:
            self._settle(grant, 0 if isinstance(error, Throttled) else None, started)
            await items.aclose()
            raise
        metrics.FIRST_TOKEN_SECONDS.labels(job.entry.id).observe(self._clock() - started)
        return _Opened(grant, items, first, started, ends)

    async def _next(
        self, job: Job, items: AsyncGenerator[str | Answer, None], *, ends: float, silence_s: float
    ) -> str | Answer:
        remaining_s = ends - self._clock()
        try:
            async with asyncio.timeout(min(remaining_s, silence_s)):
                return await anext(items)
        except TimeoutError as error:
            if remaining_s <= silence_s:
                raise _too_late(job, remaining_s) from error
            raise ProviderUnavailable(f"{job.entry.id} was silent for {silence_s:g} s") from error
        except StopAsyncIteration as error:
            raise ProviderUnavailable(f"{job.entry.id} ended its stream without an end") from error

    def _learn(self, job: Job, answer: Answer, started: float) -> ModelUsage:
        measured = accounts.measure(job, answer)
        seconds = self._clock() - started
        self._history.learn(job.entry.id, completion_tokens=measured.completion_tokens, seconds=seconds)
        metrics.SECONDS.labels(job.entry.id).observe(seconds)
        metrics.TOKENS.labels(job.entry.id, "prompt").inc(measured.prompt_tokens)
        metrics.TOKENS.labels(job.entry.id, "completion").inc(measured.completion_tokens)
        return measured

    def _settle(self, grant: Grant, tokens: int | None, started: float) -> None:
        self._gate.settle(grant, actual_tokens=tokens, seconds=self._clock() - started)


def _too_late(job: Job, seconds: float) -> CallTimeout:
    return CallTimeout(f"{job.entry.id} had not answered when its {max(seconds, 0):.1f} s were over")


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
