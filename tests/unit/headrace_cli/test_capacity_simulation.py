"""Simulated users before the real gate agree with the law where they must, and meet its limits where they must."""

from collections.abc import Callable

import pytest
from headrace_cli.capacity import options, plot, sweep
from headrace_cli.capacity.model import Scenario
from headrace_cli.capacity.simulation import Run, simulate
from headrace_cli.capacity.sweep import Goal
from headrace_cli.capacity.tally import Point, Served
from hypothesis import given
from hypothesis import strategies as st

RUN = Run(seconds=6000, warm_up_s=1000)
EXAMPLE_USERS = 30.73


def scenario(texts: options.Texts | None = None, *, rpm: float = 100, tpm: float = 0, slots: int = 64) -> Scenario:
    texts = texts or options.Texts("chat=60,workflow=25,build=15")
    return options.scenario(texts, rpm=rpm, tpm=tpm, think_s=15, slots=slots)


def p95(served: Served) -> float:
    assert served.wait_p95_s is not None
    return served.wait_p95_s


@pytest.mark.parametrize("users", [5, 15, 20])
def test_below_saturation_users_ask_as_often_as_the_formula_says(users: int) -> None:
    assert simulate(scenario(), users, RUN).per_minute == pytest.approx(60 * users / 29.5, rel=0.05)


def test_beyond_saturation_the_gate_gives_the_quota_and_never_more() -> None:
    point = simulate(scenario(), 50, RUN)

    assert 0.99 <= point.requests_used <= 1.0
    assert point.per_minute == pytest.approx(62.5, rel=0.04)


@pytest.mark.parametrize("users", [10, 30, 50])
def test_littles_law_holds_in_what_was_simulated(users: int) -> None:
    point = simulate(scenario(), users, RUN)

    assert point.all.response_s is not None
    assert point.per_minute / 60 * (point.all.response_s + 15) == pytest.approx(users, rel=0.05)


def test_waits_grow_with_users_and_fast_beyond_the_formulas_answer() -> None:
    waits = [p95(simulate(scenario(), round(EXAMPLE_USERS * part), RUN).all) for part in (0.5, 0.8, 1.0, 1.25, 1.5)]

    assert waits == sorted(waits)
    assert waits[0] < 3
    assert waits[-1] > 3 * waits[2]


def test_the_same_seed_gives_the_same_figures_and_another_gives_others() -> None:
    short = Run(seconds=600, warm_up_s=60, seed=7)

    assert simulate(scenario(), 30, short) == simulate(scenario(), 30, short)
    assert simulate(scenario(), 30, short) != simulate(scenario(), 30, Run(seconds=600, warm_up_s=60, seed=8))


def test_the_interactive_wait_least_and_the_others_are_served_nevertheless() -> None:
    kinds = simulate(scenario(), 45, RUN).kinds

    assert p95(kinds["chat"]) < 5 < p95(kinds["build"])
    assert kinds["build"].lost == 0


def test_the_impatient_are_refused_by_the_gate_and_it_still_uses_the_quota() -> None:
    impatient = options.Texts("chat=1", patience="interactive=20")
    few, many = (simulate(scenario(impatient, slots=1000), users, RUN) for users in (20, 100))

    assert few.all.refused == 0
    assert many.all.refused > 100
    assert p95(many.all) < 20 - 7.5
    assert many.requests_used > 0.99


def test_tokens_bind_when_they_are_scarcer() -> None:
    exact = Run(seconds=6000, warm_up_s=1000, spread=0)
    point = simulate(scenario(tpm=100_000), 30, exact)

    assert 0.98 <= point.tokens_used <= 1.0
    assert point.per_minute == pytest.approx(100_000 / 3500, rel=0.05)


def test_slots_bind_when_they_are_scarcer_and_who_waits_too_long_for_one_is_late() -> None:
    point = simulate(scenario(slots=8), 60, RUN)

    assert point.per_minute == pytest.approx(8 / 14.5 * 60, rel=0.06)
    assert point.all.late > 0
    assert point.requests_used < 0.6


def served_until(most: int) -> Callable[[int], Point]:
    """Waits of 1 s up to so many users, of a minute beyond."""

    def look(users: int) -> Point:
        every = Served(100, 0, 0, 1.0, 1.0 if users <= most else 60.0, 1.0)
        return Point(users, 1.0, 0.5, 0.0, every, {"chat": every})

    return look


@given(st.integers(0, 1000), st.floats(0.1, 500))
def test_the_largest_number_that_is_served_well_is_found_wherever_it_is_about(most: int, around: float) -> None:
    goal = Goal(wait_s=10)
    points = list(sweep.explore(served_until(most), around, goal))
    served, beyond = sweep.most_served(points, goal)

    assert len(points) <= len(sweep.PARTS) + sweep.MOST_FURTHER + 12
    assert len({point.users for point in points}) == len(points)
    if beyond is None:
        assert served <= most
    else:
        assert served <= most < beyond.users
        assert beyond.users - served <= max(1, around * sweep.FINE)


@pytest.mark.parametrize(
    ("every", "missed"),
    [
        (Served(100, 0, 0, 1.0, 10.0, 1.0), ""),
        (Served(100, 0, 0, 1.0, 10.1, 1.0), "p95 is 10.1 s"),
        (Served(98, 1, 1, 1.0, 1.0, 1.0), "2.0% of the requests"),
        (Served(0, 0, 0, None, None, None), "nobody is answered"),
    ],
)
def test_the_goal_says_what_was_missed(every: Served, missed: str) -> None:
    said = Goal(wait_s=10).missed(Point(1, 1.0, 0.5, 0.0, every, {}))

    assert missed in said
    assert bool(said) == bool(missed)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=20, unique=True), st.floats(0.1, 5000), st.floats(0, 1e4))
def test_any_sweep_can_be_drawn(counts: list[int], around: float, target_s: float) -> None:
    points = [served_until(100)(users) for users in counts]
    drawn = plot.svg(points, plot.Caption("a <title>", ["and & more"], around, 100, target_s))

    assert "a &lt;title&gt;" in drawn
    assert "nan" not in drawn
    assert "inf" not in drawn
