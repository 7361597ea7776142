"""Calls at the shared gate whatever comes between: cancellations, late and crossed answers, answers that never come."""

import asyncio
import time
from collections.abc import Callable, Sequence
from random import Random

import pytest
from headrace_llm.client import Priority
from headrace_llm.errors import GateRefused
from headrace_llm.gate.lane import Fleet, Lane
from headrace_llm.gate.pace import Quota
from headrace_llm.gate.paced import PacedGate
from headrace_llm.gate.waiting import Lateness, Turn
from headrace_llm.ports import Ask, Away, Told
from headrace_llm.registry import Limits, ModelEntry, Registry

from tests.support.shared_limits import Unsteady

FAST = Quota(rpm=120_000)
SLOW = Quota(rpm=60)


def ask(max_wait_s: float = 5.0, priority: Priority = Priority.STANDARD, tenant: str = "t") -> Ask:
    return Ask(0, priority, tenant, max_wait_s)


def lane(shared: Unsteady, name: str, *, quota: Quota = FAST, lost: Callable[[str], None] | None = None) -> Lane:
    def fail(cause: str) -> None:
        raise AssertionError(cause)

    made = Lane("s", quota, shared, process=name, lost=lost or fail, clock=time.monotonic)
    shared.hearing[name] = made.heard
    return made


async def crowd(lanes: Sequence[Lane], chance: Random, *, calls: int) -> list[Turn]:
    """Many calls, some of which are cancelled at some point; returns the turns that were got."""

    async def one(which: Lane) -> Turn:
        asked = ask(chance.choice([0.0, 0.005, 5.0]), Priority(chance.randint(1, 3)), chance.choice("ab"))
        return await which.acquire(asked, 1.0)

    tasks = []
    for _ in range(calls):
        tasks.append(asyncio.create_task(one(chance.choice(lanes))))
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
    async with asyncio.timeout(20):
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, Turn | GateRefused | asyncio.CancelledError) for each in ended), ended
    return [each for each in ended if isinstance(each, Turn)]


@pytest.mark.parametrize("seed", range(12))
async def test_every_grant_is_used_once_or_given_back(seed: int) -> None:
    chance = Random(seed)
    shared = Unsteady(chance)
    lanes = [lane(shared, name) for name in "abc"]
    turns = await crowd(lanes, chance, calls=150)
    while shared.limiters["s"].turns or any(one._notes for one in lanes):
        await shared.quiet()
        await asyncio.sleep(0)
    await shared.quiet()
    for one in lanes:
        await one.close()
        assert not one.waiting
    assert len(shared.granted) == len(turns) + shared.given_back
    assert len(turns) > 20


@pytest.mark.parametrize("seed", range(12))
async def test_nobody_waits_for_ever_when_answers_do_not_come(seed: int) -> None:
    chance = Random(seed)
    shared = Unsteady(chance, failing=0.1)
    lanes: list[Lane] = []

    def lost(cause: str) -> None:
        for one in lanes:
            one.leave_shared(Fleet(2, 0))

    lanes += [lane(shared, name, lost=lost) for name in "ab"]

    async def mend() -> None:
        while True:
            await asyncio.sleep(0.002)
            for one in lanes:
                try:
                    if not one.up:
                        await one.join_shared()
                except Away as error:
                    lost(str(error))

    mending = asyncio.create_task(mend())
    assert await crowd(lanes, chance, calls=150)
    mending.cancel()
    await asyncio.gather(mending, return_exceptions=True)
    for one in lanes:
        await one.close()
        assert not one.waiting
        assert not one._notes


async def test_a_grant_that_crosses_a_second_entry_leaves_no_other_behind() -> None:
    shared = Unsteady(Random(0))
    one = lane(shared, "a", quota=SLOW)
    await one.acquire(ask(), 1.0)
    waiter = asyncio.create_task(one.acquire(ask(), 1.0))
    while "a:2" not in shared.limiters["s"].turns:
        await asyncio.sleep(0)
    entry = one.waiting["a:2"]
    again = asyncio.create_task(one._enter_shared(entry))
    one.heard(Told("s", "a:2", 1, 0, 1))
    await waiter
    await again
    while shared.limiters["s"].turns:
        await asyncio.sleep(0)
    await one.close()


async def test_an_answer_that_cannot_be_read_reaches_its_caller() -> None:
    class Garbled(Unsteady):
        async def enter(self, *args: object, **named: object) -> object:  # type: ignore[override]
            raise ValueError("not a number")

    one = lane(Garbled(Random(0)), "a")
    with pytest.raises(ValueError, match="not a number"):
        await one.acquire(ask(), 1.0)
    assert not one.waiting


async def test_a_settling_that_frees_tokens_lets_the_next_through() -> None:
    shared = Unsteady(Random(0))
    one = lane(shared, "a", quota=Quota(tpm=600_000))
    asked = Ask(20_000, Priority.STANDARD, "t", 30.0)
    turn = await one.acquire(asked, 1.0)
    waiter = asyncio.create_task(one.acquire(asked, 1.0))
    while not shared.limiters["s"].turns:
        await asyncio.sleep(0)
    started = time.monotonic()
    one.note_settled(turn, reserved=20_000, used=0, seconds=1.0)
    await waiter
    assert time.monotonic() - started < 1.0  # of the two that the first had reserved
    await one.close()


async def test_redis_lost_again_while_coming_back_leaves_every_lane_on_its_own() -> None:
    entries = [ModelEntry(id=name, model=f"openai/{name}", limits=Limits(rpm=6000)) for name in "mn"]

    class Flapping(Unsteady):
        back = 0

        async def rejoin(self, scope: str, quota: Quota, *, pause_us: int) -> None:
            self.back += 1
            if self.back == 2:  # the first lane asks while the second comes back
                self.failing = 1.0
                await gate.acquire(entries[0], ask())

    shared = Flapping(Random(0))
    gate = PacedGate(Registry.of(entries), shared, process="p", max_waiting=10, retry_s=0.01)
    await gate.start()
    shared.failing = 1.0
    await gate.acquire(entries[0], ask())
    assert not gate.shared
    shared.failing = 0.0
    async with asyncio.timeout(5):
        while shared.back < 2 or gate.shared:
            await asyncio.sleep(0)
    for _ in range(10):
        await gate.acquire(entries[1], ask())
    assert not gate.shared
    await gate.close()


async def test_waiters_stay_in_the_own_queue_when_the_wall_clock_jumps() -> None:
    wall = 1_790_000_000.0
    made = Lane("s", Quota(rpm=600), None, process="a", lost=print, clock=time.monotonic, wall=lambda: wall)
    await made.acquire(ask(), 1.0)
    waiter = asyncio.create_task(made.acquire(ask(), 1.0))
    while "a:2" not in made.waiting:
        await asyncio.sleep(0)
    wall += 3600
    await waiter
    wall -= 7200
    await made.acquire(ask(), 1.0)
    await made.close()


class Held:
    """A clock that a test holds up: the process does nothing for a while."""

    def __init__(self) -> None:
        self.behind_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.behind_s


@pytest.mark.parametrize(("held_s", "given_back", "postponed"), [(0.0, 0, 0), (0.3, 0, 1), (30.0, 1, 0)])
async def test_a_turn_that_is_heard_of_too_late_is_given_back_and_asked_for_again(
    held_s: float, given_back: int, postponed: int
) -> None:
    shared, held = Unsteady(Random(0)), Held()
    one = Lane("s", SLOW, shared, process="a", lost=pytest.fail, clock=held)
    shared.hearing["a"] = one.heard
    await one.acquire(ask(), 1.0)
    waiter = asyncio.create_task(one.acquire(ask(60.0), 1.0))
    while not one.waiting or not shared.limiters["s"].turns:
        await asyncio.sleep(0)
    (waiting,) = one.waiting.values()
    shared.limiters["s"].turns.leave(waiting.id)
    now_us = shared.now_us()
    held.behind_s = held_s
    one.heard(Told("s", waiting.id, 1, 0, now_us))
    assert ((await waiter).now_us > now_us) == bool(given_back)
    if given_back:  # its clock stays ahead: that is found out, and not taken for lateness again
        await one.acquire(ask(60.0), 1.0)
    await one.close()
    assert (shared.given_back, shared.postponed) == (given_back, postponed)


def test_news_is_as_late_as_it_took_longer_than_the_soonest() -> None:
    lateness = Lateness()
    assert lateness.of(1_000_000, 5_000_000) == 0
    assert lateness.of(2_000_000, 6_300_000) == pytest.approx(300_000, abs=100)
    assert lateness.of(3_000_000, 6_900_000) == 0
