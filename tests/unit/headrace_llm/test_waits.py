from headrace_llm import waits
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 10), st.floats(0, 0.999), st.floats(0, 100))
def test_a_back_off_ends_before_the_deadline(attempt: int, jitter: float, remaining: float) -> None:
    pause = waits.backoff_s(attempt=attempt, jitter=jitter, remaining_s=remaining)
    assert pause is None or 0 < pause < remaining


@given(st.floats(0, 1000), st.floats(0, 1000), st.floats(0, 1))
def test_a_wait_leaves_time_for_the_answer(remaining: float, needed: float, part: float) -> None:
    budget = waits.wait_budget_s(remaining_s=remaining, needed_s=needed, expected_s=needed * part)
    assert 0 <= budget <= remaining
    if 0 < needed <= remaining * (1 - waits.LEAST_PART):
        assert budget <= remaining - needed
    assert budget <= max(remaining - needed * part, 0)


def test_a_call_that_cannot_end_in_time_waits_for_nothing_and_a_model_that_is_new_is_given_half() -> None:
    assert waits.wait_budget_s(remaining_s=5, needed_s=20, expected_s=8) == 0
    assert waits.wait_budget_s(remaining_s=10, needed_s=20, expected_s=4) == 2.5
    assert waits.wait_budget_s(remaining_s=10, needed_s=0, expected_s=0) == 5


@given(st.none() | st.floats(0, 1e9))
def test_a_retry_after_is_believed_within_bounds(asked: float | None) -> None:
    pause = waits.cool_down_s(asked_s=asked, default_s=2, max_s=300)
    assert waits.MIN_COOL_DOWN_S <= pause <= 300
    assert asked is not None or pause == 2
