"""The arithmetic of budgets."""

import pytest
from headrace_llm import budgets
from headrace_llm.budgets import Amount, Ceiling
from headrace_llm.client import ChatRequest, Message
from headrace_llm.registry import DailyBudget, ModelEntry, Price
from headrace_llm.usage import ModelUsage, Usage
from hypothesis import given
from hypothesis import strategies as st

FIGURE = st.integers(0, 10**12)
AMOUNTS = st.builds(Amount, FIGURE, FIGURE, FIGURE)
CEILINGS = st.builds(Ceiling, *[st.none() | FIGURE] * 3)
ENTRY = ModelEntry(
    id="m",
    model="openai/m",
    max_output_tokens=500,
    price=Price(prompt_usd_per_million=1, completion_usd_per_million=2),
)


@given(used=AMOUNTS, wanted=AMOUNTS, ceiling=CEILINGS)
def test_what_is_granted_stays_under_every_limit_and_what_is_refused_changes_nothing(
    used: Amount, wanted: Amount, ceiling: Ceiling
) -> None:
    after, figure = budgets.reserve(used, wanted, ceiling)
    if figure is None:
        assert after == used.plus(wanted)
        assert all(top is None or have <= top for have, top in zip(after, ceiling, strict=True))
    else:
        assert after == used
        place = budgets.FIGURES.index(figure)
        assert used[place] + wanted[place] > (ceiling[place] or 0)


@given(calls=st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=20), ceiling=CEILINGS)
def test_when_all_calls_are_settled_exactly_what_they_used_is_counted(
    calls: list[tuple[Amount, Amount]], ceiling: Ceiling
) -> None:
    used, expected = Amount(), Amount()
    open_: list[tuple[Amount, Amount]] = []
    for wanted, really in calls:
        used, figure = budgets.reserve(used, wanted, ceiling)
        if figure is None:
            open_.append((wanted, really))
            expected = expected.plus(really)
    for wanted, really in open_:
        used = budgets.correct(used, really.minus(wanted))
    assert used == expected


@given(base=AMOUNTS, ceiling=CEILINGS, processes=st.integers(1, 8))
def test_the_shares_of_all_processes_add_up_to_no_more_than_is_left(base: Amount, ceiling: Ceiling, processes: int) -> None:
    own = ceiling.part(1 / processes, above=base)
    for top, part, used in zip(ceiling, own, base, strict=True):
        assert (top is None) == (part is None)
        if top is not None and part is not None:
            assert (part - used) * processes <= max(0, top - used)


@given(used=AMOUNTS, change=AMOUNTS)
def test_nothing_is_ever_counted_below_zero(used: Amount, change: Amount) -> None:
    assert all(figure >= 0 for figure in budgets.correct(used, Amount().minus(change)))


def test_an_estimate_is_the_prompt_and_the_longest_answer_at_the_models_price() -> None:
    request = ChatRequest((Message("user", "a" * 400),), "t", 5.0, max_tokens=100)
    assert budgets.estimate(request, ENTRY, default_max_tokens=50) == Amount(1, 204, 304_000)
    unbounded = ChatRequest((Message("user", ""),), "t", 5.0)
    assert budgets.estimate(unbounded, ENTRY, default_max_tokens=9_999).tokens == 504
    free = ENTRY.model_copy(update={"price": None})
    assert budgets.estimate(request, free, default_max_tokens=50) == Amount(1, 204, 0)


def test_what_was_used_counts_cached_calls_as_none_and_an_unknown_cost_as_no_money() -> None:
    assert budgets.actual(Usage({"m": ModelUsage(0, 1, 0, 0, 0.0)})) == Amount()
    assert budgets.actual(Usage({"m": ModelUsage(2, 0, 10, 5, None)})) == Amount(2, 15, 0)
    assert budgets.actual(Usage({"m": ModelUsage(1, 0, 10, 5, 1e-12)})).nano_usd == 1
    unpriced = ModelUsage(1, 0, 10, 5, None)
    assert budgets.actual(Usage({"m": ModelUsage(1, 0, 10, 5, 0.5), "n": unpriced})) == Amount(2, 30, 500_000_000)


@pytest.mark.parametrize("daily", [DailyBudget(), DailyBudget(usd=float("inf")), DailyBudget(tokens=2**60)])
def test_a_budget_that_bounds_nothing_that_can_be_counted_is_none(daily: DailyBudget) -> None:
    assert Ceiling.of(daily) is None


def test_a_budget_of_nothing_refuses_everything() -> None:
    ceiling = Ceiling.of(DailyBudget(calls=0))
    assert ceiling == Ceiling(0, None, None)
    assert budgets.passed(Amount(), Amount(1, 0, 0), ceiling) == "calls"


def test_a_day_ends_at_midnight_utc() -> None:
    noon = 1_767_225_600 + 43_200  # 2026-01-01T12:00:00Z
    assert budgets.day_of(noon) == "2026-01-01"
    assert budgets.left_of_day_s(noon) == 43_200
    assert budgets.day_of(noon + 43_200) == "2026-01-02"


def test_a_refusal_names_the_limit_what_is_used_and_the_setting_that_raises_it() -> None:
    said = budgets.refusal("school", "school", DailyBudget(calls=4), "calls", Amount(4, 9, 0), Amount(1, 5, 0))
    assert "has used 4 of its 4 calls" in said
    assert "tenants.school.daily.calls" in said
    said = budgets.refusal("school", "*", DailyBudget(usd=0.5), "usd", Amount(4, 9, 499_999_999), Amount(1, 5, 1_000_000))
    assert "$0.5000 of its $0.5 " in said
    assert 'tenants."*".daily.usd' in said
