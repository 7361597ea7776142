from headrace_llm import waits
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 10), st.floats(0, 0.999), st.floats(0, 100))
def test_a_back_off_ends_before_the_deadline(attempt: int, jitter: float, remaining: float) -> None:
    pause = waits.backoff_s(attempt=attempt, jitter=jitter, remaining_s=remaining)
    assert pause is None or 0 < pause < remaining


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_a_wait_leaves_time_for_the_answer(remaining: float, expected: float) -> None:
    budget = waits.wait_budget_s(remaining_s=remaining, expected_s=expected)
    assert remaining / 2 <= budget <= remaining


@given(st.none() | st.floats(0, 1e9))
def test_a_retry_after_is_believed_within_bounds(asked: float | None) -> None:
    pause = waits.cool_down_s(asked_s=asked, default_s=2, max_s=300)
    assert waits.MIN_COOL_DOWN_S <= pause <= 300
    assert asked is not None or pause == 2
