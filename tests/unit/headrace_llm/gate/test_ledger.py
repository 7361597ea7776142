"""What was charged lately, against a bucket that is filled anew with what is known in the end."""

import random
from collections.abc import Sequence

from headrace_llm.gate.ledger import MOST_SLICES, SLICE_US, Ledger
from hypothesis import given
from hypothesis import strategies as st

START = 1.79e15
charges = st.lists(
    st.tuples(st.integers(0, 300_000), st.integers(0, 400_000), st.integers(-200_000, 200_000)), min_size=1, max_size=40
)
"""(time since the last, what it takes up, what its correction adds)"""


@given(charges, st.randoms(use_true_random=False))
def test_in_the_end_it_is_as_if_all_had_been_known_at_once(
    steps: Sequence[tuple[int, int, int]], chance: random.Random
) -> None:
    ledger, now, made = Ledger(), START, list[tuple[float, int, int]]()
    for pause, amount, by in steps:
        now += pause + SLICE_US  # each in a slice of its own
        ledger.charge(amount, now_us=now)
        made.append((now, amount, max(by, -amount)))
    for at, _, by in chance.sample(made, len(made)):
        ledger.correct(by, charged_us=at)
    even = 0.0
    for since, amount, by in made:
        even = max(even, since) + amount + by
    assert ledger.even_us == even


@given(charges)
def test_slices_change_nothing_while_nothing_is_corrected(steps: Sequence[tuple[int, int, int]]) -> None:
    ledger, now, even = Ledger(), START, 0.0
    for pause, amount, _ in [*steps] * 5:
        now += pause
        even = max(even, now) + amount
        ledger.charge(amount, now_us=now)
        assert ledger.even_us == even
        assert len(ledger.slices) <= MOST_SLICES
    ledger.correct(0, charged_us=now)
    assert abs(ledger.even_us - even) < 1


@given(charges)
def test_a_correction_counts_no_more_than_it_is(steps: Sequence[tuple[int, int, int]]) -> None:
    ledger, now = Ledger(), START
    for pause, amount, by in steps:
        now += pause
        ledger.charge(amount, now_us=now)
        before = ledger.even_us
        ledger.correct(by, charged_us=now - pause)
        assert min(by, 0) - 1 <= ledger.even_us - before <= max(by, 0) + 1


def test_what_a_full_burst_could_not_hold_is_not_spent_later() -> None:
    ledger = Ledger()
    for second in range(10):  # a call each second, each charged two seconds' worth too much: the limit stood full
        ledger.charge(3e6, now_us=START + second * 4e6)
    for second in range(10):
        ledger.correct(-2e6, charged_us=START + second * 4e6)
    assert ledger.even_us == START + 9 * 4e6 + 1e6


def test_what_is_too_old_to_be_known_counts_from_the_oldest_that_is() -> None:
    ledger = Ledger()
    for number in range(MOST_SLICES + 10):
        ledger.charge(2 * SLICE_US, now_us=START + number * SLICE_US)
    before = ledger.even_us
    ledger.correct(-50_000, charged_us=START)
    assert ledger.even_us == before - 50_000


def test_it_goes_back_with_the_clock() -> None:
    ledger = Ledger()
    ledger.charge(1e6, now_us=START)
    ledger.charge(1e6, now_us=START + 200_000)
    ledger.earlier(5e6)
    ledger.correct(-1e6, charged_us=START + 200_000 - 5e6)
    assert ledger.even_us == START + 1e6 - 5e6
