"""Plans that replicas keep for each other in a real Redis, and what happens while it is away."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
import redis.asyncio
from headrace_cli.embedded import program
from headrace_planner.adapters import redis_plans
from headrace_planner.adapters.redis_plans import RedisPlans
from headrace_planner.model import Origin, Plan
from headrace_planner.reuse import Kept, Reuse, Room

DEADLINE_S = 5.0
"""Generous, so that a busy machine is not taken for a Redis that is away."""


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with aclosing(redis_plans.connect(redis_url, timeout_s=DEADLINE_S)) as connected:
        yield connected


def plans(client: redis.asyncio.Redis, **fields: float) -> RedisPlans:
    limits = {"ttl_s": 60.0, "timeout_s": DEADLINE_S} | fields
    return RedisPlans(
        client, ttl_s=limits["ttl_s"], timeout_s=limits["timeout_s"], max_plans=int(limits.get("max_plans", 100))
    )


async def test_a_plan_of_one_replica_is_found_by_another(client: redis.asyncio.Redis) -> None:
    plan = Plan({"name": "x", "nodes": ["ü"]}, Origin.MODEL, ("w",))
    await Reuse(plans(client), Room()).keep("k", plan)
    assert await Reuse(plans(client), Room()).find("k") == Kept({"name": "x", "nodes": ["ü"]}, ("w",))
    assert await Reuse(plans(client), Room()).find("other") is None


async def test_every_key_ends_by_itself(client: redis.asyncio.Redis) -> None:
    await plans(client, ttl_s=60).put("k", b"value")
    keys = [key async for key in client.scan_iter("*")]
    assert len(keys) == 2
    assert all([0 < await client.pttl(key) <= 60_000 for key in keys])


async def test_beyond_the_room_the_oldest_goes(client: redis.asyncio.Redis) -> None:
    kept = plans(client, max_plans=3)
    for at in range(6):
        await kept.put(f"k{at}", b"%d" % at)
    found = [at for at in range(6) if await kept.get(f"k{at}") is not None]
    assert len(found) == 3
    assert len([key async for key in client.scan_iter("*")]) == 4
    await kept.put("k9", b"new")
    assert await kept.get("k9") == b"new"


async def test_while_redis_is_away_nothing_is_kept_and_it_is_left_alone() -> None:
    now = 0.0
    nowhere = f"redis://127.0.0.1:{program.free_port()}/0"
    async with aclosing(Counting(connection_pool=redis_plans.connect(nowhere).connection_pool)) as client:
        kept = RedisPlans(client, ttl_s=60, timeout_s=DEADLINE_S, clock=lambda: now)
        assert await kept.get("k") is None
        assert await kept.get("k") is None
        await kept.put("k", b"value")
        assert client.asked == 1
        now = redis_plans.RETRY_S + 0.1
        assert await kept.get("k") is None
        assert client.asked == 2


class Counting(redis.asyncio.Redis):
    """Counts what it is asked."""

    asked = 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """See redis-py."""
        self.asked += 1
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
