from headrace_llm import policy
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.text(max_size=300), max_size=5))
def test_a_token_estimate_grows_with_the_text(texts: list[str]) -> None:
    assert 0 <= policy.estimate_tokens(texts) <= policy.estimate_tokens([*texts, "more"])
    assert policy.estimate_tokens(["中文字"]) == 7


@given(st.integers(1, 10), st.floats(0, 0.999), st.floats(0, 100))
def test_a_back_off_ends_before_the_deadline(attempt: int, jitter: float, remaining: float) -> None:
    pause = policy.backoff_s(attempt=attempt, jitter=jitter, remaining_s=remaining)
    assert pause is None or 0 < pause < remaining


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_a_wait_leaves_time_for_the_answer(remaining: float, expected: float) -> None:
    budget = policy.wait_budget_s(remaining_s=remaining, expected_s=expected)
    assert remaining / 2 <= budget <= remaining
