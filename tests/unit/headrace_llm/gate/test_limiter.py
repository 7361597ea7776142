"""One limit in virtual time: nothing goes too early, nothing is lost, nobody waits in vain."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import pytest
from headrace_llm.gate.limiter import Limiter
from headrace_llm.gate.pace import MINUTE_US, TOKENS_LATENESS_US, Quota, interval_us, tokens_us, tolerance_us
from headrace_llm.gate.turns import SHARES, Waiter, order
from hypothesis import given
from hypothesis import strategies as st

START_US = 1_790_000_000_000_000


@dataclass(frozen=True)
class Arrival:
    after_us: int
    tokens: int
    max_wait_us: int
    rank: int
    tenant: str


arrivals = st.lists(
    st.builds(
        Arrival,
        after_us=st.integers(0, 3_000_000),
        tokens=st.integers(0, 5000),
        max_wait_us=st.integers(0, 60_000_000),
        rank=st.integers(0, 2),
        tenant=st.sampled_from("ab"),
    ),
    max_size=60,
)
quotas = st.builds(
    Quota, rpm=st.just(0.0) | st.floats(1, 6000), tpm=st.just(0.0) | st.floats(100, 1e6), burst=st.integers(1, 5)
)


class World:
    """Calls that come, and a pump that looks when somebody may go, late by `late_us`."""

    def __init__(self, quota: Quota, *, late_us: int = 0, most_waiting: int = 10_000) -> None:
        self.limiter = Limiter(quota, most_waiting=most_waiting)
        self.late_us = late_us
        self.now_us = START_US
        self.due_us: float | None = None
        self.gone: list[tuple[int, Waiter]] = []
        self.refused = 0
        self.number = 0

    def _deliver(self, waiter: Waiter) -> bool:
        self.gone.append((self.now_us, waiter))
        return True

    def arrive(self, one: Arrival) -> None:
        self.number += 1
        name = f"p:{self.number}"
        place = order(age_us=self.now_us, unblocks=0, number=self.number, id=name)
        waiter = Waiter(name, one.rank, one.tenant, 1.0, place, one.tokens, self.now_us + one.max_wait_us)
        entered = self.limiter.enter(waiter, now_us=self.now_us, deliver=self._deliver)
        self.refused += entered.refused
        if entered.granted:
            self.gone.append((self.now_us, waiter))
        elif not entered.refused:
            self._look_at(self.now_us + entered.due_us)

    def _look_at(self, due_us: float) -> None:
        self.due_us = due_us if self.due_us is None else min(self.due_us, due_us)

    def run_until(self, until_us: int) -> None:
        while self.due_us is not None and self.due_us + self.late_us <= until_us:
            self.now_us = max(self.now_us, int(self.due_us) + 1 + self.late_us)
            self.due_us = None
            rest = self.limiter.pump(now_us=self.now_us, deliver=self._deliver)
            if rest >= 0:
                self._look_at(self.now_us + rest)
        self.now_us = max(self.now_us, until_us)


def play(quota: Quota, calls: Sequence[Arrival], *, late_us: int = 0) -> World:
    world = World(quota, late_us=late_us)
    for one in calls:
        world.run_until(world.now_us + one.after_us)
        world.arrive(one)
    world.run_until(world.now_us + 3600 * 1_000_000)
    return world


@given(quotas, arrivals)
def test_every_call_goes_in_time_or_is_told(quota: Quota, calls: Sequence[Arrival]) -> None:
    world = play(quota, calls)
    assert all(at <= waiter.latest_us for at, waiter in world.gone)
    assert len({waiter.id for _, waiter in world.gone}) == len(world.gone)
    assert not len(world.limiter.turns)


@given(quotas, arrivals, st.integers(0, 15_000))
def test_no_span_holds_more_requests_than_the_quota_and_its_tolerance(
    quota: Quota, calls: Sequence[Arrival], late_us: int
) -> None:
    if not quota.rpm:
        return
    times = [at for at, _ in play(quota, calls, late_us=late_us).gone]
    interval, ahead = interval_us(quota, 1.0), tolerance_us(quota, 1.0)
    for first in range(len(times)):
        for last in range(first + 1, len(times)):
            assert last - first <= (times[last] - times[first] + ahead) / interval + 1e-6


@given(quotas, arrivals)
def test_tokens_never_run_ahead_by_more_than_one_call_and_their_tolerance(quota: Quota, calls: Sequence[Arrival]) -> None:
    if not quota.tpm:
        return
    gone = play(quota, calls).gone
    for first in range(len(gone)):
        before = 0.0
        for at, waiter in gone[first:]:
            assert before <= (at - gone[first][0] + TOKENS_LATENESS_US) * quota.tpm / MINUTE_US + 1e-3
            before += waiter.tokens


def crowd(count: int, **changes: int | str) -> list[Arrival]:
    return [Arrival(**{"after_us": 0, "tokens": 0, "max_wait_us": 10**9, "rank": 0, "tenant": "a", **changes})] * count  # type: ignore[arg-type]


def test_looking_late_loses_nothing_of_a_fast_quota() -> None:
    world = play(Quota(600), crowd(200), late_us=9_000)
    assert world.gone[-1][0] - world.gone[0][0] <= 199 * 100_000 * 1.003 + 20_000


def test_who_would_come_too_late_is_refused_before_entering() -> None:
    world = World(Quota(60))
    for one in crowd(50, max_wait_us=10_000_000):
        world.arrive(one)
    assert 38 <= world.refused <= 40
    world.run_until(START_US + 10**8)
    assert len(world.gone) == 50 - world.refused


def test_an_expected_wait_is_what_it_then_takes() -> None:
    world = World(Quota(600))
    for one in crowd(30):
        world.arrive(one)
    expected = world.limiter.expected_wait(0, "a", 1.0, now_us=world.now_us)
    came = world.now_us
    world.arrive(crowd(1)[0])
    world.run_until(world.now_us + 10**8)
    assert abs(world.gone[-1][0] - came - expected) < 0.1 * expected


def test_where_a_waiting_call_stands_comes_down_to_its_turn() -> None:
    world = World(Quota(600))
    for one in crowd(30):
        world.arrive(one)
    told = []
    while (standing := world.limiter.standing("p:30", now_us=world.now_us)) is not None:
        told.append(standing)
        world.run_until(world.now_us + 100_000)
    assert [one.ahead for one in told] == sorted((one.ahead for one in told), reverse=True)
    assert (told[0].ahead, told[-1].ahead) == (28, 0)
    assert all(later.wait_us < earlier.wait_us for earlier, later in pairwise(told))
    assert abs(told[0].wait_us - len(told) * 100_000) < 300_000


def test_a_waiting_call_moves_back_when_more_urgent_ones_come() -> None:
    world = World(Quota(60))
    for one in crowd(4, rank=1):
        world.arrive(one)
    before = world.limiter.standing("p:4", now_us=world.now_us)
    world.arrive(crowd(1, rank=0)[0])
    after = world.limiter.standing("p:4", now_us=world.now_us)
    assert before is not None
    assert after is not None
    assert (before.ahead, after.ahead) == (2, 3)
    assert after.wait_us > before.wait_us


def test_who_is_not_in_the_queue_stands_nowhere() -> None:
    assert World(Quota(60)).limiter.standing("p:9", now_us=START_US) is None


@pytest.mark.parametrize("seed", range(80))
def test_whoever_is_refused_would_have_missed_its_deadline_and_whoever_is_not_meets_it(seed: int) -> None:
    chance = Random(seed)
    quota = Quota(chance.choice([0, 1, 30, 600, 6000]), chance.choice([1e3, 1e5, 1e6]), chance.randint(1, 5))
    rank, tokens = chance.randrange(3), chance.randint(1, 3000)
    each_us = max(interval_us(quota, 1.0), tokens_us(quota, 1.0, tokens))
    world = World(quota)
    told = {"granted_us": START_US, "now_us": START_US}
    world.limiter.settle(reserved=tokens, used=tokens, seconds=1.0, deliver=world._deliver, **told)
    for number in range(1, 41):
        world.run_until(world.now_us + round(chance.choice([0, 0, 0, 0.5, 2]) * each_us))
        max_wait_us, refused, came = round(chance.uniform(0, 20) * each_us), world.refused, world.now_us
        had_it_stayed = deepcopy(world)
        world.arrive(Arrival(0, tokens, max_wait_us, rank, "a"))
        if world.refused > refused:
            had_it_stayed.arrive(Arrival(0, tokens, 10**14, rank, "a"))
            had_it_stayed.run_until(came + round(50 * each_us))
            went = next(at for at, one in had_it_stayed.gone if one.id == f"p:{number}")
            assert went - came >= 0.9 * max_wait_us
    world.run_until(world.now_us + round(50 * each_us))
    assert len(world.gone) + world.refused == 40


def test_a_background_call_is_promised_no_more_than_its_share_while_others_keep_coming() -> None:
    world = World(Quota(600))
    for number in range(300):
        world.arrive(crowd(1)[0])
        if number >= 100:
            world.run_until(world.now_us + 100_000)
    own = [world.limiter.expected_wait(rank, "b", 1.0, now_us=world.now_us) for rank in range(3)]
    assert own[0] <= own[1] <= own[2] <= 1.2 * 100_000 / SHARES[2]


def test_a_full_queue_refuses() -> None:
    world = World(Quota(6), most_waiting=3)
    for one in crowd(6):
        world.arrive(one)
    assert (len(world.gone), len(world.limiter.turns), world.refused) == (1, 3, 2)


def test_a_grant_given_back_goes_to_the_next() -> None:
    world = World(Quota(6))
    for one in crowd(2):
        world.arrive(one)
    told = {"granted_us": START_US, "now_us": world.now_us}
    assert world.limiter.give_back(rank=0, tokens=0, deliver=world._deliver, **told) == -1
    assert len(world.gone) == 2


def test_whoever_cannot_be_told_costs_nothing() -> None:
    world = World(Quota(6))
    for one in crowd(3):
        world.arrive(one)
    world.now_us += 11_000_000
    dead = iter([False, True])
    assert world.limiter.pump(now_us=world.now_us, deliver=lambda _: next(dead)) == -1
    assert world.limiter.view(now_us=world.now_us).granted == (2, 0, 0)


def test_tokens_that_were_not_used_come_back() -> None:
    world = World(Quota(tpm=60_000))
    world.arrive(crowd(1, tokens=10_000)[0])
    told = {"granted_us": START_US, "now_us": world.now_us}
    world.limiter.settle(reserved=10_000, used=100, seconds=1.0, deliver=world._deliver, **told)
    world.run_until(world.now_us + 200_000)
    world.arrive(crowd(1, tokens=10)[0])
    assert len(world.gone) == 2


def test_a_pause_holds_everybody_and_is_never_made_shorter() -> None:
    world = World(Quota(6000))
    world.limiter.pause(for_us=5_000_000, now_us=world.now_us)
    world.limiter.refused(granted_us=world.now_us, pause_us=100, asked=True, now_us=world.now_us)
    world.arrive(crowd(1)[0])
    world.run_until(START_US + 10**8)
    assert world.gone[0][0] >= START_US + 5_000_000


def test_a_share_knows_what_the_whole_had_learnt() -> None:
    world = World(Quota(600, 60_000, burst=4, probe=True))
    world.limiter.refused(granted_us=world.now_us, pause_us=2_000_000, asked=True, now_us=world.now_us)
    part = world.limiter.scaled(0.25)
    assert part.quota == Quota(150, 15_000)
    now_us = world.now_us + 1_000_000
    assert part.view(now_us=now_us).factor == world.limiter.view(now_us=now_us).factor < 1
    assert part.view(now_us=now_us).cooling_us == 1_000_000


def test_counts_are_of_the_last_minute() -> None:
    world = World(Quota())
    for one in crowd(4, rank=1):
        world.arrive(one)
    assert world.limiter.view(now_us=world.now_us).granted == (0, 4, 0)
    assert world.limiter.view(now_us=world.now_us + 2 * MINUTE_US).granted == (0, 0, 0)
