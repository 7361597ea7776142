import asyncio

import pytest
from headrace_llm.client import Priority
from headrace_llm.errors import GateRefused
from headrace_llm.gate import PacedGate
from headrace_llm.local_pacer import LocalPacer
from headrace_llm.ports import Ask, Grant
from headrace_llm.registry import Limits, ModelEntry, Registry
from headrace_llm.window import SlidingMinute


def entry(rpm: float | None, **limits: int) -> ModelEntry:
    return ModelEntry(id="m", model="openai/m", limits=Limits(rpm=rpm, **limits))


class World:
    def __init__(self, rpm: float | None = 1200, *, max_waiting: int = 100, **limits: int) -> None:
        self.entry = entry(rpm, **limits)
        self.loop = asyncio.get_running_loop()
        self.pacer = LocalPacer(clock=self.loop.time)
        registry = Registry.of([self.entry])
        self.gate = PacedGate(registry, self.pacer, max_waiting=max_waiting, clock=self.loop.time)

    async def acquire(self, tokens: int = 0, deadline_s: float = 5.0) -> Grant:
        return await self.gate.acquire(self.entry, Ask(tokens, Priority.STANDARD, "t", deadline_s))

    async def reserved(self, slots: int) -> None:
        """Wait until so many slots have been given."""
        async with asyncio.timeout(5):
            while self.pacer._bucket(self.entry.scope).turn < slots:
                await asyncio.sleep(0)

    @property
    def depth(self) -> int:
        return self.gate.signals()[0].queue_depth


async def test_calls_leave_at_the_pace_of_the_quota() -> None:
    world = World(rpm=1200)
    started = world.loop.time()
    await asyncio.gather(*(world.acquire() for _ in range(5)))
    assert 0.19 <= world.loop.time() - started < 1.0


async def test_who_cannot_be_served_in_time_is_refused_at_once() -> None:
    world = World(rpm=6)
    await world.acquire()
    started = world.loop.time()
    with pytest.raises(GateRefused) as caught:
        await world.acquire(deadline_s=5)
    assert world.loop.time() - started < 0.5
    assert caught.value.retry_after_s == pytest.approx(10, abs=0.5)
    with pytest.raises(GateRefused) as again:
        await world.acquire(deadline_s=5)
    assert again.value.retry_after_s == pytest.approx(caught.value.retry_after_s or 0, abs=0.5)


async def test_the_queue_is_bounded() -> None:
    world = World(rpm=60, max_waiting=2)
    await world.acquire()
    waiting = [asyncio.create_task(world.acquire()) for _ in range(2)]
    while world.depth < 2:
        await asyncio.sleep(0)
    with pytest.raises(GateRefused) as caught:
        await world.acquire()
    assert caught.value.reason == "QUOTA_QUEUE_FULL"
    assert world.gate.signals()[0].oldest_wait_s >= 0
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert world.depth == 0


@pytest.mark.parametrize("knows_its_slot", [False, True])
async def test_a_cancelled_waiter_gives_its_slot_back(knows_its_slot: bool) -> None:
    world = World(rpm=60)
    await world.acquire()
    waiter = asyncio.create_task(world.acquire())
    await world.reserved(2)
    for _ in range(5 * knows_its_slot):
        await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    await world.gate.close()
    with pytest.raises(GateRefused) as caught:
        await world.acquire(deadline_s=0.1)
    assert (caught.value.retry_after_s or 0) <= 1.0


async def test_a_cool_down_holds_those_who_already_wait() -> None:
    world = World(rpm=1200)
    first = await world.acquire()
    started = world.loop.time()
    waiter = asyncio.create_task(world.acquire())
    await world.reserved(2)
    await world.gate.throttled(first, retry_after_s=0.3)
    grant = await waiter
    assert world.loop.time() - started >= 0.29
    assert grant.waited_s >= 0.29
    assert world.gate.signals()[0].throttled_ratio == 0.5


async def test_a_model_without_limits_is_not_paced_but_cools_down() -> None:
    world = World(rpm=None)
    started = world.loop.time()
    grants = [await world.acquire(tokens=10**6) for _ in range(100)]
    assert world.loop.time() - started < 1
    await world.gate.throttled(grants[0], retry_after_s=30)
    with pytest.raises(GateRefused):
        await world.acquire()


async def test_tokens_that_were_not_used_come_back() -> None:
    world = World(rpm=None, tpm=60_000)
    first = await world.acquire(tokens=10_000)
    with pytest.raises(GateRefused):
        await world.acquire(tokens=10)
    world.gate.settle(first, actual_tokens=0, seconds=0.1)
    await world.gate.close()
    await world.acquire(tokens=10)


async def test_signals_add_the_last_minute_up() -> None:
    world = World(rpm=60_000)
    for _ in range(4):
        grant = await world.acquire()
        world.gate.settle(grant, actual_tokens=None, seconds=0.5)
    signals = world.gate.signals()[0]
    assert (signals.granted_rpm, signals.effective_rpm, signals.seconds_per_call) == (4, 60_000, 0.5)


def test_a_sliding_minute_forgets() -> None:
    now = [1000.0]
    minute = SlidingMinute(["a", "b"], clock=lambda: now[0])
    minute.add("a", 2)
    now[0] += 59
    minute.add("a")
    assert (minute.sum("a"), minute.sum("b")) == (3, 0)
    now[0] += 1
    assert minute.sum("a") == 1
    now[0] += 10_000
    assert minute.sum("a") == 0
