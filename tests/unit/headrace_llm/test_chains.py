"""A call through a chain of models: who is asked when one fails, makes it wait or is left alone."""

import asyncio

import pytest
from headrace_llm.client import Completion, Restarted, Wait
from headrace_llm.errors import (
    CallTimeout,
    ContentRefused,
    GateRefused,
    InvalidAnswer,
    ModelSilent,
    PromptTooLong,
    ProviderAuth,
    ProviderRejected,
    ProviderUnavailable,
    QuotaUsedUp,
    Throttled,
)
from headrace_llm.job import Rules
from headrace_llm.registry import Registry
from headrace_llm.service import Models
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.headrace_llm.chain import AWAY, BREAKER, ENTRIES, World, counted
from tests.unit.headrace_llm.fakes import FakeGate, Step, answer, ask


@pytest.mark.parametrize(
    ("error", "calls", "reason"),
    [
        (AWAY, ["a", "a", "a", "b"], "transient"),
        (ModelSilent("silent"), ["a", "b"], "hung"),
        (ProviderAuth("key"), ["a", "b"], "auth"),
        (QuotaUsedUp("empty"), ["a", "b"], "auth"),
        (ContentRefused("no"), ["a", "b"], "content"),
        (PromptTooLong("long"), ["a", "c"], "too_long"),
        (CallTimeout("slow"), ["a", "b"], "timeout"),
        (Throttled("slow", retry_after_s=1.5), ["a", "b"], "throttled"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_each_class_of_failure_goes_on_in_its_own_way(
    error: Exception, calls: list[str], reason: str, stream: bool
) -> None:
    world = World(*[[error]] * (len(calls) - 1), [answer("fine")])
    before = counted("a", calls[-1], reason)
    done = (await world.read(ask(model="a")))[-1] if stream else await world.models.complete(ask(model="a"))
    assert isinstance(done, Completion)
    assert world.called == calls
    # One that said nothing may have read the prompt.
    paid = ["a", "b"] if reason in ("hung", "timeout") else [calls[-1]]
    assert (done.model, list(done.usage.models)) == (calls[-1], paid)
    assert counted("a", calls[-1], reason) == before + 1
    assert len(world.gate.settled) == world.gate.granted == len(calls)


async def test_a_bad_request_goes_nowhere_else() -> None:
    world = World([ProviderRejected("bad")], [answer()])
    with pytest.raises(ProviderRejected):
        await world.models.complete(ask(model="a"))
    assert world.called == ["a"]


async def test_a_content_filter_is_gone_around_once() -> None:
    refused = [ContentRefused("mine")], [ContentRefused("theirs")], [answer()]
    world = World(*refused)
    with pytest.raises(ContentRefused, match="mine"):
        await world.models.complete(ask(model="a"))
    assert world.called == ["a", "b"]


async def test_an_answer_that_breaks_its_schema_is_the_callers_to_repair() -> None:
    world = World([answer("no")], [answer("{}")])
    with pytest.raises(InvalidAnswer):
        await world.models.complete(ask(model="a", schema={"type": "object"}))
    assert world.called == ["a"]


async def test_a_prompt_for_a_larger_model_goes_there_at_once() -> None:
    world = World([answer()])
    assert (await world.models.complete(ask("x" * 10_000, model="a"))).model == "c"
    assert world.called == ["c"]
    with pytest.raises(PromptTooLong):
        await world.models.complete(ask("x" * 100_000, model="a"))


async def test_each_model_is_asked_within_its_own_limits() -> None:
    world = World([ProviderAuth("key")], [answer()])
    await world.models.complete(ask(model="a", max_tokens=9))
    assert [call.max_tokens for call in world.provider.calls] == [9, 9]
    assert [call.model.id for call in world.provider.calls] == ["a", "b"]


async def test_who_waits_too_long_for_a_turn_is_asked_later() -> None:
    world = World([answer()], gate=FakeGate(busy_s={"a": 2, "b": 3}))
    assert (await world.models.complete(ask(model="a", deadline_s=60))).model == "c"
    assert [(model, asked.max_wait_s) for model, asked in world.gate.asked] == [("a", 1), ("b", 1), ("c", 1)]


async def test_when_all_make_it_wait_the_first_that_can_be_in_time_is_waited_for() -> None:
    world = World([answer()], gate=FakeGate(busy_s={"a": 2, "b": 3, "c": 4}))
    assert (await world.models.complete(ask(model="a", deadline_s=60))).model == "a"
    assert world.gate.asked[-1][1].max_wait_s == pytest.approx(30, abs=5)
    world = World([answer()], gate=FakeGate(busy_s={"a": 200, "b": 3, "c": 4}))
    assert (await world.models.complete(ask(model="a", deadline_s=60))).model == "b"


async def test_when_nobody_can_be_in_time_the_shortest_wait_is_told() -> None:
    world = World(gate=FakeGate(busy_s={"a": 300, "b": 200, "c": 400}))
    with pytest.raises(GateRefused) as caught:
        await world.models.complete(ask(model="a", deadline_s=60))
    assert caught.value.retry_after_s == 200
    assert world.called == []


async def test_a_short_throttling_stays_with_its_model() -> None:
    world = World([Throttled("slow", retry_after_s=0.5)], [answer()])
    assert (await world.models.complete(ask(model="a"))).model == "a"
    assert world.gate.pauses == [0.5]


async def test_all_attempts_keep_the_requests_place_in_time() -> None:
    world = World([Throttled("slow", retry_after_s=0.1)], [ProviderAuth("key")], [answer()])
    await world.models.complete(ask(model="a"))
    assert [asked.started_at for _, asked in world.gate.asked] == [1_700_000_000.0] * 3
    world.provider.scripts.append([answer()])
    told: list[Wait] = []
    await world.models.complete(ask(model="a", started_at=5.0, unblocks=3, run_id="r", on_wait=told.append))
    asked = world.gate.asked[-1][1]
    assert (asked.started_at, asked.unblocks, asked.run_id, asked.on_wait) == (5.0, 3, "r", told.append)


async def test_a_stream_that_breaks_off_goes_on_with_the_fallback() -> None:
    world = World(["half", " of", AWAY], ["whole", answer("whole", prompt=10, completion=5)])
    *items, end = await world.read(ask(model="a"))
    assert items == ["half", " of", Restarted("b"), "whole"]
    assert isinstance(end, Completion)
    assert end.model == "b"
    first, second = end.usage.models["a"], end.usage.models["b"]
    assert (first.llm_calls, first.prompt_tokens, first.completion_tokens) == (1, 6, 2)
    assert (second.llm_calls, second.prompt_tokens, second.completion_tokens) == (1, 10, 5)
    assert end.usage.total.cost_usd == pytest.approx(23e-6)
    assert world.gate.settled == [6 + 2, 15]
    assert world.provider.open == 0


async def test_one_void_half_is_told_once_whoever_answers_in_the_end() -> None:
    world = World(["half", AWAY], [ProviderAuth("key")], ["whole", answer("whole")])
    *items, end = await world.read(ask(model="a"))
    assert items == ["half", Restarted("c"), "whole"]
    assert isinstance(end, Completion)
    assert set(end.usage.models) == {"a", "c"}


async def test_an_empty_answer_after_a_void_half_is_still_told() -> None:
    world = World(["half", AWAY], [answer("")])
    items = await world.read(ask(model="a"))
    assert items[1] == Restarted("b")


async def test_a_stream_breaks_off_for_good_when_nobody_is_left() -> None:
    world = World(["a", AWAY], ["b", AWAY], ["c", AWAY], ["c", AWAY])
    with pytest.raises(ProviderUnavailable):
        await world.read(ask(model="a"))
    assert world.seen == ["a", Restarted("b"), "b", Restarted("c"), "c", Restarted("c"), "c"]
    assert len(world.gate.settled) == world.gate.granted == 4


async def test_no_time_is_left_for_a_fallback_after_the_deadline() -> None:
    world = World(["half", 60.0], ["whole", answer()])
    with pytest.raises(CallTimeout, match="a had not answered"):
        await world.read(ask(model="a", deadline_s=0.1))
    assert world.called == ["a"]


async def test_a_hung_call_ends_at_its_models_timeout_and_goes_on() -> None:
    hasty = [entry.model_copy(update={"timeout_s": 0.05}) for entry in ENTRIES]
    world = World([60.0], [answer()])
    world.models = Models(Registry.of(hasty), world.gate, world.provider, Rules(), jitter=lambda: 0.0)
    assert (await world.models.complete(ask(model="a"))).model == "b"
    assert world.provider.open == 0


async def test_a_hung_stream_ends_at_its_first_token_deadline_and_goes_on() -> None:
    world = World([60.0], ["x", answer("x")], first_token_s=0.05)
    assert await world.read(ask(model="a")) != []
    assert world.called == ["a", "b"]
    world = World(["half", 60.0], ["x", answer("x")], silence_s=0.05)
    assert (await world.read(ask(model="a")))[1] == Restarted("b")


STEPS = st.sampled_from(
    [
        [AWAY],
        ["half", AWAY],
        ["half", 60.0],
        [60.0],
        ["x"],
        ["x", answer("x")],
        [answer()],
        [ContentRefused("no")],
        [ProviderAuth("key")],
        [Throttled("slow", retry_after_s=0.02)],
        [Throttled("slow", retry_after_s=9)],
        [RuntimeError("bug")],
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    scripts=st.lists(STEPS, min_size=1, max_size=8),
    busy=st.dictionaries(st.sampled_from("abc"), st.sampled_from([0.5, 2.0, 99.0])),
    stream=st.booleans(),
    leave_after=st.integers(0, 60),
)
async def test_every_grant_is_settled_once_whatever_happens(
    scripts: list[list[Step]], busy: dict[str, float], stream: bool, leave_after: int
) -> None:
    gate = FakeGate(busy_s=busy)
    world = World(*scripts, *[[answer()]] * 20, gate=gate, breaker=BREAKER, silence_s=0.01, first_token_s=0.01)
    request = ask(model="a", deadline_s=0.5)
    task = asyncio.create_task(world.read(request) if stream else world.models.complete(request))
    for _ in range(leave_after):
        await asyncio.sleep(0)
    if leave_after % 2:
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(gate.settled) == gate.granted
    assert len(world.provider.calls) <= gate.granted
    assert world.provider.open == 0
