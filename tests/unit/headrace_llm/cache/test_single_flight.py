"""One call for many who ask, whoever leaves and whatever fails."""

import asyncio
from dataclasses import dataclass, field

import pytest
from headrace_llm.cache.cached_models import CachedModels, Room
from headrace_llm.cache.policy import free
from headrace_llm.cache.single_flight import Bounds
from headrace_llm.client import Completion, Priority, Restarted, Wait
from headrace_llm.errors import CallTimeout, ProviderRejected, ProviderUnavailable, Throttled
from headrace_llm.usage import Bill, ModelUsage, Usage
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.headrace_llm.cache.fakes import COST, FakeShared, Stage, ask, done, idle


@dataclass
class World:
    """Two processes that ask one model."""

    stage: Stage = field(default_factory=Stage)
    shared: FakeShared = field(default_factory=FakeShared)
    bounds: Bounds = field(default_factory=lambda: Bounds(join_share=1, lease_s=1000, poll_s=1000))

    def __post_init__(self) -> None:
        self.processes = [CachedModels(self.stage, self.shared, Room(), self.bounds) for _ in range(2)]

    def asking(self, process: int = 0, **changes: object) -> "asyncio.Task[Completion]":
        return asyncio.create_task(self.processes[process].complete(ask(**changes)))  # type: ignore[arg-type]

    def reading(self, process: int = 0, **changes: object) -> "asyncio.Task[tuple[str, Completion]]":
        return asyncio.create_task(self._read(process, **changes))

    async def _read(self, process: int, **changes: object) -> tuple[str, Completion]:
        text = ""
        async for item in self.processes[process].stream(ask(**changes)):  # type: ignore[arg-type]
            if isinstance(item, Completion):
                return text, item
            text = "" if isinstance(item, Restarted) else text + item
        raise AssertionError


async def test_ten_who_ask_at_once_make_one_call_and_one_pays() -> None:
    world = World()
    tasks = [world.asking() for _ in range(10)]
    await idle()
    assert len(world.stage.calls) == 1
    world.stage.calls[0].say("fi", "ne", done())
    answers = await asyncio.gather(*tasks)
    assert [each.text for each in answers] == ["fine"] * 10
    assert answers[0].usage.total == COST
    assert all(each.usage.total.cached_calls == 1 and each.usage.total.llm_calls == 0 for each in answers[1:])


async def test_readers_of_one_process_read_along() -> None:
    world = World()
    stream = world.processes[0].stream(ask())
    first = asyncio.ensure_future(anext(stream))
    await idle()
    world.stage.calls[0].say("fi")
    assert await first == "fi"
    late = world.processes[0].stream(ask())
    assert await anext(late) == "fi"
    world.stage.calls[0].say("ne", done())
    assert [await anext(late), (await anext(late)).text] == ["ne", "fine"]  # type: ignore[union-attr]
    assert len(world.stage.calls) == 1


async def test_readers_of_another_process_get_the_whole_text_at_the_end() -> None:
    world = World()
    one, two = world.reading(0), world.reading(1)
    await idle()
    assert len(world.stage.calls) == 1
    world.stage.calls[0].say("fi", "ne", done())
    assert (await one)[0] == (await two)[0] == "fine"
    assert (await two)[1].usage.total.cached_calls == 1


async def test_when_the_first_leaves_its_call_goes_on_for_the_others() -> None:
    world = World()
    leader, waiter = world.asking(), world.asking()
    await idle()
    leader.cancel()
    await idle()
    assert leader.cancelled()
    assert world.stage.open
    world.stage.calls[0].say(done())
    assert (await waiter).usage.total == COST
    assert len(world.stage.calls) == 1


async def test_each_attempt_is_paid_by_who_has_waited_longest_when_it_ends() -> None:
    world = World()
    bills = [Bill() for _ in range(3)]
    leader, second, third = (world.asking(on_cost=bill.add) for bill in bills)
    await idle()
    void = Usage({"m": ModelUsage(1, 0, 10, 1, 0.1)})
    world.stage.calls[0].request.on_cost(void)
    leader.cancel()
    await idle()
    world.stage.calls[0].say(done())
    assert [(await second).usage, (await third).usage] == [bill.usage for bill in bills[1:]]
    assert [bill.usage for bill in bills] == [void, Usage({"m": COST}), free("m")]


async def test_all_who_wait_for_a_call_are_told_where_it_stands_also_when_the_first_has_left() -> None:
    world = World()
    told: list[tuple[str, Wait]] = []
    leader = world.asking(on_wait=lambda wait: told.append(("leader", wait)))
    waiter = world.asking(on_wait=lambda wait: told.append(("waiter", wait)))
    silent = world.asking()
    await idle()
    tell = world.stage.calls[0].request.on_wait
    assert tell is not None
    tell(Wait(2, 3.0, 1.0))
    leader.cancel()
    await idle()
    tell(Wait(1, 2.0, 2.0))
    assert told == [(name, Wait(2, 3.0, 1.0)) for name in ("leader", "waiter")] + [("waiter", Wait(1, 2.0, 2.0))]
    world.stage.calls[0].say(done())
    await asyncio.gather(waiter, silent)


async def test_a_call_that_nobody_wants_to_hear_of_does_not_ask_where_it_stands() -> None:
    world = World()
    asking = world.asking()
    await idle()
    assert world.stage.calls[0].request.on_wait is None
    world.stage.calls[0].say(done())
    await asking


async def test_when_all_leave_the_call_is_broken_off_and_the_next_process_asks() -> None:
    world = World()
    tasks = [world.asking(0), world.asking(0)]
    await idle()
    other = world.asking(1)
    await idle()
    for task in tasks:
        task.cancel()
    await idle()
    assert [call.open for call in world.stage.calls] == [False, True]
    world.stage.open[0].say(done())
    assert (await other).text == "fine"


async def test_closing_a_stream_aborts_its_call_before_it_returns() -> None:
    world = World()
    stream = world.processes[0].stream(ask())
    first = asyncio.ensure_future(anext(stream))
    await idle()
    world.stage.calls[0].say("fi")
    await first
    await stream.aclose()  # type: ignore[attr-defined]
    assert not world.stage.open


async def test_one_who_comes_while_a_call_is_broken_off_gets_a_new_one() -> None:
    world = World(stage=Stage(may_close=asyncio.Event()))
    leader = world.asking()
    await idle()
    leader.cancel()
    await idle()
    late = world.asking(priority=Priority.STANDARD)
    await idle()
    assert len(world.stage.calls) == 1, "the lease is held until the call has ended"
    assert world.stage.may_close is not None
    world.stage.may_close.set()
    await idle()
    world.stage.calls[1].say(done())
    assert (await late).text == "fine"


@pytest.mark.parametrize("ticks", range(12))
async def test_whoever_leaves_at_whatever_moment_leaves_no_lease(ticks: int) -> None:
    world = World()
    task = world.asking()
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    await idle()
    assert not world.shared.leases
    assert not world.stage.open


async def test_time_spent_on_looking_is_taken_from_the_call() -> None:
    world = World()

    def slow_clock() -> float:
        return 3.0 * world.shared.looks

    models = CachedModels(world.stage, world.shared, Room(), world.bounds, clock=slow_clock)
    task = asyncio.create_task(models.complete(ask(deadline_s=100)))
    await idle()
    assert world.stage.calls[0].request.deadline_s == 97
    world.stage.calls[0].say(done())
    await task


@pytest.mark.parametrize("process", [0, 1])
async def test_after_a_failure_the_others_try_one_at_a_time(process: int) -> None:
    world = World()
    leader = world.asking()
    await idle()
    others = [world.asking(process) for _ in range(5)]
    await idle()
    world.stage.calls[0].say(ProviderUnavailable("away"))
    with pytest.raises(ProviderUnavailable):
        await leader
    await idle()
    assert len(world.stage.calls) == 2
    world.stage.calls[1].say(Throttled("slow", retry_after_s=1))
    await idle()
    assert len(world.stage.calls) == 3
    world.stage.calls[2].say(done())
    ended = await asyncio.gather(*others, return_exceptions=True)
    assert sum(isinstance(each, Completion) for each in ended) == 4
    assert sum(isinstance(each, Throttled) for each in ended) == 1
    assert len(world.stage.calls) == 3


async def test_what_would_be_refused_again_is_refused_to_all() -> None:
    world = World()
    tasks = [world.asking() for _ in range(5)]
    await idle()
    world.stage.calls[0].say(ProviderRejected("too long"))
    assert all(isinstance(each, ProviderRejected) for each in await asyncio.gather(*tasks, return_exceptions=True))
    assert len(world.stage.calls) == 1


async def test_an_answer_that_is_not_kept_lets_other_processes_ask_each_by_itself() -> None:
    world = World()
    one = world.asking(0)
    await idle()
    two = world.asking(1)
    await idle()
    world.stage.calls[0].say(done("cut", finish="length"))
    assert (await one).text == "cut"
    await idle()
    world.stage.calls[1].say(done("cut", finish="length"))
    assert (await two).usage.total == COST
    third = world.asking(0)
    await idle()
    assert len(world.stage.calls) == 3
    world.stage.calls[2].say(done())
    await third


async def test_a_reader_is_told_when_what_it_read_is_void() -> None:
    world = World()
    leader = world.reading()
    await idle()
    world.stage.calls[0].say("wro")
    stream = world.processes[0].stream(ask())
    assert await anext(stream) == "wro"
    world.stage.calls[0].say(ProviderUnavailable("broke off"))
    with pytest.raises(ProviderUnavailable):
        await leader
    rest = asyncio.create_task(_rest(stream))
    await idle()
    world.stage.calls[1].say("right", done("right"))
    void, piece, end = await rest
    assert isinstance(void, Restarted)
    assert (piece, end.text) == ("right", "right")  # type: ignore[union-attr]


async def _rest(stream: object) -> list[str | Restarted | Completion]:
    return [item async for item in stream]  # type: ignore[attr-defined]


async def test_who_comes_late_is_spared_what_is_void() -> None:
    world = World()
    first = world.reading()
    await idle()
    world.stage.calls[0].say("wrong", Restarted("other"), "right")
    await idle()
    second = world.processes[0].stream(ask())
    assert isinstance(await anext(second), Restarted)
    world.stage.calls[0].say(done("right"))
    assert [each if isinstance(each, str) else each.text for each in await _rest(second)] == ["right", "right"]  # type: ignore[union-attr]
    assert (await first)[0] == "right"


async def test_urgent_requests_do_not_wait_for_calls_that_stand_behind_them() -> None:
    world = World()
    slow, urgent = world.asking(priority=Priority.BACKGROUND), world.asking(priority=Priority.INTERACTIVE)
    await idle()
    assert len(world.stage.calls) == 2
    world.stage.calls[1].say(done())
    assert (await urgent).text == "fine"
    world.stage.calls[0].say(done())
    await slow


@pytest.mark.parametrize("process", [0, 1])
async def test_nobody_waits_longer_than_its_share_of_its_deadline(process: int) -> None:
    world = World(bounds=Bounds(join_share=0.0, lease_s=1000, poll_s=1000))
    leader = world.asking()
    await idle()
    other = world.asking(process)
    await idle()
    assert len(world.stage.calls) == 2
    world.stage.calls[1].say(done())
    assert (await other).usage.total == COST
    world.stage.calls[0].say(done())
    await leader


async def test_waiting_for_others_shortens_the_deadline_of_the_own_call() -> None:
    world = World()
    leader = world.asking()
    await idle()
    other = asyncio.create_task(world.processes[0].complete(ask(deadline_s=0.2)))
    with pytest.raises(CallTimeout):
        await other
    world.stage.calls[0].say(done())
    assert (await leader).text == "fine"


async def test_without_redis_a_process_still_asks_once() -> None:
    world = World(shared=FakeShared(away=True))
    tasks = [world.asking(process) for process in (0, 0, 1, 1)]
    await idle()
    assert len(world.stage.calls) == 2
    for call in world.stage.calls:
        call.say(done())
    await asyncio.gather(*tasks)


steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "read", "ask", "read", "leave", "piece", "end", "fail", "cut", "void"]), st.integers(0, 7)
    ),
    max_size=25,
)


SAID: dict[str, str | Restarted | Completion | Exception] = {
    "piece": "x",
    "leave": "y",
    "void": Restarted("m"),
    "end": done(),
    "cut": done("cut", finish="length"),
    "fail": ProviderUnavailable("away"),
}


@given(steps)
async def test_whatever_happens_one_call_at_a_time_and_an_answer_for_all_who_stay(steps: list[tuple[str, int]]) -> None:
    world = World()
    here: list[asyncio.Task[object]] = []
    left: list[asyncio.Task[object]] = []
    failures = good = 0
    for step, number in steps:
        call = world.stage.open[0] if world.stage.open else None
        if step in ("ask", "read"):
            made = world.asking(number % 2) if step == "ask" else world.reading(number % 2)
            here.append(made)
        elif step == "leave" and here:
            left.append(here.pop(number % len(here)))
            left[-1].cancel()
        elif call is not None:
            failures += step == "fail"
            good += step in ("end", "cut")
            call.say(SAID[step])
        await idle()
        assert len(world.stage.open) <= 1 or "cut" in [name for name, _ in steps]
    while any(not task.done() for task in here):
        assert world.stage.open, "somebody waits for nothing"
        for call in world.stage.open:
            call.say(done())
            good += 1
        await idle()
    ended = [task.exception() or task.result() for task in here]
    assert sum(isinstance(each, ProviderUnavailable) for each in ended) <= failures
    answers = [each[1] if isinstance(each, tuple) else each for each in ended if not isinstance(each, BaseException)]
    assert all(isinstance(each, Completion) and each.text in ("fine", "cut") for each in answers)
    paid = sum(each.usage.total.llm_calls for each in answers if isinstance(each, Completion))
    assert paid <= good
    await idle()
    assert not world.stage.open
    assert not world.shared.leases
    assert not any(world.shared.bells.values())
