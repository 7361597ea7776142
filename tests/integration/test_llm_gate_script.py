"""The script on a real Valkey against its oracle, the pure `Limiter`: same operations, same times, same answers."""

import asyncio
import random
import struct
from contextlib import aclosing
from dataclasses import asdict, replace
from typing import Any

import pytest
import redis.asyncio
from headrace_llm.adapters.redis_gate import FIELDS, RedisLimits, connect, key
from headrace_llm.gate.limiter import Limiter
from headrace_llm.gate.pace import Quota
from headrace_llm.gate.turns import CLASSES, MAX_IDLE, Waiter, order
from headrace_llm.ports import Told

START_US = 1_790_000_000_000_000
WEIGHTS = {"ann": 1.0, "bob": 1.0, "school: 1|a": 2.5, "丁": 0.5}


class Both:
    """A limit in Redis and the same one in memory, at one time that the test sets."""

    def __init__(self, client: redis.asyncio.Redis, quota: Quota, *, most_waiting: int = 40) -> None:
        self.client = client
        self.quota = quota
        self.now_us = START_US
        self.shared = RedisLimits(client, "here", most_waiting=most_waiting, clock=lambda: self.now_us)
        self.limiter = Limiter(quota, most_waiting=most_waiting)
        self.dead: set[str] = set()
        self.number = 0
        self.granted: list[tuple[int, int, int]] = []

    def deliver(self, waiter: Waiter) -> bool:
        return waiter.id.split(":")[0] not in self.dead

    async def enter(self, *, process: str, rank: int, tenant: str, tokens: int, may_wait_us: int, unblocks: int) -> str:
        self.number += 1
        name, age_us = f"{process}:{self.number}", self.now_us - self.number % 7 * 1000
        place = order(age_us=age_us, unblocks=unblocks, number=self.number, id=name)
        waiter = Waiter(name, rank, tenant, WEIGHTS.get(tenant, 1.0), place, tokens, self.now_us + may_wait_us)
        asked = Waiter(name, rank, tenant, WEIGHTS.get(tenant, 1.0), "", tokens, may_wait_us)
        real = await self.shared.enter("s", self.quota, asked, age_us=age_us, unblocks=unblocks, number=self.number)
        assert real == self.limiter.enter(waiter, now_us=self.now_us, deliver=self.deliver)
        if real.granted:
            self.granted.append((self.now_us, rank, tokens))
        return name

    async def pump(self) -> None:
        assert await self.shared.pump("s", self.quota) == self.limiter.pump(now_us=self.now_us, deliver=self.deliver)

    async def give_back(self) -> None:
        granted_us, rank, tokens = self.granted.pop()
        rest = await self.shared.give_back("s", self.quota, rank=rank, tokens=tokens, granted_us=granted_us)
        assert rest == self.limiter.give_back(
            rank=rank, tokens=tokens, granted_us=granted_us, now_us=self.now_us, deliver=self.deliver
        )

    async def settle(self, *, reserved: int, used: int, seconds: float) -> None:
        granted_us = self.granted[-1][0] if self.granted else 1
        told = {"reserved": reserved, "used": used, "granted_us": granted_us}
        rest = await self.shared.settle("s", self.quota, seconds=seconds, **told)
        assert rest == self.limiter.settle(seconds=seconds, now_us=self.now_us, deliver=self.deliver, **told)

    async def compare(self) -> None:
        known, view = await self.shared.view("s", self.quota)
        assert asdict(view) == asdict(self.limiter.view(now_us=self.now_us))
        assert known == self.limiter.adaptive
        stored: Any = await self.client.get(key("s"))
        numbers = struct.unpack(f"<{len(FIELDS)}d", stored)
        fields = dict(zip(FIELDS, numbers, strict=True))
        assert fields["requests_us"] == self.limiter.requests_us
        assert fields["tokens_us"] == self.limiter.tokens.even_us
        kept: Any = await self.client.get(f"{key('s')}:l")
        ledger = struct.unpack(f"<{len(kept or b'') // 8}d", kept or b"")
        slices = [number for one in self.limiter.tokens.slices for number in one]
        assert list(ledger) == ([self.limiter.tokens.before_us, *slices] if kept else slices)
        for rank, line in enumerate(self.limiter.turns.lines):
            assert fields[f"credit{rank}"] == line.credit
            assert fields[f"now{rank}"] == line.now
            waiting: Any = await self.client.zrange(f"{key('s')}:t{rank}", 0, -1, withscores=True)
            assert {name.decode(): at for name, at in waiting} == {name: line.times[name] for name in line.waiting}
        queue: list[Any] = await self.client.hkeys(f"{key('s')}:w")
        names = ["here:0", *(one.id for one in self.limiter.turns)]
        standings = await self.shared.standings("s", self.quota, names)
        assert standings == [self.limiter.standing(one, now_us=self.now_us) for one in names]
        assert {name.decode() for name in queue} == {one.id for one in self.limiter.turns}


@pytest.mark.parametrize("seed", range(8))
async def test_the_script_does_what_the_limiter_does(redis_url: str, seed: int) -> None:
    chance = random.Random(seed)
    quota = Quota(
        rpm=chance.choice([0, 30, 100, 600, 6000]), tpm=chance.choice([0, 0, 1e5, 7e6]), burst=chance.choice([1, 2, 5]),
        probe=chance.random() < 0.5,
    )  # fmt: skip
    async with aclosing(connect(redis_url, timeout_s=2, connections=4)) as client:
        both = Both(client, quota)
        heard: list[Told] = []
        live = RedisLimits(client, "live", most_waiting=1)
        async with live.listen(heard.append):
            both.dead = {"dead"}
            names = ["live:0"]
            for _ in range(250):
                both.now_us += int(chance.expovariate(1) * chance.choice([100, 10_000, 400_000, 5_000_000]))
                both.now_us -= chance.choice([0] * 40 + [30_000, 3_000_000, 200_000_000])
                match chance.choice(
                    ["enter"] * 7 + ["pump"] * 5 + ["leave", "give_back", "settle", "refused", "again", "late", "resize"]
                ):
                    case "enter" | "again":
                        name = await both.enter(
                            process=chance.choice(["live", "live", "live", "dead"]), rank=chance.randrange(CLASSES),
                            tenant=chance.choice(list(WEIGHTS)), tokens=chance.randrange(3000),
                            may_wait_us=chance.choice([0, 10**5, 10**7, 10**9]), unblocks=chance.randrange(4),
                        )  # fmt: skip
                        names.append(name)
                    case "pump":
                        await both.pump()
                    case "leave":
                        name = chance.choice(names)
                        assert await both.shared.leave("s", quota, name) == both.limiter.turns.leave(name)
                    case "give_back" if both.granted:
                        await both.give_back()
                    case "settle":
                        reserved, used, seconds = chance.randrange(3000), chance.randrange(3000), chance.random() * 9
                        await both.settle(reserved=reserved, used=used, seconds=seconds)
                    case "resize":
                        name, tokens = chance.choice(names), chance.randrange(3000)
                        await both.shared.resize("s", quota, name, tokens=tokens)
                        both.limiter.turns.resize(name, tokens)
                    case "late":
                        by_us = chance.randrange(10**6)
                        await both.shared.postpone("s", quota, by_us=by_us)
                        both.limiter.postpone(by_us)
                    case "refused":
                        granted, pause = both.now_us - chance.randrange(10**6), chance.choice([10**5, 2 * 10**6])
                        asked = chance.random() < 0.5
                        await both.shared.refused("s", quota, granted_us=granted, pause_us=pause, asked=asked)
                        both.limiter.refused(granted_us=granted, pause_us=pause, asked=asked, now_us=both.now_us)
                await both.compare()
        assert both.number > 50


async def test_who_was_granted_hears_of_it_and_a_dead_process_costs_nothing(redis_url: str) -> None:
    async with aclosing(connect(redis_url, timeout_s=2, connections=4)) as client:
        both = Both(client, Quota(rpm=60))
        heard: list[Told] = []
        async with RedisLimits(client, "live", most_waiting=1).listen(heard.append):
            both.dead = {"dead"}
            for process in ("live", "dead", "dead", "live"):
                await both.enter(process=process, rank=0, tenant="ann", tokens=7, may_wait_us=10**9, unblocks=0)
            both.now_us += 1_100_000
            await both.pump()
            while not heard:
                await client.ping()
            await both.compare()
        assert heard == [Told("s", "live:4", 0, 7, both.now_us)]


async def test_a_queue_that_lost_its_keys_is_asked_for_anew(redis_url: str) -> None:
    async with aclosing(connect(redis_url, timeout_s=2, connections=4)) as client:
        both = Both(client, Quota(rpm=6))
        names = [
            await both.enter(process="live", rank=0, tenant="ann", tokens=0, may_wait_us=10**9, unblocks=0)
            for _ in range(3)
        ]
        assert await both.shared.missing("s", both.quota, names) == names[:1]
        await client.delete(f"{key('s')}:w")
        both.now_us += 60_000_000
        assert await both.shared.pump("s", both.quota) == -1
        assert await both.shared.missing("s", both.quota, names) == names


async def test_places_among_very_many_tenants_are_a_bound(redis_url: str) -> None:
    async with aclosing(connect(redis_url, timeout_s=2, connections=4)) as client:
        both = Both(client, Quota(rpm=6), most_waiting=1000)
        for number in range(140):
            tenant = f"t{number % 70}"
            await both.enter(process="live", rank=0, tenant=tenant, tokens=0, may_wait_us=10**10, unblocks=0)
        await both.compare()


async def test_a_queue_that_outlived_the_limits_numbers_is_forgotten(redis_url: str) -> None:
    async with aclosing(connect(redis_url, timeout_s=2, connections=4)) as client:
        both = Both(client, Quota(rpm=6))
        names = [
            await both.enter(process="live", rank=0, tenant="ann", tokens=0, may_wait_us=10**9, unblocks=0)
            for _ in range(3)
        ]
        await client.delete(key("s"))
        assert await both.shared.pump("s", both.quota) == -1
        assert await both.shared.missing("s", both.quota, names) == names


async def test_numbers_of_an_older_version_are_understood(redis_url: str) -> None:
    async with aclosing(connect(redis_url, timeout_s=2, connections=4)) as client:
        both = Both(client, Quota(rpm=600))
        await both.enter(process="live", rank=0, tenant="ann", tokens=0, may_wait_us=10**9, unblocks=0)
        stored: Any = await client.get(key("s"))
        await client.set(key("s"), stored[: -2 * 8])
        both.limiter.adaptive = replace(both.limiter.adaptive, started_at=0, held=0)
        both.now_us += 5_000_000
        await both.enter(process="live", rank=0, tenant="ann", tokens=0, may_wait_us=10**9, unblocks=0)
        await both.compare()


async def test_what_is_kept_of_tenants_that_do_not_wait_is_bounded(redis_url: str) -> None:
    async with aclosing(connect(redis_url, timeout_s=2, connections=4)) as client:
        both, heard = Both(client, Quota(rpm=6000)), list[Told]()
        async with RedisLimits(client, "live", most_waiting=1).listen(heard.append):
            for number in range(MAX_IDLE + 50):
                await both.enter(process="live", rank=0, tenant=f"tenant {number}", tokens=0, may_wait_us=10**9, unblocks=0)
                if number >= 20:
                    both.now_us += 10_100
                    await both.pump()
            await both.compare()
        assert await client.hlen(f"{key('s')}:m0") == await client.zcard(f"{key('s')}:t0") < 40
        assert await client.zcard(f"{key('s')}:v0") == MAX_IDLE
        line = both.limiter.turns.lines[0]
        idle: Any = await client.zrange(f"{key('s')}:v0", 0, -1, withscores=True)
        assert {name.decode(): at for name, at in idle} == line.idle


async def test_a_message_that_is_no_grant_is_passed_over(redis_url: str) -> None:
    async with aclosing(connect(redis_url, timeout_s=2, connections=4)) as client:
        heard: list[Told] = []
        async with RedisLimits(client, "live", most_waiting=1).listen(heard.append) as hearing:
            for message in ("", "\xff", "a\nb\nc\nd\ne", f"{key('s: 1')}\nlive:1\n0\n7\n1"):
                await client.publish("headrace:gate:@live", message)
            while not heard:
                await client.ping()
            assert not asyncio.ensure_future(hearing).done()
        assert heard == [Told("s: 1", "live:1", 0, 7, 1)]


async def test_a_huge_estimate_is_told_as_it_is(redis_url: str) -> None:
    async with aclosing(connect(redis_url, timeout_s=2, connections=4)) as client:
        both = Both(client, Quota(rpm=60))
        heard: list[Told] = []
        async with RedisLimits(client, "live", most_waiting=1).listen(heard.append):
            for tokens in (0, 10**15 + 1):
                await both.enter(process="live", rank=0, tenant="ann", tokens=tokens, may_wait_us=10**9, unblocks=0)
            both.now_us += 1_100_000
            await both.pump()
            while not heard:
                await client.ping()
        assert heard[0].tokens == 10**15 + 1


async def test_only_the_first_to_come_back_stops_the_others(redis_url: str) -> None:
    async with aclosing(connect(redis_url, timeout_s=2, connections=4)) as client:
        both = Both(client, Quota(rpm=600))
        await both.shared.rejoin("s", both.quota, pause_us=2_000_000)
        both.now_us += 1_000_000
        await both.shared.rejoin("s", both.quota, pause_us=2_000_000)
        _, view = await both.shared.view("s", both.quota)
        assert view.cooling_us == 1_000_000
