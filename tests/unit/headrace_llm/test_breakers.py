"""A model that keeps failing is left alone, and its repetitions end with their budget."""

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest
from headrace_llm import metrics
from headrace_llm.errors import (
    BreakerOpen,
    CallTimeout,
    ProviderAuth,
    ProviderUnavailable,
    Throttled,
)

from tests.unit.headrace_llm.chain import AWAY, BREAKER, World, counted
from tests.unit.headrace_llm.fakes import FakeGate, Step, answer, ask


async def test_a_model_that_keeps_failing_is_left_alone_and_the_fallback_asked_at_once() -> None:
    scripts: list[list[Step]] = [[ProviderAuth("key")], [answer()]] * 2
    world = World(*scripts, [answer()], breaker=BREAKER)
    for _ in range(2):
        await world.models.complete(ask(model="a"))
    assert world.open_breakers == {"a"}
    before = counted("a", "b", "breaker")
    assert (await world.models.complete(ask(model="a"))).model == "b"
    assert world.called == ["a", "b", "a", "b", "b"]
    assert counted("a", "b", "breaker") == before + 1


async def test_without_a_fallback_an_open_breaker_answers_at_once_and_says_when() -> None:
    world = World([AWAY], [AWAY], breaker=BREAKER, unavailable_attempts=1)
    with pytest.raises(ProviderUnavailable):
        await world.models.complete(ask(model="lone"))
    with pytest.raises(BreakerOpen, match="the last failure: away") as caught:
        await world.models.complete(ask(model="lone"))
    assert 0 < (caught.value.retry_after_s or 0) <= 10
    assert world.called == ["lone"] * 2
    assert [asked for asked, _ in world.gate.asked] == ["lone"] * 2


async def test_a_call_whose_own_failures_open_the_breaker_is_not_repeated_any_more() -> None:
    world = World([AWAY], [AWAY], [answer()], breaker=BREAKER, unavailable_attempts=5)
    with pytest.raises(ProviderUnavailable) as caught:
        await world.models.complete(ask(model="lone"))
    assert caught.value is AWAY
    assert world.called == ["lone"] * 2


async def test_a_probe_closes_the_breaker() -> None:
    world = World([AWAY], [AWAY], ["x", 60.0], [answer()], breaker=BREAKER, unavailable_attempts=1)
    with pytest.raises(ProviderUnavailable):
        await world.models.complete(ask(model="lone"))
    world.now += 11
    stream = cast("AsyncGenerator[object, None]", world.models.stream(ask(model="lone")))
    assert await anext(stream) == "x"
    assert world.open_breakers == set()
    assert (await world.models.complete(ask(model="lone"))).text == "fine"
    await stream.aclose()


async def test_a_cancelled_probe_leaves_the_place_to_the_next() -> None:
    world = World([AWAY], [AWAY], [60.0], [answer()], breaker=BREAKER, unavailable_attempts=1)
    with pytest.raises(ProviderUnavailable):
        await world.models.complete(ask(model="lone"))
    world.now += 11
    probe = asyncio.create_task(world.models.complete(ask(model="lone")))
    while not world.provider.open:
        await asyncio.sleep(0)
    with pytest.raises(BreakerOpen):
        await world.models.complete(ask(model="lone"))
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert (await world.models.complete(ask(model="lone"))).text == "fine"


async def test_who_waited_at_the_gate_while_the_breaker_opened_gives_the_grant_back() -> None:
    gate = FakeGate()
    world = World(*[[AWAY]] * 2, *[[answer()]] * 5, gate=gate, breaker=BREAKER, unavailable_attempts=0)
    calls = [world.models.complete(ask(model="a")) for _ in range(5)]
    results = await asyncio.gather(*calls)
    assert {done.model for done in results} == {"b"}
    assert len(gate.settled) + gate.given_back == gate.granted
    assert world.called.count("a") == 2


async def test_throttling_never_opens_a_breaker() -> None:
    scripts: list[list[Step]] = [[Throttled("slow", retry_after_s=0.1)] for _ in range(10)]
    world = World(*scripts, [answer()], breaker=BREAKER)
    await world.models.complete(ask(model="lone", deadline_s=60))
    assert world.open_breakers == set()


async def test_a_call_without_a_fair_time_says_nothing_of_the_model() -> None:
    world = World(breaker=BREAKER, fair_s=10)
    for seconds, opened in [(5, set()), (5, set()), (11, set()), (11, {"lone"})]:
        world.after(seconds, CallTimeout("late"))
        with pytest.raises(CallTimeout):
            await world.models.complete(ask(model="lone", deadline_s=seconds))
        assert world.open_breakers == opened


async def test_a_call_that_is_slow_as_usual_says_nothing_of_the_model() -> None:
    world = World(breaker=BREAKER, fair_s=1)
    world.after(10, answer())
    await world.models.complete(ask(model="lone", deadline_s=60))
    for seconds, opened in [(25, set()), (25, set()), (35, set()), (35, {"lone"})]:
        world.after(seconds, CallTimeout("late"))
        with pytest.raises(CallTimeout):
            await world.models.complete(ask(model="lone", deadline_s=seconds))
        assert world.open_breakers == opened


async def test_a_stream_that_flows_until_the_deadline_says_nothing_of_the_model() -> None:
    world = World(breaker=BREAKER, fair_s=1)
    for _ in range(3):
        world.provider.scripts.append(["x", lambda: world.pass_time(60), CallTimeout("late")])
        with pytest.raises(CallTimeout):
            await world.read(ask(model="lone", deadline_s=50))
    assert world.open_breakers == set()


async def test_signals_say_which_breaker_is_open() -> None:
    world = World([AWAY], [AWAY], breaker=BREAKER, unavailable_attempts=1)
    world.gate.models = ["lone", "a"]
    with pytest.raises(ProviderUnavailable):
        await world.models.complete(ask(model="lone"))
    assert {one.model: one.breaker_open for one in world.models.signals()} == {"lone": True, "a": False}


async def test_repetitions_end_with_their_budget() -> None:
    before = float(metrics.RETRY_BUDGET_REFUSED.labels("lone")._value.get())
    world = World(*[[AWAY]] * 4, retry_floor=1, retry_ratio=0.0)
    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            await world.models.complete(ask(model="lone"))
    assert len(world.called) == 2 + 1
    assert float(metrics.RETRY_BUDGET_REFUSED.labels("lone")._value.get()) == before + 2
