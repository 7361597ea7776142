"""Signals: asked for once for all, used for half a second, good for nothing when they are old."""

import asyncio
from types import SimpleNamespace
from typing import Any

from headrace_edge.quota.signals import CHAINS_S, REFRESH_S, Signals, Snapshot
from headrace_runtime import errors


class Executor:
    """`ports.Runs` and `ports.Catalog`, as far as signals need them."""

    def __init__(self) -> None:
        self.asked = 0
        self.listed = 0
        self.away = False
        self.now = 1000.0

    async def signals(self) -> Any:
        self.asked += 1
        if self.away:
            raise errors.Unavailable("away")
        return f"answer {self.asked}"

    async def models(self) -> Any:
        self.listed += 1
        return SimpleNamespace(models=[SimpleNamespace(id="big", fallbacks=["small"])])

    def feed(self) -> Signals:
        return Signals(self, self, timeout_s=10, stale_s=5, clock=lambda: self.now)  # type: ignore[arg-type]


def told(got: Snapshot | None) -> Any:
    assert got is not None
    return got.quota


async def test_everybody_who_asks_at_once_gets_one_answer() -> None:
    executor = Executor()
    feed = executor.feed()
    got = await asyncio.gather(*(feed.current() for _ in range(20)))
    assert {told(one) for one in got} == {"answer 1"}
    assert executor.asked == 1


async def test_an_answer_is_used_again_while_it_is_young() -> None:
    executor = Executor()
    feed = executor.feed()
    for _ in range(3):
        await feed.current()
    assert executor.asked == 1
    executor.now += REFRESH_S + 0.01
    got = await feed.current()
    assert told(got) == "answer 2"


async def test_while_nobody_answers_the_last_answer_holds_until_it_is_stale() -> None:
    executor = Executor()
    feed = executor.feed()
    await feed.current()
    executor.away = True
    executor.now += 4
    got = await feed.current()
    assert told(got) == "answer 1"
    executor.now += 2
    assert await feed.current() is None
    executor.away = False
    executor.now += REFRESH_S + 0.01
    assert await feed.current() is not None


async def test_an_executor_that_is_away_is_not_asked_by_every_request() -> None:
    executor = Executor()
    executor.away = True
    feed = executor.feed()
    for _ in range(50):
        assert await feed.current() is None
    assert executor.asked == 1


async def test_fallbacks_are_known_and_read_seldom() -> None:
    executor = Executor()
    feed = executor.feed()
    for _ in range(5):
        got = await feed.current()
        assert got is not None
        assert got.chains["big"] == ("big", "small")
        executor.now += 1
    assert executor.listed == 1
    executor.now += CHAINS_S
    await feed.current()
    assert executor.listed == 2


async def test_who_leaves_does_not_take_the_answer_from_the_others() -> None:
    executor = Executor()
    feed = executor.feed()
    first = asyncio.create_task(feed.current())
    second = asyncio.create_task(feed.current())
    await asyncio.sleep(0)
    first.cancel()
    got = await second
    assert told(got) == "answer 1"
