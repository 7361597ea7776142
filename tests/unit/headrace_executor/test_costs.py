"""What runs of a kind take, learned."""

import pytest
from headrace_executor.model import RunKind
from headrace_executor.runs.costs import MEMORY, KindCost, KindCosts
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 900)), min_size=1, max_size=MEMORY))
def test_the_first_runs_count_alike(runs: list[tuple[int, float]]) -> None:
    costs = KindCosts()
    for calls, seconds in runs:
        costs.learn(RunKind.PAGE, calls=calls, seconds=seconds)
    learned = costs.of_kinds()[RunKind.PAGE]
    assert learned.calls == pytest.approx(sum(calls for calls, _ in runs) / len(runs), abs=1e-6)
    assert learned.seconds == pytest.approx(sum(seconds for _, seconds in runs) / len(runs), abs=1e-6)


def test_what_has_changed_is_learned_soon() -> None:
    costs = KindCosts()
    for _ in range(1000):
        costs.learn(RunKind.PAGE, calls=2, seconds=1)
    for _ in range(3 * MEMORY):
        costs.learn(RunKind.PAGE, calls=10, seconds=1)
    assert costs.of_kinds()[RunKind.PAGE].calls > 9.5


def test_kinds_are_learned_apart_and_their_mean_counts_runs() -> None:
    costs = KindCosts()
    assert costs.mean_calls() == 0
    for _ in range(3):
        costs.learn(RunKind.CONVERSATION, calls=1, seconds=1)
    costs.learn(RunKind.PAGE, calls=9, seconds=1)
    assert set(costs.of_kinds()) == {RunKind.CONVERSATION, RunKind.PAGE}
    assert costs.mean_calls() == 3


def test_what_was_learned_meanwhile_stays_when_the_past_is_recalled() -> None:
    costs = KindCosts()
    costs.learn(RunKind.PAGE, calls=9, seconds=1)
    costs.begin({RunKind.PAGE: KindCost(100, 1, 1), RunKind.QUIZ: KindCost(100, 2, 5)})
    assert costs.of_kinds()[RunKind.PAGE].calls == 9
    costs.learn(RunKind.QUIZ, calls=34, seconds=5)
    assert costs.of_kinds()[RunKind.QUIZ].calls == pytest.approx(3)
