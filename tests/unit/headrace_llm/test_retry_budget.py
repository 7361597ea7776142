from headrace_llm.retry_budget import RetryBudget
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.booleans(), max_size=300), st.floats(0, 1), st.integers(0, 20))
def test_repetitions_are_a_part_of_the_successes_and_a_few_more(happens: list[bool], ratio: float, floor: int) -> None:
    budget, taken, succeeded = RetryBudget(ratio=ratio, floor=floor), 0, 0
    for success in happens:
        if success:
            budget.succeeded()
            succeeded += 1
        else:
            taken += budget.take()
        assert taken <= floor + ratio * succeeded + 1e-6


def test_it_comes_back_with_successes_and_is_not_saved_up_without_end() -> None:
    budget = RetryBudget(ratio=0.5, floor=2)
    for _ in range(1000):
        budget.succeeded()
    assert [budget.take() for _ in range(3)] == [True, True, False]
    budget.succeeded()
    assert not budget.take()
    budget.succeeded()
    assert budget.take()
