import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from headrace_llm import metrics
from headrace_llm.cache.cached_models import CachedModels, Room
from headrace_llm.cache.single_flight import Bounds
from headrace_llm.client import ChatRequest, Completion
from headrace_llm.errors import UnknownModel

from tests.unit.headrace_llm.cache.fakes import COST, FakeShared, Stage, ask, done, idle


@dataclass
class World:
    """A cache in front of a model that answers as told."""

    stage: Stage = field(default_factory=Stage)
    shared: FakeShared = field(default_factory=FakeShared)
    room: Room = field(default_factory=Room)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.models = CachedModels(self.stage, self.shared, self.room, Bounds(), clock=lambda: self.now)

    async def complete(self, request: ChatRequest, answer: Completion | None = None) -> Completion:
        task = asyncio.create_task(self.models.complete(request))
        await idle()
        for call in self.stage.open:
            call.say(answer or done())
        return await task


def counted(outcome: str) -> float:
    return metrics.CACHE.labels("m", outcome)._value.get()


async def test_a_repetition_costs_no_call_and_no_look_at_redis() -> None:
    world = World()
    before = counted("hit_process")
    first = await world.complete(ask())
    again = await world.complete(ask())
    assert (first.text, again.text) == ("fine", "fine")
    assert first.usage.total == COST
    assert (again.usage.total.cached_calls, again.usage.total.prompt_tokens, again.usage.total.cost_usd) == (1, 0, 0.0)
    assert (len(world.stage.calls), world.shared.looks) == (1, 1)
    assert counted("hit_process") == before + 1


async def test_another_tenant_asks_anew() -> None:
    world = World()
    await world.complete(ask(), done("mine"))
    assert (await world.complete(ask(tenant="other"), done("theirs"))).text == "theirs"
    assert (await world.complete(ask())).text == "mine"


async def test_a_kept_text_is_streamed_in_pieces() -> None:
    world = World()
    text = "the quick brown fox " * 50
    await world.complete(ask(), done(text))
    *pieces, end = [item async for item in world.models.stream(ask())]
    assert isinstance(end, Completion)
    assert 1 < len(pieces) <= 4
    assert "".join(map(str, pieces)) == end.text == text


async def test_what_was_streamed_answers_who_wants_it_whole() -> None:
    world = World()
    stream = world.models.stream(ask())
    first = asyncio.ensure_future(anext(stream))
    await idle()
    world.stage.calls[0].say("fi", "ne", done())
    assert [await first, *[item async for item in stream]] == ["fi", "ne", done()]
    assert (await world.complete(ask())).usage.total.cached_calls == 1


@pytest.mark.parametrize("changes", [{"temperature": 0.5}, {"tools": ({},)}, {"cache": False}, {"options": {"n": 2}}])
async def test_what_may_not_be_cached_goes_straight_to_the_model(changes: dict[str, Any]) -> None:
    world = World()
    before = counted("bypass")
    for _ in range(2):
        assert (await world.complete(ask(**changes))).usage.total == COST
    assert world.models.stream(ask(**changes)).__class__ is world.stage.stream(ask()).__class__
    assert (len(world.stage.calls), world.shared.looks) == (2, 0)
    assert counted("bypass") == before + 3


async def test_an_answer_is_kept_for_its_time_and_no_longer_than_redis_keeps_it() -> None:
    world = World(room=Room(ttl_s=100))
    await world.complete(ask())
    world.now += 99
    assert (await world.complete(ask())).usage.total.cached_calls == 1
    assert world.shared.looks == 1
    world.shared.ttl_s = 30
    world.now += 2
    await world.complete(ask())
    assert world.shared.looks == 2
    world.now += 31
    await world.complete(ask())
    assert world.shared.looks == 3
    assert len(world.stage.calls) == 1


async def test_the_memory_of_the_process_is_bounded() -> None:
    world = World(room=Room(bytes=10_000))
    for number in range(20):
        await world.complete(ask(str(number)), done("x" * 3000))
    assert metrics.CACHE_BYTES._value is not None
    assert world.models._lru.bytes <= 10_000
    assert len(world.models._lru) == 2


async def test_the_ratio_of_the_last_minute_is_told_with_the_gates_signals() -> None:
    world = World()
    for _ in range(4):
        await world.complete(ask())
    (signals,) = world.models.signals()
    assert (signals.cached_ratio, signals.granted_rpm) == (0.75, 7)
    world.now += 61
    assert world.models.signals()[0].cached_ratio == 0.0


async def test_what_is_wrong_with_a_request_the_model_says() -> None:
    world = World()
    task = asyncio.create_task(world.models.complete(ask(model="none")))
    await idle()
    world.stage.calls[0].say(UnknownModel("no model"))
    with pytest.raises(UnknownModel):
        await task


async def test_an_error_is_not_kept() -> None:
    world = World()
    task = asyncio.create_task(world.models.complete(ask()))
    await idle()
    world.stage.calls[0].say(RuntimeError("a bug"))
    with pytest.raises(RuntimeError):
        await task
    assert (await world.complete(ask())).usage.total == COST
