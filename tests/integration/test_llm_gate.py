"""The gate on a real Valkey: gcra.lua against the policy, sharing, losing Redis."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import pytest
import redis.asyncio
from headrace_llm import metrics, policy
from headrace_llm.adapters.redis_gate import PREFIX, RedisPacer, SharedPacer, connect
from headrace_llm.client import Priority
from headrace_llm.errors import GateRefused
from headrace_llm.gate import PacedGate
from headrace_llm.policy import Bucket, Limit, Slot
from headrace_llm.ports import Ask
from headrace_llm.registry import Limits, ModelEntry, Registry

ENTRY = ModelEntry(id="m", model="openai/m", limits=Limits(rpm=1200))


@dataclass
class Process:
    """What one process has of the gate."""

    client: redis.asyncio.Redis
    pacer: SharedPacer
    gate: PacedGate

    async def acquire(self, *, deadline_s: float = 5.0) -> None:
        await self.gate.acquire(ENTRY, Ask(0, Priority.STANDARD, "t", deadline_s))


@asynccontextmanager
async def process(url: str, *, timeout_s: float = 0.5, retry_s: float = 0.2) -> AsyncIterator[Process]:
    async with aclosing(connect(url, timeout_s=timeout_s, connections=4)) as client:
        pacer = SharedPacer(RedisPacer(client), share=0.25, retry_s=retry_s)
        yield Process(client, pacer, PacedGate(Registry.of([ENTRY]), pacer, max_waiting=100))


@pytest.mark.parametrize("seed", range(6))
async def test_the_script_does_what_the_policy_says(redis_url: str, seed: int) -> None:
    chance = random.Random(seed)
    async with aclosing(connect(redis_url, timeout_s=2, connections=2)) as client:
        pacer, bucket, key = RedisPacer(client), Bucket(), PREFIX + "scope"
        limit = Limit.of(
            rpm=chance.choice([None, 600, 60_000]), tpm=chance.choice([None, 1e5, 7e6]), burst=chance.choice([1, 2, 5])
        )
        given: list[Slot] = []
        for _ in range(150):
            operation = chance.choice(["reserve"] * 6 + ["give_back", "adjust", "cool_down", "sleep"])
            if operation == "reserve":
                tokens, max_wait = chance.randrange(3000), chance.choice([0, 10**4, 10**6, 10**8])
                real = await pacer.reserve("scope", limit, tokens=tokens, max_wait_us=max_wait)
                bucket, ideal = policy.reserve(bucket, limit, tokens=tokens, now_us=real.now_us, max_wait_us=max_wait)
                assert real == ideal
                given += [real] * real.granted
            elif operation == "give_back" and given:
                slot = given.pop(chance.choice([-1, 0]))
                await pacer.give_back("scope", slot)
                bucket = policy.give_back(bucket, slot)
            elif operation == "adjust":
                tokens = chance.randrange(-500, 500)
                await pacer.adjust("scope", limit, Slot(True, 0, 0), tokens=tokens)
                bucket = policy.adjust(bucket, token_us=limit.tokens_us(tokens))
            elif operation == "cool_down":
                before = await client.time()
                await pacer.cool_down("scope", for_us=3000)
                now = before[0] * 10**6 + before[1]
                least = policy.cool_down(bucket, now_us=now, for_us=3000)
                cool = int(await client.hget(key, "cool") or 0)
                assert least.cool_us <= cool < least.cool_us + 10**6
                bucket = replace(bucket, cool_us=cool)
                assert 0 <= await pacer.cooling_us("scope") <= 3000
            else:
                await asyncio.sleep(chance.random() / 200)
            if await client.exists(key):
                fields = await client.hmget(key, "req", "tok", "slot", "cool", "turn")
                assert Bucket(*(int(field or 0) for field in fields)) == bucket
        assert given
        assert await client.pttl(key) > 0


async def test_processes_share_one_pace(redis_url: str) -> None:
    loop = asyncio.get_running_loop()
    async with process(redis_url) as one, process(redis_url) as two:
        started = loop.time()
        await asyncio.gather(*(each.acquire() for each in (one, two) for _ in range(5)))
        assert 0.44 <= loop.time() - started < 3


async def test_a_cool_down_holds_every_process(redis_url: str) -> None:
    async with process(redis_url) as one, process(redis_url) as two:
        grant = await one.gate.acquire(ENTRY, Ask(0, Priority.STANDARD, "t", 1))
        await one.gate.throttled(grant, retry_after_s=20)
        with pytest.raises(GateRefused) as caught:
            await two.acquire(deadline_s=5)
        assert caught.value.retry_after_s == pytest.approx(20, abs=2)


async def test_a_refused_call_takes_nothing(redis_url: str) -> None:
    async with process(redis_url) as one:
        await one.acquire()
        before = await one.client.hgetall(PREFIX + ENTRY.scope)
        for _ in range(50):
            with pytest.raises(GateRefused):
                await one.acquire(deadline_s=0)
        assert await one.client.hgetall(PREFIX + ENTRY.scope) == before


async def test_a_cancelled_waiter_gives_its_slot_back(redis_url: str) -> None:
    async with process(redis_url) as one:
        await one.acquire()
        before = await one.client.hgetall(PREFIX + ENTRY.scope)
        slow = ENTRY.model_copy(update={"limits": Limits(rpm=6)})
        gate = PacedGate(Registry.of([slow]), one.pacer, max_waiting=5)
        await gate.acquire(slow, Ask(0, Priority.STANDARD, "t", 5))
        kept = await one.client.hgetall(PREFIX + ENTRY.scope)
        assert kept != before
        waiter = asyncio.create_task(gate.acquire(slow, Ask(0, Priority.STANDARD, "t", 30)))
        while await one.client.hgetall(PREFIX + ENTRY.scope) == kept:
            await asyncio.sleep(0.01)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        await gate.close()
        after = await one.client.hgetall(PREFIX + ENTRY.scope)
        assert {name: after[name] for name in (b"req", b"slot", b"turn")} == {
            name: kept[name] for name in (b"req", b"slot", b"turn")
        }


async def test_an_emptied_redis_is_only_a_fresh_start(redis_url: str) -> None:
    async with process(redis_url) as one:
        await one.acquire()
        await one.client.flushall()
        await one.client.script_flush()
        await one.acquire()
        assert not one.pacer.falling_back
        assert await one.client.exists(PREFIX + ENTRY.scope)


async def test_a_cool_down_holds_without_redis_too() -> None:
    async with process("redis://127.0.0.1:9/0") as one:
        grant = await one.gate.acquire(ENTRY, Ask(0, Priority.STANDARD, "t", 1))
        await one.gate.throttled(grant, retry_after_s=20)
        with pytest.raises(GateRefused) as caught:
            await one.acquire(deadline_s=5)
        assert caught.value.retry_after_s == pytest.approx(20, abs=2)


class Wire:
    """A TCP connection to Redis that a test can break and mend."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.deaf = False
        self._port = 0

    async def mend(self) -> int:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self._port

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection(*self._target)
        self._open |= {writer, back_writer}
        try:
            await asyncio.gather(self._copy(reader, back_writer), self._copy(back_reader, writer))
        finally:
            self._open -= {writer, back_writer}
            back_writer.close()
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if not self.deaf:
                    writer.write(data)
        except ConnectionError:
            return
        finally:
            writer.close()


@pytest.mark.parametrize("how", ["cut", "deaf"])
async def test_without_redis_a_process_keeps_to_its_share_and_comes_back(redis_url: str, how: str) -> None:
    loop = asyncio.get_running_loop()
    wire = Wire(redis_url)
    parts = urlsplit(redis_url)
    url = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{await wire.mend()}")).geturl()
    async with process(url, timeout_s=0.2) as one:
        await one.acquire()
        assert metrics.GATE_FALLBACK._value.get() == 0
        if how == "cut":
            await wire.cut()
        wire.deaf = True
        started = loop.time()
        await asyncio.gather(*(one.acquire(deadline_s=10) for _ in range(4)))
        assert loop.time() - started >= 0.59  # a quarter of 20 a second: one each 200 ms
        assert metrics.GATE_FALLBACK._value.get() == 1
        wire.deaf = False
        if how == "cut":
            await wire.mend()
        async with asyncio.timeout(5):
            while one.pacer.falling_back:
                await one.acquire()
        assert metrics.GATE_FALLBACK._value.get() == 0
    await wire.cut()
