import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest
from headrace_llm import metrics
from headrace_llm.client import ChatRequest, Completion, Restarted
from headrace_llm.errors import (
    CallTimeout,
    GateRefused,
    InvalidAnswer,
    ModelSilent,
    ProviderAuth,
    ProviderRejected,
    ProviderUnavailable,
    Throttled,
    UnknownModel,
)
from headrace_llm.job import Rules
from headrace_llm.service import Models
from headrace_runtime.errors import InvalidArgument

from tests.unit.headrace_llm.fakes import REGISTRY, FakeGate, FakeProvider, Step, answer, ask

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


class World:
    def __init__(self, *scripts: list[Step], rules: Rules | None = None, gate: FakeGate | None = None) -> None:
        self.provider = FakeProvider()
        self.provider.scripts.extend(scripts)
        self.gate = gate or FakeGate()
        self.models = Models(REGISTRY, self.gate, self.provider, rules or Rules(), jitter=lambda: 0.0)

    async def read(self, request: ChatRequest) -> list[str | Restarted | Completion]:
        return [item async for item in self.models.stream(request)]


def outcomes(outcome: str) -> float:
    return float(metrics.CALLS.labels("m", outcome)._value.get())


async def test_an_answer_has_its_tokens_and_its_cost() -> None:
    world = World([answer("hi", prompt=100, completion=50)])
    done = await world.models.complete(ask())
    assert (done.text, done.model, done.finish_reason) == ("hi", "m", "stop")
    one = done.usage.models["m"]
    assert (one.llm_calls, one.prompt_tokens, one.completion_tokens) == (1, 100, 50)
    assert one.cost_usd == pytest.approx(200e-6)
    assert world.gate.settled == [150]


async def test_a_stream_gives_pieces_then_the_completion() -> None:
    world = World(["a", "b", answer("ab")])
    *pieces, end = await world.read(ask())
    assert pieces == ["a", "b"]
    assert isinstance(end, Completion)
    assert end.text == "ab"
    assert world.gate.settled == [15]


async def test_tokens_that_the_provider_does_not_count_are_estimated() -> None:
    done = await World([answer("four", prompt=None, completion=None)]).models.complete(ask("x" * 40))
    assert done.usage.total.prompt_tokens == 14
    assert done.usage.total.completion_tokens == 5


async def test_an_unavailable_provider_is_tried_three_times() -> None:
    away = ProviderUnavailable("away")
    world = World([away], [away], [answer()])
    assert (await world.models.complete(ask())).text == "fine"
    world = World([away], [away], [away], [answer()])
    with pytest.raises(ProviderUnavailable):
        await world.models.complete(ask())
    assert len(world.provider.calls) == len(world.gate.acquired) == 3


async def test_nothing_is_tried_anew_past_the_deadline() -> None:
    world = World([ProviderUnavailable("away")], [answer()])
    with pytest.raises(ProviderUnavailable):
        await world.models.complete(ask(deadline_s=0.1))
    assert len(world.provider.calls) == 1


async def test_a_stream_that_fails_before_its_first_token_is_tried_anew_unseen() -> None:
    world = World([ProviderUnavailable("away")], ["a", answer("a")])
    assert len(await world.read(ask())) == 2


async def test_a_stream_that_breaks_off_begins_anew_once() -> None:
    cut = ProviderUnavailable("cut")
    world = World(["a", cut], ["b", answer("b", prompt=10, completion=5)])
    first, void, second, end = await world.read(ask())
    assert (first, void, second) == ("a", Restarted("m"), "b")
    assert isinstance(end, Completion)
    one = end.usage.models["m"]
    assert (one.llm_calls, one.prompt_tokens, one.completion_tokens) == (2, 6 + 10, 1 + 5)
    assert world.gate.settled == [6 + 1, 15]
    world = World(["a", cut], ["b", cut], ["c", answer("c")])
    with pytest.raises(ProviderUnavailable):
        await world.read(ask())
    assert len(world.provider.calls) == 2


async def test_a_throttled_call_goes_back_through_the_gate() -> None:
    world = World([Throttled("slow", retry_after_s=0.5)], [Throttled("slow")], [answer()])
    await world.models.complete(ask())
    assert world.gate.pauses == [0.5, None]
    assert world.gate.settled == [0, 0, 15]


async def test_a_throttled_call_whose_pause_is_too_long_fails_with_it() -> None:
    world = World([Throttled("slow", retry_after_s=60)])
    with pytest.raises(Throttled) as caught:
        await world.models.complete(ask())
    assert caught.value.retry_after_s == 60
    assert world.gate.pauses == [60]


async def test_a_retry_after_is_believed_within_bounds() -> None:
    world = World([Throttled("slow", retry_after_s=1e9)])
    with pytest.raises(Throttled) as caught:
        await world.models.complete(ask())
    assert caught.value.retry_after_s == Rules().max_cool_down_s
    world = World([Throttled("slow", retry_after_s=0)], [answer()])
    await world.models.complete(ask())
    assert world.gate.pauses == [0.1]


async def test_throttling_for_ever_ends() -> None:
    slow = Throttled("slow", retry_after_s=0.1)
    scripts: list[list[Step]] = [[slow] for _ in range(20)]
    world = World(*scripts, rules=Rules(throttled_attempts=3))
    with pytest.raises(Throttled):
        await world.models.complete(ask())
    assert len(world.provider.calls) == 4


@pytest.mark.parametrize("error", [ProviderAuth("key"), ProviderRejected("bad"), CallTimeout("late")])
async def test_what_would_fail_again_is_not_tried_again(error: Exception) -> None:
    world = World([error], [answer()])
    with pytest.raises(type(error)):
        await world.models.complete(ask())
    assert len(world.provider.calls) == 1
    assert len(world.gate.settled) == 1


async def test_a_refusal_of_the_gate_reaches_no_provider() -> None:
    before = outcomes("quota_wait_too_long")
    world = World(gate=FakeGate(refusal=GateRefused("later", retry_after_s=9)))
    with pytest.raises(GateRefused) as caught:
        await world.read(ask())
    assert caught.value.retry_after_s == 9
    assert world.provider.calls == []
    assert outcomes("quota_wait_too_long") == before + 1


async def test_a_silent_provider_meets_the_deadline() -> None:
    world = World([60.0])
    with pytest.raises(CallTimeout):
        await world.models.complete(ask(deadline_s=0.05))
    world = World(["a", 60.0])
    with pytest.raises(CallTimeout):
        await world.read(ask(deadline_s=0.05))
    assert world.provider.open == 0


async def test_a_stream_that_falls_silent_has_broken_off() -> None:
    world = World(["a", 60.0], ["a", 60.0], rules=Rules(silence_s=0.05))
    with pytest.raises(ModelSilent):
        await world.read(ask())
    assert world.provider.open == 0


async def test_a_silent_start_is_tried_anew() -> None:
    world = World([60.0], ["a", answer("a")], rules=Rules(first_token_s=0.05))
    assert len(await world.read(ask())) == 2
    world = World([60.0], [60.0], rules=Rules(first_token_s=0.05))
    with pytest.raises(ModelSilent):
        await world.read(ask())
    assert world.provider.open == 0


async def test_a_stream_without_an_end_has_broken_off() -> None:
    with pytest.raises(ProviderUnavailable, match="without an end"):
        await World(["a"], ["a"]).read(ask())


async def test_a_reader_who_leaves_closes_the_call_and_pays_what_came() -> None:
    before = outcomes("cancelled")
    world = World(["a", "b", 60.0])
    stream = cast("AsyncGenerator[str | Completion, None]", world.models.stream(ask()))
    assert await anext(stream) == "a"
    await stream.aclose()
    assert world.provider.open == 0
    assert world.gate.settled == [6 + 1]
    assert outcomes("cancelled") == before + 1


async def test_a_cancelled_call_closes_the_provider() -> None:
    world = World([60.0])
    task = asyncio.create_task(world.models.complete(ask()))
    while not world.provider.open:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.provider.open == 0
    assert world.gate.settled == [None]


async def test_an_answer_in_a_fence_satisfies_its_schema() -> None:
    world = World([answer('```json\n{"n": 1}\n```')])
    assert (await world.models.complete(ask(schema=SCHEMA))).text == '{"n": 1}'
    assert world.provider.calls[0].schema == SCHEMA


@pytest.mark.parametrize(
    ("text", "fault"),
    [('{"n": "x"}', "/n: 'x' is not of type 'integer'"), ("{}", ": 'n' is a required property"), ("no", ": not JSON")],
)
async def test_an_answer_that_breaks_its_schema_says_where_and_what_it_cost(text: str, fault: str) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        await World([answer(text)]).models.complete(ask(schema=SCHEMA))
    assert caught.value.faults[0].startswith(fault)
    assert caught.value.text == text
    assert caught.value.usage.total.prompt_tokens == 10


@pytest.mark.parametrize("schema", [{"type": 7}, {"$ref": "http://127.0.0.1:9/x"}, {"$ref": "#/nowhere"}])
async def test_a_schema_that_is_none_or_refers_elsewhere_is_refused(schema: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        await World([answer("1")]).models.complete(ask(schema=schema))


async def test_bad_requests_reach_no_provider() -> None:
    world = World()
    with pytest.raises(UnknownModel):
        await world.models.complete(ask(model="nobody"))
    with pytest.raises(InvalidArgument):
        await world.models.complete(ChatRequest((), "t", 5))
    with pytest.raises(InvalidArgument):
        await world.models.complete(ask("\ud800"))
    with pytest.raises(ProviderRejected, match="which reads 1000"):
        await world.read(ask("x" * 10_000))
    with pytest.raises(CallTimeout):
        await world.models.complete(ask(deadline_s=0))
    assert world.gate.acquired == []


async def test_the_gate_is_not_asked_before_a_call_could_leave() -> None:
    world = World([answer()])
    world.provider.loaded = asyncio.Event()
    asking = asyncio.create_task(world.models.complete(ask()))
    for _ in range(10):
        await asyncio.sleep(0)
    assert world.gate.acquired == []
    world.provider.loaded.set()
    await asking
    assert len(world.gate.acquired) == 1


async def test_whose_deadline_passes_before_a_call_could_leave_asks_no_gate() -> None:
    world = World([answer()])
    world.provider.loaded = asyncio.Event()
    with pytest.raises(CallTimeout):
        await world.models.complete(ask(deadline_s=0.01))
    assert world.gate.acquired == []


async def test_what_answers_use_is_learned() -> None:
    world = World([answer(completion=8)], [answer(completion=8)], [answer()])
    await world.models.complete(ask())
    await world.models.complete(ask())
    await world.models.complete(ask(max_tokens=3))
    assert [tokens for tokens, _ in world.gate.acquired] == [1000, 6 + 8, 6 + 3]
