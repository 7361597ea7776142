"""One attempt at one model under one grant: bounded in time, settled once with the gate, observed once by the breaker."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import structlog
from headrace_runtime.errors import ServiceError

from headrace_llm import accounts, metrics, waits
from headrace_llm.breaker import Outcome
from headrace_llm.breakers import Breakers
from headrace_llm.errors import CallTimeout, ModelSilent, ProviderUnavailable, Throttled, class_of
from headrace_llm.history import History
from headrace_llm.job import Job, Rules
from headrace_llm.ports import Answer, Gate, Grant, Provider
from headrace_llm.treatment import TREATMENTS, Blame
from headrace_llm.usage import ModelUsage, Usage

FAIR_TIMES = 3
"""How many times a model's usual duration a call must have had before it counts as hung."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Attempt:
    """The right to ask once. Whoever gets it hands it to an `Asker`, which ends it."""

    job: Job
    grant: Grant
    era: int
    """The breaker's."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer and what it cost."""

    answer: Answer
    measured: ModelUsage


@dataclass(slots=True)
class _Account:
    """What is known of an attempt that is under way."""

    started: float
    era: int
    pieces: int = 0
    """So far."""
    tokens: int | None = None
    """Used so far; None while nobody knows."""
    cost: Usage | None = None
    """Of a whole answer."""


class Asker:
    """Makes attempts."""

    def __init__(
        self,
        gate: Gate,
        provider: Provider,
        history: History,
        breakers: Breakers,
        rules: Rules,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._gate = gate
        self._provider = provider
        self._history = history
        self._breakers = breakers
        self._rules = rules
        self._clock = clock

    async def whole(self, attempt: Attempt) -> Answered:
        """Ask for a whole answer. A hung call ends at the caller's deadline or at the model's `timeout_s`."""
        job = attempt.job
        async with self._accounted(attempt) as account:
            timeout_s = min(job.until - account.started, job.entry.timeout_s)
            try:
                async with asyncio.timeout(timeout_s):
                    answer = await self._provider.complete(job.call, timeout_s=timeout_s)
            except TimeoutError as error:
                raise _too_late(job, timeout_s) from error
            return self._learn(job, account, answer)

    async def pieces(self, attempt: Attempt) -> AsyncGenerator[str | Answered, None]:
        """Ask for a stream; its last item is the `Answered`. Closing it aborts the call."""
        job = attempt.job
        async with self._accounted(attempt) as account:
            ends = min(job.until, account.started + job.entry.timeout_s)
            async with aclosing(self._provider.stream(job.call, timeout_s=ends - account.started)) as items:
                item = await self._next(job, items, ends=ends, silence_s=self._rules.first_token_s)
                metrics.FIRST_TOKEN_SECONDS.labels(job.entry.id).observe(self._clock() - account.started)
                account.era = self._breakers.first_token(job.entry.id, era=account.era)
                while isinstance(item, str):
                    account.pieces += 1
                    account.tokens = job.prompt_tokens + account.pieces
                    if item:  # an empty one is a sign of life
                        yield item
                    item = await self._next(job, items, ends=ends, silence_s=self._rules.silence_s)
                answered = self._learn(job, account, item)
        yield answered

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
            raise ModelSilent(f"{job.entry.id} was silent for {silence_s:g} s") from error
        except StopAsyncIteration as error:
            raise ProviderUnavailable(f"{job.entry.id} ended its stream without an end") from error

    @asynccontextmanager
    async def _accounted(self, attempt: Attempt) -> AsyncIterator[_Account]:
        model, account = attempt.job.entry.id, _Account(self._clock(), attempt.era)
        outcome = Outcome.NOTHING
        failure: ServiceError | None = None
        try:
            yield account
            outcome = Outcome.ANSWERED
        except Throttled as error:
            account.tokens, failure = account.tokens or 0, error
            raise await self._cool_down(attempt, error) from error
        except ServiceError as error:
            if isinstance(error, CallTimeout):
                seconds = self._clock() - account.started
                self._history.outlasted(model, seconds=seconds, purpose=attempt.job.request.purpose)
            outcome, failure = self._outcome(error, model, account), error
            raise
        finally:
            _tell(attempt.job, account.cost or accounts.broken_off(attempt.job, account.pieces, failure))
            self._gate.settle(attempt.grant, actual_tokens=account.tokens, seconds=self._clock() - account.started)
            self._breakers.observe(model, outcome, era=account.era, cause=failure.message if failure else "")

    async def _cool_down(self, attempt: Attempt, error: Throttled) -> Throttled:
        """Tell the gate of a 429; the same error with the pause that is kept."""
        rules = self._rules
        pause_s = waits.cool_down_s(asked_s=error.retry_after_s, default_s=rules.cool_down_s, max_s=rules.max_cool_down_s)
        await self._gate.throttled(attempt.grant, retry_after_s=None if error.retry_after_s is None else pause_s)
        log.info("model_throttled", model=attempt.job.entry.id, what=error.what, pause_s=pause_s)
        return Throttled(error.message, retry_after_s=pause_s, what=error.what)

    def _outcome(self, error: ServiceError, model: str, account: _Account) -> Outcome:
        match TREATMENTS[class_of(error)].blame:
            case Blame.HEALTHY:
                return Outcome.ANSWERED
            case Blame.FAILED:
                return Outcome.FAILED
            case Blame.SLOW if account.tokens is None and self._clock() - account.started >= self._fair_s(model):
                return Outcome.FAILED
            case _:
                return Outcome.NOTHING

    def _fair_s(self, model: str) -> float:
        """A call that was given so long and got nothing tells that the model hangs, and not that its caller hurries."""
        return max(self._rules.fair_s, FAIR_TIMES * self._history.expected_s(model))

    def _learn(self, job: Job, account: _Account, answer: Answer) -> Answered:
        measured = accounts.measure(job, answer)
        seconds = self._clock() - account.started
        account.tokens = measured.prompt_tokens + measured.completion_tokens
        self._history.learn(
            job.entry.id,
            completion_tokens=measured.completion_tokens,
            seconds=seconds,
            purpose=job.request.purpose,
        )
        metrics.SECONDS.labels(job.entry.id).observe(seconds)
        account.cost = Usage({job.entry.id: measured})
        return Answered(answer, measured)


def _tell(job: Job, cost: Usage) -> None:
    for model, one in cost.models.items():
        metrics.TOKENS.labels(model, "prompt").inc(one.prompt_tokens)
        metrics.TOKENS.labels(model, "completion").inc(one.completion_tokens)
    if cost.models:
        job.request.on_cost(cost)


def _too_late(job: Job, seconds: float) -> CallTimeout:
    return CallTimeout(f"{job.entry.id} had not answered when its {max(seconds, 0):.1f} s were over")
