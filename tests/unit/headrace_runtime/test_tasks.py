"""Background tasks must not die in silence."""

import asyncio

import pytest
from headrace_runtime import tasks


async def forever() -> None:
    await asyncio.Event().wait()


async def test_the_first_task_that_ends_is_reported() -> None:
    async def ends() -> None:
        return None

    async with tasks.guard() as guard:
        guard.start(forever(), name="forever")
        guard.start(ends(), name="ends")
        with pytest.raises(RuntimeError, match="background task ends ended"):
            await asyncio.wait_for(asyncio.shield(guard.failed), 5)


async def test_a_task_that_raises_hands_over_its_exception() -> None:
    async def breaks() -> None:
        raise ValueError("broken")

    async with tasks.guard() as guard:
        guard.start(breaks(), name="breaks")
        with pytest.raises(ValueError, match="broken"):
            await asyncio.wait_for(asyncio.shield(guard.failed), 5)


async def test_closing_cancels_what_still_runs() -> None:
    cancelled = asyncio.Event()

    async def waits() -> None:
        try:
            await forever()
        finally:
            cancelled.set()

    async with tasks.guard() as guard:
        guard.start(waits(), name="waits")
        await asyncio.sleep(0)

    assert cancelled.is_set()
    assert guard.failed.cancelled()


async def test_a_task_that_swallows_its_first_cancellation_is_cancelled_again() -> None:
    swallowed = asyncio.Event()

    async def stubborn() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            swallowed.set()
        await forever()

    async with tasks.guard() as guard:
        guard.start(stubborn(), name="stubborn")
        await asyncio.sleep(0)

    assert swallowed.is_set()
    await guard.close()
