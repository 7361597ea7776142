"""Retries of a call whose server is away, with pauses, until the call's deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import tenacity

from headrace_tools import metrics
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import Limits
from headrace_tools.model import Json

Sleep = Callable[[float], Awaitable[None]]


async def repeated(
    label: str,
    attempt: Callable[[], Awaitable[Json]],
    *,
    retries: int,
    deadline_s: float,
    limits: Limits,
    sleep: Sleep = asyncio.sleep,
) -> Json:
    """What `attempt` gives, made again up to `retries` times while it is `away`; a Retry-After is kept to.

    Raises the last `ToolFailed`, at once if what the server asks to wait is beyond `deadline_s` seconds; the caller cancels
    what takes longer.
    """
    until = time.monotonic() + deadline_s
    pause = tenacity.wait_random_exponential(limits.retry_pause_s, limits.longest_retry_pause_s)

    def failed(state: tenacity.RetryCallState) -> ToolFailed | None:
        error = state.outcome.exception() if state.outcome is not None else None
        return error if isinstance(error, ToolFailed) else None

    def worth(state: tenacity.RetryCallState) -> bool:
        """Whether another attempt may succeed, and there is time for it after what the server asks to wait."""
        error = failed(state)
        if error is None or error.reason != "away":
            return False
        return (error.retry_after_s or 0.0) < until - time.monotonic()

    def wait(state: tenacity.RetryCallState) -> float:
        error = failed(state)
        return max((error.retry_after_s if error is not None else None) or 0.0, pause(state))

    async def once() -> Json:  # tenacity awaits what is declared so
        return await attempt()

    def count(_: tenacity.RetryCallState) -> None:
        metrics.RETRIES.labels(label).inc()

    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(1 + retries),
        retry=worth,
        wait=wait,
        before_sleep=count,
        sleep=sleep,
        reraise=True,
    )
    return await retrying(once)
