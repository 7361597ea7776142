"""A request's way through its chain of models: the next attempt that may be made, until there is none."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog
from headrace_runtime.errors import ServiceError

from headrace_llm import fallbacks, metrics, tracing, treatment, waits
from headrace_llm.asking import Attempt
from headrace_llm.breakers import Breakers
from headrace_llm.errors import BreakerOpen, CallTimeout, ErrorClass, GateRefused, PromptTooLong, class_of
from headrace_llm.fallbacks import Route
from headrace_llm.history import History
from headrace_llm.job import Job, Rules
from headrace_llm.ports import Ask, Gate, Grant, Provider
from headrace_llm.registry import Registry
from headrace_llm.retry_budget import RetryBudget
from headrace_llm.treatment import TREATMENTS, Move, Repeat

MIN_LEFT_S = 0.01
"""With less time than this nobody is asked any more."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Parts:
    """What all requests' attempts share."""

    registry: Registry
    gate: Gate
    provider: Provider
    history: History
    breakers: Breakers
    budgets: dict[str, RetryBudget]
    rules: Rules
    clock: Callable[[], float]
    jitter: Callable[[], float]


class Course:
    """One request's. Ask `next`, make the attempt, tell `failed` or `answered`, and ask again after a failure."""

    def __init__(self, parts: Parts, job: Job) -> None:
        self._parts = parts
        self._job = job
        self._route = Route.of(fallbacks.chain(parts.registry.models, job.entry, prompt_tokens=job.prompt_tokens))
        self._repeats: Counter[tuple[str, ErrorClass]] = Counter()
        self._errors: dict[str, ServiceError] = {}
        """Each model's last."""
        self._last = job.entry.id

    async def next(self) -> Attempt:
        """Wait for the next attempt's turn. Raises an error of `headrace_llm.errors` when no model gives one in time."""
        while True:
            try:
                attempt = await self._admitted(self._job.on(self._route.entry))
            except (GateRefused, BreakerOpen, PromptTooLong) as error:
                self._move(error)
                continue
            self._arrived(attempt.job.entry.id)
            return attempt

    def answered(self) -> None:
        """The last attempt succeeded."""
        self._parts.budgets[self._route.entry.id].succeeded()

    async def failed(self, error: ServiceError, *, begun: bool = False) -> None:
        """The last attempt failed: choose the next one and wait as long as it asks. Raises when there is none.

        `begun`: the reader has seen a part of its answer.
        """
        model, kind = self._route.entry.id, class_of(error)
        metrics.FAILURES.labels(model, kind).inc()
        if kind is ErrorClass.AUTH:
            log.error("model_misconfigured", model=model, cause=error.message)
        pause_s = self._pause_s(kind, error, begun=begun)
        if pause_s is None:
            self._move(error)
            return
        self._errors[model] = error
        self._repeats[model, kind] += 1
        metrics.RETRIES.labels(model, kind).inc()
        log.info("model_asked_again", model=model, reason=kind, pause_s=pause_s, cause=error.message)
        await asyncio.sleep(pause_s)

    async def _admitted(self, job: Job) -> Attempt:
        breakers, model = self._parts.breakers, job.entry.id
        if not job.may_fit:
            raise PromptTooLong(
                f"about {job.prompt_tokens} tokens of prompt for {model}, which reads {job.entry.context_tokens}"
            )
        if breakers.blocked_s(model) > 0:
            raise breakers.refusal(model)
        grant = await self._acquire(job)
        era = breakers.admit(model)
        if era is None:  # it opened while this call waited at the gate
            self._parts.gate.give_back(grant)
            raise breakers.refusal(model)
        tracing.granted()
        return Attempt(job, grant, era)

    async def _acquire(self, job: Job) -> Grant:
        remaining_s = await self._ready(job)
        history = self._parts.history

        def tokens() -> int:
            answer = history.expected_tokens(job.entry.id, job.request.purpose, max_tokens=job.call.max_tokens)
            return min(job.prompt_tokens + answer, job.entry.context_tokens)

        needed_s = history.needed_s(job.entry.id, job.request.purpose)
        expected_s = history.expected_s(job.entry.id)
        wait_s = waits.wait_budget_s(remaining_s=remaining_s, needed_s=needed_s, expected_s=expected_s)
        ask = Ask(
            tokens=tokens(),
            priority=job.request.priority,
            tenant_id=job.request.tenant_id,
            max_wait_s=self._patience_s(wait_s),
            started_at=job.started_at,
            unblocks=job.request.unblocks,
            run_id=job.request.run_id,
            prompt_tokens=job.prompt_tokens,
            anew=tokens,
            on_wait=job.request.on_wait,
        )
        return await self._parts.gate.acquire(job.entry, ask)

    async def _ready(self, job: Job) -> float:
        """Wait until a granted call would leave at once. Returns the seconds that remain; raises `CallTimeout` for none."""
        with suppress(TimeoutError):  # it shows in what remains
            async with asyncio.timeout(max(0.0, self._remaining_s())):
                await self._parts.provider.ready()
        remaining_s = self._remaining_s()
        if remaining_s <= 0:
            raise CallTimeout(f"the deadline passed before {job.entry.id} could be asked")
        return remaining_s

    def _pause_s(self, kind: ErrorClass, error: ServiceError, *, begun: bool) -> float | None:
        """How long to wait before the same model is asked again, None when it is not."""
        model, rules, repeat = self._route.entry.id, self._parts.rules, TREATMENTS[kind].repeat
        repeats, remaining_s = self._repeats[model, kind], self._remaining_s()
        most = rules.throttled_attempts if repeat is Repeat.PACED else rules.unavailable_attempts
        if repeats >= treatment.repeats(repeat, most=most, alone=self._route.alone, begun=begun):
            return None
        if repeat is Repeat.PACED:
            return 0.0 if (error.retry_after_s or 0.0) < self._patience_s(remaining_s) else None
        pause_s = waits.backoff_s(attempt=repeats + 1, jitter=self._parts.jitter(), remaining_s=remaining_s)
        if pause_s is None or self._parts.breakers.blocked_s(model) > 0:
            return None
        if not self._parts.budgets[model].take():
            metrics.RETRY_BUDGET_REFUSED.labels(model).inc()
            return None
        return pause_s

    def _move(self, error: ServiceError) -> None:
        """Go on to the next model. Raises when there is none, or no time."""
        move = TREATMENTS[class_of(error)].move
        if move is Move.NEVER:
            raise error
        self._errors[self._route.entry.id] = error
        route = self._route.moved(move) if self._remaining_s() > MIN_LEFT_S else None
        if route is None:
            raise fallbacks.verdict(self._errors.values())
        self._route = route

    def _arrived(self, model: str) -> None:
        """Tell when a call goes to another model than the last one that it was meant for."""
        if model == self._last:
            return
        reason = class_of(self._errors[self._last])
        metrics.FALLBACKS.labels(self._last, model, reason).inc()
        log.info("model_fallback", model=self._last, to=model, reason=reason)
        tracing.moved(self._last, model, reason)
        self._last = model

    def _patience_s(self, most_s: float) -> float:
        """How long a call may wait for the present model."""
        return most_s if self._route.patient else min(most_s, self._route.entry.fallback_wait_s)

    def _remaining_s(self) -> float:
        return self._job.until - self._parts.clock()
