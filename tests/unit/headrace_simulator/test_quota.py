"""A quota never grants more than its kind allows, and never less."""

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor

import pytest
from headrace_simulator.meters import Enforcement
from headrace_simulator.policy import Limit, Quota
from hypothesis import given
from hypothesis import strategies as st

KINDS: tuple[Enforcement, ...] = ("per_second", "sliding_minute", "fixed_minute")
TICK = Fraction(1, 1000)

gaps = st.lists(
    st.one_of(
        st.just(0), st.integers(1, 50), st.integers(50, 2_000), st.integers(2_000, 90_000), st.sampled_from([1_000, 60_000])
    ),
    max_size=120,
)
"""Milliseconds between calls."""


def times(steps: list[int], start: int = 0) -> list[Fraction]:
    at, found = start, []
    for step in steps:
        at += step
        found.append(Fraction(at, 1000))
    return found


def accepted(quota: Quota, arrivals: list[Fraction], tokens: int = 1) -> list[Fraction]:
    found = []
    for at in arrivals:
        if quota.refusal(float(at)) is None:
            quota.enter(float(at), tokens)
            found.append(at)
    return found


def bucket_oracle(rpm: int) -> Callable[[list[Fraction]], list[Fraction]]:
    """In exact arithmetic."""

    def run(arrivals: list[Fraction]) -> list[Fraction]:
        rate, capacity = Fraction(rpm, 60), max(Fraction(1), Fraction(rpm, 60))
        level, last, found = capacity, arrivals[0] if arrivals else Fraction(0), []
        for at in arrivals:
            level, last = min(capacity, level + (at - last) * rate), at
            if level >= 1:
                level -= 1
                found.append(at)
        return found

    return run


def sliding_oracle(rpm: int) -> Callable[[list[Fraction]], list[Fraction]]:
    def run(arrivals: list[Fraction]) -> list[Fraction]:
        found: list[Fraction] = []
        for at in arrivals:
            if sum(1 for one in found if one > at - 60) < rpm:
                found.append(at)
        return found

    return run


def fixed_oracle(rpm: int) -> Callable[[list[Fraction]], list[Fraction]]:
    def run(arrivals: list[Fraction]) -> list[Fraction]:
        found: list[Fraction] = []
        for at in arrivals:
            if sum(1 for one in found if floor(one / 60) == floor(at / 60)) < rpm:
                found.append(at)
        return found

    return run


ORACLES = {"per_second": bucket_oracle, "sliding_minute": sliding_oracle, "fixed_minute": fixed_oracle}


@pytest.mark.parametrize("kind", KINDS)
@given(steps=gaps, rpm=st.integers(1, 300), start=st.integers(0, 200_000))
def test_it_grants_what_exact_arithmetic_grants(kind: Enforcement, steps: list[int], rpm: int, start: int) -> None:
    arrivals = times(steps, start)
    quota = Quota(float(arrivals[0]) if arrivals else 0.0, Limit(kind, rpm=rpm))

    assert accepted(quota, arrivals) == ORACLES[kind](rpm)(arrivals)


@given(steps=st.lists(st.floats(0, 20, allow_nan=False), max_size=100), rpm=st.integers(1, 60))
def test_between_its_ticks_the_sliding_minute_never_grants_more(steps: list[float], rpm: int) -> None:
    quota, at, found = Quota(0.0, Limit("sliding_minute", rpm=rpm)), 0.0, list[float]()
    for step in steps:
        at += step
        if quota.refusal(at) is None:
            quota.enter(at, 1)
            found.append(at)

    assert all(sum(1 for one in found if last - 60 < one <= last) <= rpm for last in found)


@given(steps=gaps, sizes=st.lists(st.integers(1, 5_000), min_size=120, max_size=120), tpm=st.integers(60, 10_000))
def test_tokens_go_into_debt_by_one_call_at_most(steps: list[int], sizes: list[int], tpm: int) -> None:
    arrivals = times(steps)
    start = float(arrivals[0]) if arrivals else 0.0
    quota, used = Quota(start, Limit("per_second", tpm=tpm)), 0
    for at, size in zip(arrivals, sizes, strict=False):
        if quota.refusal(float(at)) is None:
            allowed = quota.allowance(float(at)).tokens
            assert allowed is not None
            assert used < allowed + 1e-3
            quota.enter(float(at), size)
            used += size


@pytest.mark.parametrize("kind", ["sliding_minute", "fixed_minute"])
@given(steps=gaps, sizes=st.lists(st.integers(1, 5_000), min_size=120, max_size=120), tpm=st.integers(60, 10_000))
def test_a_minute_takes_calls_until_its_tokens_are_used(
    kind: Enforcement, steps: list[int], sizes: list[int], tpm: int
) -> None:
    arrivals = times(steps)
    quota, found = Quota(float(arrivals[0]) if arrivals else 0.0, Limit(kind, tpm=tpm)), list[tuple[Fraction, int]]()
    for at, size in zip(arrivals, sizes, strict=False):
        inside = [
            tokens
            for one, tokens in found
            if (one > at - 60 if kind == "sliding_minute" else floor(one / 60) == floor(at / 60))
        ]
        let_in = quota.refusal(float(at)) is None
        assert let_in == (sum(inside) < tpm)
        if let_in:
            quota.enter(float(at), size)
            found.append((at, size))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("counted", [False, True])
@given(steps=gaps, rpm=st.integers(1, 300), tpm=st.none() | st.integers(100, 2_000))
def test_who_waits_as_long_as_told_is_let_in(
    kind: Enforcement, counted: bool, steps: list[int], rpm: int, tpm: int | None
) -> None:
    quota, at = Quota(0.0, Limit(kind, rpm=rpm, tpm=tpm, refused_count=counted)), 0.0
    for step in steps:
        at += step / 1000
        refusal = quota.refusal(at)
        if refusal is not None:
            assert refusal.wait_s is not None
            at += ceil(refusal.wait_s * 1000) / 1000
            assert quota.refusal(at) is None
        quota.enter(at, 40)


@pytest.mark.parametrize("kind", KINDS)
@given(rpm=st.integers(1, 200), start=st.integers(0, 100_000), drop=st.sampled_from([1.0, 0.4, 0.0, 2.0]))
def test_a_caller_always_ready_gets_what_is_called_allowed(kind: Enforcement, rpm: int, start: int, drop: float) -> None:
    quota = Quota(start / 1000, Limit(kind, rpm=rpm))
    count, now = 0, start / 1000
    for until, factor in ((30.0, drop), (90.0, 1.0), (150.0, 1.0)):
        end = start / 1000 + until
        while now < end:
            refusal = quota.refusal(now)
            if refusal is None:
                quota.enter(now, 1)
                count += 1
            else:
                now = end if refusal.wait_s is None else min(end, now + refusal.wait_s)
        quota.change(end, Limit(kind, rpm=rpm * factor))
    while quota.refusal(now) is None:
        quota.enter(now, 1)
        count += 1

    allowed = quota.allowance(now).requests
    assert allowed is not None
    assert allowed - 1.01 - (2 * rpm / 60 if drop != 1.0 else 0) <= count <= allowed + 1e-3


def test_refused_calls_that_count_starve_whoever_does_not_wait() -> None:
    free, counted = (Quota(0.0, Limit("per_second", rpm=60, refused_count=value)) for value in (False, True))
    arrivals = times([100] * 100)

    assert len(accepted(free, arrivals)) == 10
    assert len(accepted(counted, arrivals)) == 1


def test_a_second_that_is_used_up_before_its_minute_is_a_burst() -> None:
    quota = Quota(0.0, Limit("per_second", rpm=60))
    quota.enter(0.0, 1)
    early = quota.refusal(0.5)
    for second in range(1, 60):
        assert quota.refusal(float(second)) is None
        quota.enter(float(second), 1)
    late = quota.refusal(59.5)

    assert early is not None
    assert late is not None
    assert (early.cause, late.cause) == ("burst", "requests")


def test_calls_at_once_are_counted_until_they_end() -> None:
    quota = Quota(0.0, Limit(concurrency=2))
    quota.enter(0.0, 1)
    quota.enter(0.0, 1)
    refusal = quota.refusal(0.0)
    quota.leave()

    assert refusal is not None
    assert (refusal.cause, refusal.wait_s) == ("concurrency", None)
    assert quota.refusal(0.0) is None


def test_a_quota_that_grants_nothing_knows_no_time_to_wait() -> None:
    quota = Quota(0.0, Limit("per_second", rpm=60))
    quota.enter(0.0, 1)
    quota.change(0.0, Limit("per_second", rpm=0))
    refusal = quota.refusal(1000.0)

    assert refusal is not None
    assert refusal.wait_s is None
