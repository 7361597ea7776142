"""What the gate learns from refusals, first by properties, then against providers that count by the second."""

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from headrace_llm.gate import adaptive
from headrace_llm.gate.adaptive import Adaptive
from headrace_llm.gate.pace import MINUTE_US, SECOND_US, Quota, interval_us
from hypothesis import given
from hypothesis import strategies as st

START = 1.79e15
events = st.lists(st.tuples(st.floats(0, 60 * SECOND_US), st.sampled_from(["refused", "late", "pressed"])), max_size=60)


def play(steps: Sequence[tuple[float, str]], look: Callable[[Adaptive, Adaptive, str, float], None]) -> None:
    state, now = Adaptive(), START
    for pause, event in steps:
        now += pause
        before = state
        if event == "pressed":
            state = adaptive.pressed(state, now)
        else:
            granted_at = now - 1 if event == "refused" else now - 30 * SECOND_US
            state = adaptive.refused(state, now, granted_at=granted_at, request_us=100_000)
        look(before, state, event, now)


@given(events)
def test_the_factor_stays_within_its_bounds(steps: Sequence[tuple[float, str]]) -> None:
    def look(before: Adaptive, after: Adaptive, event: str, now: float) -> None:
        for later in (0, 10**6, 10**7, 10**9, 10**12):
            assert adaptive.FLOOR <= adaptive.factor(after, now + later) <= adaptive.MOST

    play(steps, look)


@given(events)
def test_a_refusal_never_speeds_up_and_the_curve_never_falls_by_itself(steps: Sequence[tuple[float, str]]) -> None:
    def look(before: Adaptive, after: Adaptive, event: str, now: float) -> None:
        if event != "pressed":
            assert adaptive.factor(after, now) <= adaptive.factor(before, now) * (1 + 1e-9)
        curve = [adaptive.factor(after, now + later) for later in range(0, 200 * SECOND_US, SECOND_US)]
        assert all(b >= a - 1e-9 for a, b in itertools.pairwise(curve))

    play(steps, look)


@given(events)
def test_one_cut_for_a_burst(steps: Sequence[tuple[float, str]]) -> None:
    def look(before: Adaptive, after: Adaptive, event: str, now: float) -> None:
        if event == "refused":
            for granted_at in (after.reduced_at, after.reduced_at - 10**6):
                again = adaptive.refused(after, now + 50_000, granted_at=granted_at, request_us=100_000)
                assert again == after

    play(steps, look)


@given(events)
def test_without_a_refusal_it_comes_back_to_the_quota_in_bounded_time(steps: Sequence[tuple[float, str]]) -> None:
    def look(before: Adaptive, after: Adaptive, event: str, now: float) -> None:
        longest = 8 * max(after.hold_us, adaptive.HOLD_US)
        assert adaptive.factor(after, now + longest) >= min(1.0, after.good)

    play(steps, look)


def test_a_step_beyond_the_quota_needs_evidence() -> None:
    state, now = Adaptive(), START
    for _ in range(adaptive.PROBE_CALLS - 1):
        now += SECOND_US
        state = adaptive.pressed(state, now)
    assert adaptive.factor(state, now + 3600 * SECOND_US) == 1
    state = adaptive.pressed(replace(state, step_at=START), now + SECOND_US)
    assert adaptive.factor(state, now) == pytest.approx(1 + adaptive.PROBE)


def test_a_step_that_failed_is_taken_back_without_a_cut_and_tried_later_each_time() -> None:
    state = Adaptive(step=0.1, step_at=START, step_calls=3)
    after = adaptive.refused(state, START + SECOND_US, granted_at=START + 1, request_us=100_000)
    assert (adaptive.factor(after, START + SECOND_US), after.step_wait) == (1.0, 2.0)


def test_a_dip_is_tried_sooner_than_a_quota_that_never_held() -> None:
    now = START + 90 * SECOND_US
    low = Adaptive(
        started_at=START, ceiling=0.4, ceiling_at=START, cut_at=now - 10 * SECOND_US, hold_us=10 * SECOND_US,
        reduced_at=now - SECOND_US,
    )  # fmt: skip
    dip = adaptive.refused(replace(low, held=1.0), now, granted_at=now - 1, request_us=100_000)
    wrong = adaptive.refused(replace(low, held=0.4), now, granted_at=now - 1, request_us=100_000)
    assert (dip.hold_us, wrong.hold_us) == (5 * SECOND_US, 22.5 * SECOND_US)


def test_what_held_is_what_went_unrefused_for_a_while() -> None:
    fresh = Adaptive(started_at=START)
    at_once, later = START + SECOND_US, START + 60 * SECOND_US
    assert adaptive.refused(fresh, at_once, granted_at=at_once - 1, request_us=100_000).held == 0
    assert adaptive.refused(fresh, later, granted_at=later - 1, request_us=100_000).held == 1


@dataclass
class Outcome:
    accepted: list[float]
    refused: list[float]

    def rate(self, start_s: float, end_s: float) -> float:
        """Accepted calls a minute in a span."""
        return sum(start_s <= at < end_s for at in self.accepted) * 60 / (end_s - start_s)

    def refused_share(self, start_s: float = 0) -> float:
        accepted, refused = (sum(at >= start_s for at in times) for times in (self.accepted, self.refused))
        return refused / (accepted + refused)


def provider(configured: float, granted: Callable[[float], float], *, until_s: float, probe: bool = False) -> Outcome:
    """Calls as fast as the state allows, to a bucket of one second; a refusal is known after 40 ms, and pauses 2 s."""
    state, outcome = Adaptive(started_at=START), Outcome([], [])
    level, filled, free = max(1.0, granted(0) / 60), 0.0, 0.0
    news: list[tuple[float, float]] = []
    t = 0.0
    while t < until_s:
        while news and news[0][0] <= t:
            at, sent = heapq.heappop(news)
            request_us = interval_us(Quota(configured), 1.0)
            state = adaptive.refused(state, START + at * 1e6, granted_at=START + sent * 1e6, request_us=request_us)
            free = max(free, at + 2)
        if t < free:
            t = free
            continue
        rate = granted(t) / 60
        level, filled = min(max(1.0, rate), level + (t - filled) * rate), t
        if level >= 1 - 1e-9:
            level -= 1
            outcome.accepted.append(t)
        else:
            outcome.refused.append(t)
            heapq.heappush(news, (t + 0.04, t))
        if probe:
            state = adaptive.pressed(state, START + t * 1e6)
        t += MINUTE_US / (configured * adaptive.factor(state, START + t * 1e6)) / 1e6
    return outcome


def test_a_quota_that_drops_and_returns_is_followed() -> None:
    outcome = provider(600, lambda t: 240 if 60 <= t < 120 else 600, until_s=180)
    assert outcome.refused_share() < 0.03
    assert outcome.rate(75, 120) > 0.6 * 240
    assert outcome.rate(135, 180) > 0.9 * 600


@pytest.mark.parametrize("configured", [600, 120])
def test_a_quota_configured_twice_too_high_is_found(configured: float) -> None:
    outcome = provider(configured, lambda _: configured / 2, until_s=600)
    assert outcome.rate(30, 600) > 0.75 * configured / 2
    assert outcome.refused_share(30) < 0.03
    assert outcome.refused_share(300) < 0.02


def test_a_quota_configured_twice_too_low_is_found_where_probing_is_allowed() -> None:
    outcome = provider(300, lambda _: 600, until_s=300, probe=True)
    assert outcome.rate(110, 120) > 0.85 * 600
    assert outcome.refused_share() < 0.02
    assert provider(300, lambda _: 600, until_s=60).rate(0, 60) <= 301


def test_a_right_quota_is_never_refused_and_never_cut() -> None:
    outcome = provider(600, lambda _: 600, until_s=120)
    assert not outcome.refused
    assert outcome.rate(0, 120) >= 598
