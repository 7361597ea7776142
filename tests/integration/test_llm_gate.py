"""The gate on a real Valkey: processes share one queue, one dies, Redis is lost and comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import pytest
import redis.asyncio
from headrace_llm import metrics
from headrace_llm.adapters.redis_gate import RedisLimits, connect, key
from headrace_llm.client import Priority
from headrace_llm.errors import GateRefused
from headrace_llm.gate.paced import PacedGate, process_id, quota_of
from headrace_llm.gate.turns import Waiter
from headrace_llm.ports import Ask, Grant
from headrace_llm.registry import Limits, ModelEntry, Registry

from tests.support.wire import Wire

ENTRY = ModelEntry(id="m", model="openai/m", limits=Limits(rpm=1200))


@dataclass
class Process:
    """What one process has of the gate."""

    client: redis.asyncio.Redis
    gate: PacedGate
    entry: ModelEntry

    async def acquire(
        self,
        *,
        max_wait_s: float = 5.0,
        priority: Priority = Priority.STANDARD,
        tenant: str = "t",
        started: float | None = None,
    ) -> Grant:
        return await self.gate.acquire(self.entry, Ask(0, priority, tenant, max_wait_s, started_at=started))

    async def queued(self, count: int) -> None:
        """Wait until so many calls of all processes are in the shared queue."""
        async with asyncio.timeout(5):
            while await self.client.hlen(f"{key(self.entry.scope)}:w") != count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def process(
    url: str, *, entry: ModelEntry = ENTRY, timeout_s: float = 0.5, retry_s: float = 0.2
) -> AsyncIterator[Process]:
    async with aclosing(connect(url, timeout_s=timeout_s, connections=8)) as client:
        name = process_id()
        shared = RedisLimits(client, name, most_waiting=1000)
        gate = PacedGate(Registry.of([entry]), shared, process=name, max_waiting=100, retry_s=retry_s)
        await gate.start()
        try:
            yield Process(client, gate, entry)
        finally:
            await gate.close()


async def test_processes_share_one_pace(redis_url: str) -> None:
    loop = asyncio.get_running_loop()
    async with process(redis_url) as one, process(redis_url) as two:
        started = loop.time()
        await asyncio.gather(*(each.acquire() for each in (one, two) for _ in range(5)))
        assert loop.time() - started >= 0.42


async def test_processes_share_one_order(redis_url: str) -> None:
    slow = ENTRY.model_copy(update={"limits": Limits(rpm=300)})
    order: list[str] = []
    async with process(redis_url, entry=slow) as one, process(redis_url, entry=slow) as two:
        await one.acquire()

        async def call(who: Process, name: str, priority: Priority, started: float) -> None:
            await who.acquire(priority=priority, started=started)
            order.append(name)

        calls = [
            (one, "background", Priority.BACKGROUND, 10.0),
            (two, "younger", Priority.INTERACTIVE, 30.0),
            (one, "older", Priority.INTERACTIVE, 20.0),
        ]
        tasks = []
        for number, (who, name, priority, started) in enumerate(calls, start=1):
            tasks.append(asyncio.create_task(call(who, name, priority, started)))
            await one.queued(number)
        await asyncio.gather(*tasks)
    assert order == ["older", "younger", "background"]


async def test_a_pause_holds_every_process(redis_url: str) -> None:
    async with process(redis_url) as one, process(redis_url) as two:
        grant = await one.acquire()
        await one.gate.throttled(grant, retry_after_s=20)
        with pytest.raises(GateRefused) as caught:
            await two.acquire(max_wait_s=5)
        assert caught.value.retry_after_s == pytest.approx(20, abs=2)


async def test_a_cancelled_waiter_leaves_the_shared_queue(redis_url: str) -> None:
    slow = ENTRY.model_copy(update={"limits": Limits(rpm=6)})
    async with process(redis_url, entry=slow) as one:
        await one.acquire()
        waiter = asyncio.create_task(one.acquire(max_wait_s=30))
        await one.queued(1)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        await one.queued(0)


async def test_a_grant_given_back_is_the_next_ones(redis_url: str) -> None:
    slow = ENTRY.model_copy(update={"limits": Limits(rpm=6)})
    async with process(redis_url, entry=slow) as one, process(redis_url, entry=slow) as two:
        grant = await one.acquire()
        with pytest.raises(GateRefused):
            await two.acquire(max_wait_s=1)
        one.gate.give_back(grant)
        async with asyncio.timeout(5):
            while True:
                try:
                    await two.acquire(max_wait_s=0)
                    break
                except GateRefused:
                    await asyncio.sleep(0)


async def bury(client: redis.asyncio.Redis, entry: ModelEntry, count: int, *, most_waiting: int = 1000) -> None:
    """Leave calls in the queue, first in line, as a process leaves them that was killed: nobody listens for them."""
    dead = RedisLimits(client, "dead", most_waiting=most_waiting)
    for number in range(count):
        waiter = Waiter(f"dead:{number}", 1, "t", 1.0, "", 0, 10**12)
        await dead.enter(entry.scope, quota_of(entry), waiter, age_us=1, unblocks=0, number=number)


async def test_waiters_of_a_process_that_died_cost_nothing(redis_url: str) -> None:
    slow = ENTRY.model_copy(update={"limits": Limits(rpm=300)})
    loop = asyncio.get_running_loop()
    async with process(redis_url, entry=slow) as one:
        await one.acquire()
        waiter = asyncio.create_task(one.acquire(max_wait_s=30))
        await one.queued(1)
        await bury(one.client, slow, 100)
        started = loop.time()
        await waiter
        await one.acquire(max_wait_s=30)
        assert loop.time() - started < 2
        await one.queued(0)


async def test_a_queue_full_of_the_dead_does_not_shut_out_the_living(redis_url: str) -> None:
    slow = ENTRY.model_copy(update={"limits": Limits(rpm=300)})
    async with aclosing(connect(redis_url, timeout_s=2, connections=1)) as client:
        await bury(client, slow, 1001)
    async with process(redis_url, entry=slow) as one:
        await one.queued(0)
        await one.acquire(max_wait_s=1)


async def test_an_emptied_redis_is_only_a_fresh_start(redis_url: str) -> None:
    slow = ENTRY.model_copy(update={"limits": Limits(rpm=60)})
    async with process(redis_url, entry=slow) as one:
        await one.acquire()
        waiter = asyncio.create_task(one.acquire())
        await one.queued(1)
        await one.client.flushall()
        await one.client.script_flush()
        async with asyncio.timeout(5):
            await waiter
        assert one.gate.shared


async def test_what_was_learnt_survives_every_process(redis_url: str) -> None:
    async with process(redis_url) as one:
        await one.gate.throttled(await one.acquire(), retry_after_s=0.1)
    async with process(redis_url) as two:
        assert two.gate.signals()[0].effective_rpm < 1200


async def test_without_redis_from_the_start_a_process_keeps_to_its_share() -> None:
    async with process("redis://127.0.0.1:9/0") as one:
        assert not one.gate.signals()[0].shared
        grant = await one.acquire()
        await one.gate.throttled(grant, retry_after_s=20)
        with pytest.raises(GateRefused) as caught:
            await one.acquire(max_wait_s=5)
        assert caught.value.retry_after_s == pytest.approx(20, abs=2)


@pytest.mark.parametrize("how", ["cut", "deaf"])
async def test_when_redis_is_lost_waiters_go_on_at_their_share_and_come_back(redis_url: str, how: str) -> None:
    loop = asyncio.get_running_loop()
    wire = Wire(redis_url)
    url = await wire.mended_url()
    async with process(redis_url) as other, process(url, timeout_s=0.2) as one:
        await other.acquire()
        async with asyncio.timeout(5):
            while one.gate._fleet.size != 2:
                await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(one.acquire(max_wait_s=20)) for _ in range(10)]
        if how == "cut":
            await wire.cut()
        wire.deaf = True
        started = loop.time()
        await asyncio.gather(*waiting)
        assert loop.time() - started >= 0.5  # half of 20 a second, but for what was let through before
        assert metrics.GATE_FALLBACK._value.get() == 1
        assert not one.gate.signals()[0].shared
        wire.deaf = False
        if how == "cut":
            await wire.mend()
        async with asyncio.timeout(10):
            while not one.gate.shared:
                await asyncio.sleep(0.01)
        assert metrics.GATE_FALLBACK._value.get() == 0
        async with asyncio.timeout(10):
            await one.acquire(max_wait_s=10)
    await wire.cut()
