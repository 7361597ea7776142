"""The gate of one process without Redis: calls wait, go, are cancelled and refused."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest
from headrace_llm.client import Priority, Wait
from headrace_llm.errors import GateRefused
from headrace_llm.gate.pace import Quota
from headrace_llm.gate.paced import PacedGate, effective_rpm
from headrace_llm.ports import Ask, Grant
from headrace_llm.registry import Limits, ModelEntry, Registry, TenantEntry


class World:
    def __init__(self, *, max_waiting: int = 100, tenants: dict[str, TenantEntry] | None = None, **limits: float) -> None:
        self.entry = ModelEntry(id="m", model="openai/m", limits=Limits(**limits))
        self.registry = Registry.of([self.entry], tenants=tenants)
        self.gate = PacedGate(self.registry, None, process="p", max_waiting=max_waiting)
        self.loop = asyncio.get_running_loop()

    async def acquire(
        self,
        tokens: int = 0,
        max_wait_s: float = 5.0,
        priority: Priority = Priority.STANDARD,
        tenant: str = "t",
        on_wait: Callable[[Wait], None] | None = None,
    ) -> Grant:
        return await self.gate.acquire(self.entry, Ask(tokens, priority, tenant, max_wait_s, on_wait=on_wait))

    async def queued(self, count: int) -> None:
        async with asyncio.timeout(5):
            while self.gate.signals()[0].queue_depth != count:
                await asyncio.sleep(0)

    async def aclose(self) -> None:
        await self.gate.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with aclosing(World(rpm=60)) as one:
        yield one


async def test_calls_leave_at_the_pace_of_the_quota() -> None:
    async with aclosing(World(rpm=1200)) as world:
        started = world.loop.time()
        await asyncio.gather(*(world.acquire() for _ in range(5)))
        assert world.loop.time() - started >= 0.18


async def test_who_cannot_be_served_in_time_is_refused_before_it_waits(world: World) -> None:
    await world.acquire()
    with pytest.raises(GateRefused) as caught:
        await world.acquire(max_wait_s=0.2)
    assert caught.value.retry_after_s == pytest.approx(1, abs=0.5)
    assert world.gate.signals()[0].queue_depth == 0


async def test_the_queue_of_a_process_is_bounded() -> None:
    async with aclosing(World(rpm=60, max_waiting=2)) as world:
        await world.acquire()
        waiting = [asyncio.create_task(world.acquire()) for _ in range(2)]
        await world.queued(2)
        with pytest.raises(GateRefused) as caught:
            await world.acquire()
        assert caught.value.reason == "QUOTA_QUEUE_FULL"
        assert world.gate.signals()[0].oldest_wait_s >= 0
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await world.queued(0)


async def test_a_cancelled_waiter_leaves_at_once(world: World) -> None:
    await world.acquire()
    waiter = asyncio.create_task(world.acquire())
    await world.queued(1)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    await world.queued(0)


async def test_a_waiter_cancelled_with_its_turn_in_hand_gives_it_back(world: World) -> None:
    waiter = asyncio.create_task(world.acquire())
    while not world.gate.signals()[0].granted_rpm:
        await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    assert waiter.cancelled()
    async with asyncio.timeout(5):
        while world.gate.signals()[0].granted_rpm:
            await asyncio.sleep(0)
    await world.acquire(max_wait_s=0.0)


async def test_a_grant_that_was_not_used_goes_to_the_next(world: World) -> None:
    world.gate.give_back(await world.acquire())
    await world.acquire(max_wait_s=0.0)


async def test_a_pause_holds_those_who_already_wait() -> None:
    async with aclosing(World(rpm=1200)) as world:
        first = await world.acquire()
        started = world.loop.time()
        waiter = asyncio.create_task(world.acquire())
        await world.queued(1)
        await world.gate.throttled(first, retry_after_s=0.3)
        grant = await waiter
        assert world.loop.time() - started >= 0.28
        assert grant.waited_s >= 0.28
        signals = world.gate.signals()[0]
        assert signals.throttled_ratio == 0.5
        assert signals.effective_rpm < 1200


async def test_interactive_calls_overtake_background_ones(world: World) -> None:
    await world.acquire()
    order: list[str] = []

    async def one(name: str, priority: Priority) -> None:
        await world.acquire(priority=priority)
        order.append(name)

    slow = asyncio.create_task(one("background", Priority.BACKGROUND))
    await world.queued(1)
    fast = asyncio.create_task(one("interactive", Priority.INTERACTIVE))
    await asyncio.gather(slow, fast)
    assert order == ["interactive", "background"]


async def test_a_model_without_limits_is_not_paced_but_pauses() -> None:
    async with aclosing(World()) as world:
        grants = [await world.acquire(tokens=10**6, max_wait_s=0.0) for _ in range(100)]
        await world.gate.throttled(grants[0], retry_after_s=30)
        with pytest.raises(GateRefused) as caught:
            await world.acquire()
        assert caught.value.retry_after_s == pytest.approx(30, abs=2)


async def test_tokens_that_were_not_used_come_back() -> None:
    async with aclosing(World(tpm=60_000)) as world:
        first = await world.acquire(tokens=10_000)
        with pytest.raises(GateRefused):
            await world.acquire(tokens=10)
        world.gate.settle(first, actual_tokens=0, seconds=0.1)
        await world.acquire(tokens=10, max_wait_s=0.5)


async def test_a_waiting_call_reserves_what_was_learnt_meanwhile() -> None:
    async with aclosing(World(tpm=60_000)) as world:
        await world.acquire(tokens=2000)
        expected = 4000
        ask = Ask(expected, Priority.STANDARD, "t", 5.0, anew=lambda: expected)
        waiting = asyncio.create_task(world.gate.acquire(world.entry, ask))
        await world.queued(1)
        expected = 100
        assert (await waiting).tokens == 100


async def test_a_huge_estimate_stops_the_limit_for_a_minute_at_most() -> None:
    async with aclosing(World(tpm=60_000)) as world:
        grant = await world.acquire(tokens=10**12)
        with pytest.raises(GateRefused) as caught:
            await world.acquire(tokens=10)
        assert caught.value.retry_after_s is not None
        assert caught.value.retry_after_s <= 61
        world.gate.settle(grant, actual_tokens=0, seconds=0.1)
        await world.acquire(tokens=10, max_wait_s=0.5)


async def test_signals_tell_the_last_minute() -> None:
    async with aclosing(World(rpm=60_000)) as world:
        for _ in range(4):
            grant = await world.acquire()
            world.gate.settle(grant, actual_tokens=None, seconds=0.5)
        signals = world.gate.signals()[0]
        assert (signals.granted_rpm, signals.effective_rpm, signals.seconds_per_call) == (4, 60_000, 0.5)
        assert signals.queued == dict.fromkeys(Priority, 0)


async def test_a_waiting_call_is_told_where_it_stands_and_one_that_goes_at_once_is_not() -> None:
    async with aclosing(World(rpm=6)) as world:
        told: dict[str, list[Wait]] = {"first": [], "second": [], "third": []}

        def waiting(name: str) -> "asyncio.Task[Grant]":
            return asyncio.create_task(world.acquire(max_wait_s=60, on_wait=told[name].append))

        async def told_at(position: int) -> Wait:
            async with asyncio.timeout(20):
                while not any(wait.position == position for wait in told["third"]):
                    await asyncio.sleep(0.01)
            return told["third"][-1]

        await waiting("first")
        second = waiting("second")
        await world.queued(1)
        third = waiting("third")
        behind = await told_at(2)
        second.cancel()
        next_up = await told_at(1)
        third.cancel()
        await asyncio.gather(second, third, return_exceptions=True)
        assert behind.expected_s - next_up.expected_s > 10
        assert behind.waited_s < next_up.waited_s
        assert not told["first"]
        assert {wait.position for wait in told["second"]} == {1}


async def test_one_who_cannot_bear_to_be_told_keeps_nobody_from_going() -> None:
    def fail(wait: Wait) -> None:
        told.append(wait)
        raise RuntimeError

    async with aclosing(World(rpm=40)) as world:
        told: list[Wait] = []
        await world.acquire()
        await asyncio.gather(world.acquire(on_wait=fail), world.acquire(on_wait=fail))
        assert told


def test_the_effective_rate_is_that_of_the_side_that_binds() -> None:
    assert effective_rpm(Quota(60, 6000), 1.0, 50) == 60
    assert effective_rpm(Quota(60, 6000), 0.5, 200) == 15
    assert effective_rpm(Quota(60, 6000), 1.0, 0) == 60
    assert effective_rpm(Quota(), 1.0, 100) == 0
