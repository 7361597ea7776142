"""Calls to other services that outlive a restart of theirs: retried with back-off until the step's deadline.

It knows which errors pass. It must not know what is called.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
import tenacity
from headrace_runtime import errors

from headrace_executor.engine import failures
from headrace_executor.engine.metrics import RETRIES
from headrace_executor.model import FailureCode

MAX_ATTEMPTS = 200
"""Attempts at one call, whatever its deadline allows."""
BACKOFF_S = 0.1
MAX_BACKOFF_S = 3.0

PASSING = (errors.Unavailable, errors.Aborted, errors.DeadlineExceeded, errors.ResourceExhausted)
"""Errors that another attempt may not meet."""

Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")

log = structlog.get_logger()
_jittered = tenacity.wait_random_exponential(multiplier=BACKOFF_S, max=MAX_BACKOFF_S, min=BACKOFF_S)


async def until_deadline(
    action: Callable[[], Awaitable[T]],
    *,
    part: str,
    deadline_s: float,
    invalid: FailureCode = FailureCode.INTERNAL,
    sleep: Sleep = asyncio.sleep,
) -> T:
    """Await `action()` until it succeeds, fails for good, or `deadline_s` has passed.

    A `retry_after_s` is waited out when that ends before the deadline, and is a failure at once when not. `part` and
    `invalid` are those of `failures.from_service`. Raises `RunFailed`.
    """

    async def attempt() -> T:
        return await action()

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(PASSING),
        wait=_wait,
        stop=tenacity.stop_any(tenacity.stop_before_delay(deadline_s), tenacity.stop_after_attempt(MAX_ATTEMPTS)),
        before_sleep=lambda state: _note(state, part),
        sleep=sleep,
        reraise=True,
    )
    timeout = asyncio.timeout(deadline_s)
    try:
        async with timeout:
            return await retrying(attempt)
    except errors.ServiceError as error:
        raise failures.from_service(error, part=part, invalid=invalid) from error
    except TimeoutError as error:
        if not timeout.expired():
            raise
        late = errors.DeadlineExceeded(f"{deadline_s:g} s have passed")
        raise failures.from_service(late, part=part) from error


def _error(state: tenacity.RetryCallState) -> errors.ServiceError | None:
    error = state.outcome.exception() if state.outcome is not None else None
    return error if isinstance(error, errors.ServiceError) else None


def _note(state: tenacity.RetryCallState, part: str) -> None:
    error = _error(state)
    code = error.code.name if error is not None else "UNKNOWN"
    RETRIES.labels(part, code).inc()
    log.info("call_retried", part=part, code=code, attempt=state.attempt_number)


def _wait(state: tenacity.RetryCallState) -> float:
    error = _error(state)
    if error is not None and error.retry_after_s is not None:
        return max(error.retry_after_s, BACKOFF_S)
    return _jittered(state)
