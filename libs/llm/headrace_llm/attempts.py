"""Makes a call, through the gate, until it succeeds, may not be made again or cannot be in time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from headrace_llm import metrics, policy, tracing
from headrace_llm.errors import CallTimeout, ProviderUnavailable, Throttled
from headrace_llm.history import History
from headrace_llm.job import Job, Rules
from headrace_llm.ports import Ask, Gate, Grant

MIN_COOL_DOWN_S = 0.1
"""A Retry-After of 0 is not believed."""

log = structlog.get_logger()
T = TypeVar("T")


class Attempts:
    """Two budgets: few more tries at a provider that is away, more at one that asks to slow down, as the gate paces it."""

    def __init__(
        self, gate: Gate, history: History, rules: Rules, *, clock: Callable[[], float], jitter: Callable[[], float]
    ) -> None:
        self._gate = gate
        self._history = history
        self._rules = rules
        self._clock = clock
        self._jitter = jitter

    async def run(self, job: Job, attempt: Callable[[Job, Grant], Awaitable[T]]) -> T:
        """Return what `attempt` returns; it settles its grant itself. Raises its last error, or `GateRefused`."""
        throttled = unavailable = 0
        while True:
            grant = await self._acquire(job)
            tracing.granted()
            try:
                return await attempt(job, grant)
            except Throttled as error:
                throttled += 1
                await self._cool_down(job, grant, error, may_repeat=throttled <= self._rules.throttled_attempts)
            except ProviderUnavailable as error:
                unavailable += 1
                await self._back_off(job, error, attempt=unavailable)

    async def _acquire(self, job: Job) -> Grant:
        remaining_s = job.until - self._clock()
        if remaining_s <= 0:
            raise CallTimeout(f"the deadline passed before {job.entry.id} could be asked")
        answer = self._history.expected_tokens(job.entry.id, max_tokens=job.call.max_tokens)
        expected_s = self._history.expected_s(job.entry.id)
        ask = Ask(
            tokens=min(job.prompt_tokens + answer, job.entry.context_tokens),
            priority=job.request.priority,
            tenant_id=job.request.tenant_id,
            max_wait_s=policy.wait_budget_s(remaining_s=remaining_s, expected_s=expected_s),
            started_at=job.request.started_at,
            unblocks=job.request.unblocks,
            run_id=job.request.run_id,
        )
        return await self._gate.acquire(job.entry, ask)

    async def _cool_down(self, job: Job, grant: Grant, error: Throttled, *, may_repeat: bool) -> None:
        asked_s = self._rules.cool_down_s if error.retry_after_s is None else error.retry_after_s
        pause_s = min(max(asked_s, MIN_COOL_DOWN_S), self._rules.max_cool_down_s)
        await self._gate.throttled(grant, retry_after_s=pause_s)
        log.info("model_throttled", model=job.entry.id, pause_s=pause_s)
        if not may_repeat or pause_s >= job.until - self._clock():
            raise Throttled(error.message, retry_after_s=pause_s) from error
        metrics.RETRIES.labels(job.entry.id, "throttled").inc()

    async def _back_off(self, job: Job, error: ProviderUnavailable, *, attempt: int) -> None:
        remaining_s = job.until - self._clock()
        pause_s = policy.backoff_s(attempt=attempt, jitter=self._jitter(), remaining_s=remaining_s)
        if attempt > self._rules.unavailable_attempts or pause_s is None:
            raise error
        metrics.RETRIES.labels(job.entry.id, "unavailable").inc()
        log.info("model_unavailable", model=job.entry.id, attempt=attempt, pause_s=pause_s, cause=error.message)
        await asyncio.sleep(pause_s)
