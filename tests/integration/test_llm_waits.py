"""Where runs' calls stand at the gate, told by one process and looked up by another, on a real Valkey."""

from contextlib import aclosing

import redis.asyncio
from headrace_llm.adapters.redis_gate import connect
from headrace_llm.adapters.redis_waits import KEPT_MS, MOST_NOTED, PREFIX, RedisWaits
from headrace_llm.client import Wait

from tests.support.outage import way_to


async def told(waits: RedisWaits, client: redis.asyncio.Redis, run_id: str) -> Wait | None:
    """What is known of a run once all that was noted is written."""
    while waits.writing:
        await client.ping()
    return await waits.of_run(run_id)


async def test_another_process_sees_the_next_of_a_runs_calls_for_a_moment(redis_url: str) -> None:
    async with aclosing(connect(redis_url, timeout_s=2, connections=2)) as client:
        one, other = RedisWaits(client), RedisWaits(client)
        for position in (3, 2, 5):
            one.note("r", Wait(position, 1.5 * position, 2.0))
        one.note("s", Wait(9, 20.0, 0.0))
        assert await told(one, client, "r") == Wait(2, 3.0, 2.0)
        assert await other.of_run("r") == Wait(2, 3.0, 2.0)
        assert await other.of_run("s") == Wait(9, 20.0, 0.0)
        assert await other.of_run("t") is None
        assert 0 < await client.pttl(PREFIX + "r") <= KEPT_MS
        await one.close()


async def test_no_more_runs_are_kept_than_may_be(redis_url: str) -> None:
    async with aclosing(connect(redis_url, timeout_s=2, connections=2)) as client:
        waits = RedisWaits(client)
        for number in range(MOST_NOTED + 10):
            waits.note(str(number), Wait(1, 1.0, 1.0))
        assert await told(waits, client, str(MOST_NOTED)) is None
        assert await waits.of_run(str(MOST_NOTED - 1)) == Wait(1, 1.0, 1.0)
        assert len([key async for key in client.scan_iter(PREFIX + "*")]) == MOST_NOTED
        await waits.close()


async def test_without_redis_nothing_is_known_and_nobody_fails(redis_url: str) -> None:
    async with way_to(redis_url) as (url, way), aclosing(connect(url, timeout_s=0.2, connections=2)) as client:
        waits = RedisWaits(client)
        await way.cut()
        waits.note("r", Wait(1, 1.0, 1.0))
        assert await waits.of_run("r") is None
        await waits.close()
