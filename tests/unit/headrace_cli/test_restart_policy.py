"""When the supervisor starts an ended process again."""

import dataclasses

import pytest
from headrace_cli.supervisor.policy import Action, BackOff, Ending, after_end, delay_s, describe
from hypothesis import given
from hypothesis import strategies as st

LIMITS = BackOff(first_s=0.2, factor=2.0, max_s=30.0, stable_s=30.0, start_attempts=3)
CRASH = Ending(exit_code=-9, ready_s=1.0, ever_ready=True, failures=0)


def test_a_first_crash_is_restarted_almost_at_once() -> None:
    decision = after_end(CRASH, LIMITS)

    assert decision.action is Action.RESTART
    assert decision.delay_s == 0.2
    assert decision.reason == "it ended by signal 9"


def test_crashes_in_a_row_wait_longer_each_time_up_to_the_bound() -> None:
    waits = [delay_s(n, LIMITS) for n in range(1, 12)]

    assert waits[:4] == [0.2, 0.4, 0.8, 1.6]
    assert waits == sorted(waits)
    assert waits[-1] == 30.0


def test_a_stable_process_has_its_failures_forgotten() -> None:
    decision = after_end(dataclasses.replace(CRASH, ready_s=30.0, failures=7), LIMITS)

    assert (decision.failures, decision.delay_s) == (1, 0.2)


def test_a_process_that_was_never_ready_is_given_up_after_its_attempts() -> None:
    never = Ending(exit_code=1, ready_s=0.0, ever_ready=False, failures=0)

    assert after_end(never, LIMITS).action is Action.RESTART
    assert after_end(dataclasses.replace(never, failures=2), LIMITS).action is Action.GIVE_UP


@pytest.mark.parametrize("exit_code", [2, None])
def test_wrong_settings_and_a_start_that_takes_too_long_are_given_up_at_once(exit_code: int | None) -> None:
    assert after_end(Ending(exit_code, 0.0, ever_ready=False, failures=0), LIMITS).action is Action.GIVE_UP


@given(
    exit_code=st.none() | st.integers(-64, 255),
    ready_s=st.floats(0, 1e9),
    failures=st.integers(0, 10_000),
)
def test_what_has_been_ready_is_never_given_up_and_never_waits_past_the_bound(
    exit_code: int | None, ready_s: float, failures: int
) -> None:
    decision = after_end(Ending(exit_code, ready_s, ever_ready=True, failures=failures), LIMITS)

    assert decision.action is Action.RESTART
    assert LIMITS.first_s <= decision.delay_s <= LIMITS.max_s
    assert 1 <= decision.failures <= failures + 1


def test_an_end_is_told_in_words() -> None:
    assert [describe(code) for code in (None, 0, 3, -15)] == [
        "it was not ready in time",
        "it ended with code 0",
        "it ended with code 3",
        "it ended by signal 15",
    ]
