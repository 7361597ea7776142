"""Calls that outlive a restart of the other side, and what a run fails with when they do not."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from headrace_executor.engine.retrying import BACKOFF_S, MAX_BACKOFF_S, until_deadline
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode
from headrace_runtime import errors


class Service:
    """Raises its errors in turn, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0
        self.slept: list[float] = []

    async def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def ask(service: Service, deadline_s: float = 60.0) -> str:
    return await until_deadline(service, part="the router", deadline_s=deadline_s, sleep=service.sleep)


async def test_what_passes_is_tried_again_with_growing_bounded_waits() -> None:
    service = Service(*(errors.Unavailable("down") for _ in range(20)), errors.Aborted("x"), errors.DeadlineExceeded("x"))
    assert await ask(service) == "answer"
    assert service.calls == 23
    assert all(BACKOFF_S <= wait <= MAX_BACKOFF_S for wait in service.slept)


async def test_a_named_wait_is_kept() -> None:
    service = Service(errors.ResourceExhausted("full", retry_after_s=12.5))
    assert await ask(service) == "answer"
    assert service.slept == [12.5]


async def test_a_named_wait_past_the_deadline_fails_at_once() -> None:
    service = Service(errors.ResourceExhausted("full", retry_after_s=90))
    with pytest.raises(RunFailed, match="in 90 s") as caught:
        await ask(service)
    assert caught.value.failure.code is FailureCode.QUOTA
    assert service.slept == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidArgument("wrong"), FailureCode.INTERNAL),
        (errors.InternalError("broken"), FailureCode.INTERNAL),
        (errors.FailedPrecondition("key", reason="PROVIDER_AUTH"), FailureCode.PROVIDER),
        (errors.PermissionDenied("no"), FailureCode.INTERNAL),
    ],
)
async def test_what_does_not_pass_fails_at_once(error: Exception, code: FailureCode) -> None:
    service = Service(error)
    with pytest.raises(RunFailed) as caught:
        await ask(service)
    assert caught.value.failure.code is code
    assert service.calls == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Unavailable("down"), FailureCode.INTERNAL),
        (errors.Unavailable("503", reason="PROVIDER_UNAVAILABLE"), FailureCode.PROVIDER),
        (errors.DeadlineExceeded("slow"), FailureCode.DEADLINE),
        (errors.ResourceExhausted("full"), FailureCode.QUOTA),
    ],
)
async def test_the_deadline_ends_it_with_what_was_last_wrong(error: errors.ServiceError, code: FailureCode) -> None:
    async def always() -> None:
        raise error

    with pytest.raises(RunFailed) as caught:
        await until_deadline(always, part="the planner", deadline_s=0.15)
    assert caught.value.failure.code is code
    assert "lanner" in caught.value.failure.message or code is FailureCode.PROVIDER


async def test_a_call_that_hangs_is_cut_off_at_the_deadline() -> None:
    started = time.perf_counter()
    with pytest.raises(RunFailed) as caught:
        await until_deadline(asyncio.Event().wait, part="the planner", deadline_s=0.05)
    assert caught.value.failure.code is FailureCode.DEADLINE
    assert time.perf_counter() - started < 2


async def test_cancelling_passes_through() -> None:
    hanging: Callable[[], Awaitable[bool]] = asyncio.Event().wait
    task = asyncio.create_task(until_deadline(hanging, part="the planner", deadline_s=60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
