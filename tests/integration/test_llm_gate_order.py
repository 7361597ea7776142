"""Three processes, one order: whoever waits where, calls go as the pure `Turns` says."""

import asyncio
import struct
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import pytest
import redis.asyncio
from headrace_llm.adapters.redis_gate import FIELDS, RedisLimits, connect, key
from headrace_llm.client import Priority
from headrace_llm.gate.pace import Quota, interval_us
from headrace_llm.gate.paced import PacedGate, quota_of
from headrace_llm.gate.turns import Turns, Waiter, order
from headrace_llm.ports import Ask, Grant
from headrace_llm.registry import Limits, ModelEntry, Registry, TenantEntry

ENTRY = ModelEntry(id="m", model="openai/m", limits=Limits(rpm=2400))
"""So fast that the test is short, so slow that no two calls go in the same microsecond."""
WEIGHTS = {"ann": 1.0, "bob": 3.0, "cy|d\n": 0.5}
HOUR_S = 3600
CALLS = 36


class Room:
    """Three gates on one Redis, which let nobody through before they are opened."""

    def __init__(self, client: redis.asyncio.Redis, gates: dict[str, PacedGate]) -> None:
        self.client = client
        self.gates = gates
        self.turns = Turns()
        self.numbers = dict.fromkeys(gates, 0)
        self.calls: dict[str, asyncio.Task[Grant]] = {}

    async def queue(self, process: str, *, age_us: int, unblocks: int, rank: int, tenant: str) -> str:
        """Let a call come, and wait until it stands in the queue."""
        self.numbers[process] += 1
        name = f"{process}:{self.numbers[process]}"
        asked = Ask(0, Priority(rank + 1), tenant, 2 * HOUR_S, age_us / 1e6, unblocks)
        self.calls[name] = asyncio.create_task(self.gates[process].acquire(ENTRY, asked))
        place = order(age_us=age_us, unblocks=unblocks, number=self.numbers[process], id=name)
        self.turns.join(Waiter(name, rank, tenant, WEIGHTS[tenant], place, 0, 0))
        await self.stand(len(self.turns))
        return name

    async def leave(self, name: str) -> None:
        """Let a call be cancelled, and wait until it has left."""
        self.calls.pop(name).cancel()
        self.turns.leave(name)
        await self.stand(len(self.turns))

    async def stand(self, count: int) -> None:
        async with asyncio.timeout(10):
            while await self.client.hlen(f"{key(ENTRY.scope)}:w") != count:
                await asyncio.sleep(0)

    async def open(self) -> None:
        """End the pause that holds everybody."""
        stored: Any = await self.client.get(key(ENTRY.scope))
        numbers = dict(zip(FIELDS, struct.unpack(f"<{len(FIELDS)}d", stored), strict=True)) | {"cool_us": 0.0}
        await self.client.set(key(ENTRY.scope), struct.pack(f"<{len(FIELDS)}d", *numbers.values()))

    def expected(self, quota: Quota) -> list[str]:
        names = []
        while self.turns:
            one = self.turns.first()
            self.turns.granted(one, interval_us(quota, 1.0))
            names.append(one.id)
        return names


@pytest.mark.parametrize("seed", range(4))
async def test_the_same_order_holds_across_processes(redis_url: str, seed: int) -> None:
    chance, quota = Random(seed), quota_of(ENTRY)
    tenants = {name: TenantEntry(weight=weight) for name, weight in WEIGHTS.items()}
    async with AsyncExitStack() as stack:
        gates = {}
        for name in ("one", "two", "three"):
            client = connect(redis_url, timeout_s=2, connections=8)
            stack.push_async_callback(client.aclose)
            shared = RedisLimits(client, name, most_waiting=1000)
            gates[name] = PacedGate(Registry.of([ENTRY], tenants=tenants), shared, process=name, max_waiting=100)
            await gates[name].start()
            stack.push_async_callback(gates[name].close)
        await shared.rejoin(ENTRY.scope, quota, pause_us=HOUR_S * 10**6)
        room = Room(client, gates)
        for _ in range(CALLS):
            name = await room.queue(
                chance.choice(list(gates)), age_us=chance.choice([1, 2, 3]) * 10**15, unblocks=chance.randrange(3),
                rank=chance.randrange(3), tenant=chance.choice(list(WEIGHTS)),
            )  # fmt: skip
            if chance.random() < 0.1:
                await room.leave(name)
        expected = room.expected(quota)
        await room.open()
        async with asyncio.timeout(30):
            grants = dict(zip(room.calls, await asyncio.gather(*room.calls.values()), strict=True))
        assert sorted(grants, key=lambda one: grants[one].granted_us) == expected
