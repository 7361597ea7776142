"""What holds of every decision, whatever the signals do."""

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
from headrace_operator.model import Direction, LimitedBy, Memory, ModelSignals, Observed, Signals, Spec
from headrace_operator.policy import decide
from headrace_operator.windows import MOST_REMEMBERED
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.headrace_operator.cases import START_S, Loop, changes, gate, signals

ROUND_S = 1e-6
"""Times are added up in floating point."""

directions = st.builds(
    Direction,
    stabilization_s=st.sampled_from([0.0, 20.0, 60.0, 300.0]),
    max_step=st.integers(1, 6),
    period_s=st.sampled_from([5.0, 15.0, 60.0]),
)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    least = draw(st.integers(0, 4))
    return Spec(
        min_replicas=least,
        max_replicas=least + draw(st.integers(0, 8)),
        headroom=draw(st.sampled_from([0.0, 0.25, 1.0])),
        calls_per_replica=draw(st.none() | st.integers(1, 16)),
        tolerance=draw(st.sampled_from([0.0, 0.1, 0.5])),
        up=draw(directions),
        down=draw(directions),
    )


gates = st.builds(
    gate,
    effective_rpm=st.floats(0, 1000),
    configured_rpm=st.sampled_from([0.0, 60.0]),
    seconds_per_call=st.sampled_from([0.0, 0.5, 8.0, 60.0]),
    throttled_ratio=st.sampled_from([0.0, 0.0, 0.02, 0.3]),
    cooling_s=st.sampled_from([0.0, 0.0, 1.0]),
)
sound = st.builds(
    Signals,
    time=st.just(START_S),
    queued=st.integers(0, 200),
    running=st.integers(0, 64),
    slots_per_replica=st.integers(1, 32),
    models=st.lists(gates, max_size=1).map(tuple),
    default_model=st.just("qwen"),
)
steps = st.lists(st.tuples(st.sampled_from([1.0, 7.0, 10.0, 15.0, 29.0, 45.0]), st.none() | sound), min_size=1, max_size=40)
Steps = Sequence[tuple[float, Signals | None]]


def played(spec: Spec, seen: Steps, *, replicas: int | None = None) -> Loop:
    loop = Loop(spec, spec.min_replicas if replicas is None else replicas)
    for after_s, one in seen:
        loop.tick(one, after_s=after_s)
    return loop


@given(specs(), steps, st.integers(0, 12), st.none() | st.integers(0, 12))
def test_never_outside_min_and_max_and_budget_and_quota(spec: Spec, seen: Steps, replicas: int, budget: int | None) -> None:
    loop = Loop(spec, replicas, budget=budget)
    room = math.inf if budget is None else budget
    for after_s, signals_ in seen:
        one = loop.tick(signals_, after_s=after_s)
        assert min(spec.min_replicas, room) <= one.replicas <= min(spec.max_replicas, room)
        if one.n_quota is not None:
            assert one.replicas <= max(one.n_quota, spec.min_replicas)
        if one.n_demand is not None:
            kept = max(one.n_demand, loop.decisions[-1][1], spec.min_replicas)
            assert one.replicas <= kept, "nothing is added that nobody needs"


@given(specs(), st.integers(0, 12), st.integers(0, 20), st.none() | st.integers(0, 12), st.none() | sound)
def test_a_pin_is_obeyed_up_to_the_budget(
    spec: Spec, replicas: int, pinned: int, budget: int | None, seen: Signals | None
) -> None:
    one = Loop(replace(spec, pinned=pinned), replicas, budget=budget).tick(seen)
    assert one.replicas == (pinned if budget is None else min(pinned, budget))


@given(specs(), steps)
def test_missing_signals_hold(spec: Spec, seen: Steps) -> None:
    for _, before, one in played(spec, seen).decisions:
        if not one.fresh:
            assert (one.replicas, one.limited_by) == (before, LimitedBy.SIGNALS)


@given(specs(), steps)
def test_no_reversal_faster_than_the_window(spec: Spec, seen: Steps) -> None:
    moves = changes(played(spec, seen).decisions)
    for number, (now, difference, one) in enumerate(moves):
        window_s = (spec.up if difference > 0 else spec.down).stabilization_s
        opposite = [time for time, other, _ in moves[:number] if other * difference < 0]
        if not opposite or now - opposite[-1] >= window_s - ROUND_S:
            continue
        assert difference < 0, "up waits for its window"
        assert one.n_quota is not None, "down sooner than its window is a cut"
        assert one.replicas >= max(one.n_quota, spec.min_replicas), "a cut goes to the quota and no further"


@given(specs(), steps)
def test_no_more_than_a_step_within_a_period(spec: Spec, seen: Steps) -> None:
    moves = changes(played(spec, seen).decisions)
    for now, difference, one in moves:
        direction = spec.up if difference > 0 else spec.down
        recent = sum(
            abs(other)
            for time, other, _ in moves
            if other * difference > 0 and now - direction.period_s + ROUND_S < time <= now
        )
        cut = difference < 0 and one.n_quota is not None and one.replicas >= max(one.n_quota, spec.min_replicas)
        assert recent <= direction.max_step or cut


@given(specs(), steps)
def test_none_is_added_while_the_provider_refuses(spec: Spec, seen: Steps) -> None:
    loop = Loop(spec, spec.min_replicas)
    for after_s, one in seen:
        decision = loop.tick(one, after_s=after_s)
        gates_ = one.models if one else ()
        if any(each.throttled_ratio > spec.throttled_above or each.cooling_s > 0 for each in gates_):
            assert decision.replicas <= loop.decisions[-1][1]


@given(specs(), sound, st.integers(0, 12))
def test_it_arrives_where_the_formula_says_and_stays_there(spec: Spec, seen: Signals, replicas: int) -> None:
    calm = replace(seen, models=tuple(replace(one, throttled_ratio=0.0, cooling_s=0.0) for one in seen.models))
    exact = replace(spec, tolerance=0.0)
    loop = played(exact, [(15.0, calm)] * 120, replicas=replicas)
    last = loop.decisions[-1][2]
    assert last.n_demand is not None
    wanted = last.n_demand if last.n_quota is None else min(last.n_demand, last.n_quota)
    assert last.replicas == max(spec.min_replicas, min(spec.max_replicas, wanted))
    assert len({difference > 0 for _, difference, _ in changes(loop.decisions)}) <= 1, "one way, without overshoot"


@given(specs(), steps)
def test_the_memory_is_bounded(spec: Spec, seen: Steps) -> None:
    for _, _, one in played(spec, [*seen, *seen, *seen]).decisions:
        assert len(one.memory.wanted) <= spec.max_replicas - spec.min_replicas + 1
        assert len(one.memory.changes) <= spec.up.max_step + spec.down.max_step


def test_the_memory_is_bounded_even_when_somebody_pins_another_number_each_time() -> None:
    loop = Loop()
    for number in range(3 * MOST_REMEMBERED):
        loop.spec = replace(Spec(), pinned=number, down=Direction(1e6, 1, 1e6))
        loop.tick(None, after_s=1)
    assert len(loop.memory.wanted) <= MOST_REMEMBERED
    assert len(loop.memory.changes) <= 3


@given(specs(), steps)
def test_the_same_is_decided_of_the_same(spec: Spec, seen: Steps) -> None:
    assert played(spec, seen).decisions == played(spec, seen).decisions


@given(specs(), steps, sound, st.integers(1, 100), st.sampled_from(["queued", "running"]))
def test_more_work_never_means_fewer(spec: Spec, seen: Steps, last: Signals, more: int, what: str) -> None:
    loop = played(spec, seen)
    busier = replace(last, **{what: getattr(last, what) + more})
    assert _next(loop, busier) >= _next(loop, last)


@given(specs(), steps, sound, st.floats(1.0, 20.0), st.sampled_from(["effective_rpm", "seconds_per_call"]))
def test_more_quota_never_means_fewer(spec: Spec, seen: Steps, last: Signals, factor: float, what: str) -> None:
    loop = played(spec, seen)
    wider = replace(last, models=tuple(replace(one, **{what: getattr(one, what) * factor}) for one in last.models))
    unlimited = any(one.effective_rpm == 0 and one.configured_rpm == 0 for one in last.models)
    if not unlimited:
        assert _next(loop, wider) >= _next(loop, last)


@given(specs(), steps, sound)
def test_more_429s_never_mean_more(spec: Spec, seen: Steps, last: Signals) -> None:
    loop = played(spec, seen)
    worse = replace(last, models=tuple(replace(one, throttled_ratio=1.0) for one in last.models))
    assert _next(loop, worse) <= _next(loop, last)


@given(specs(), steps, sound, st.integers(1, 10))
def test_what_is_refused_is_not_asked_for_again_before_its_time(spec: Spec, seen: Steps, last: Signals, had: int) -> None:
    loop = Loop(spec, spec.max_replicas)
    refused = min(had, spec.max_replicas)
    ceiling = max(spec.min_replicas, spec.max_replicas - refused)
    until = loop.now + 1 + spec.backoff_s
    assert loop.tick(last, after_s=1, refused=refused).replicas <= ceiling
    for after_s, one in seen:
        decision = loop.tick(one, after_s=after_s)
        if loop.now < until:
            assert decision.replicas <= ceiling


numbers = {one.name for one in fields(ModelSignals)} - {"model", "queue_depth"}


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, -1.0])
@pytest.mark.parametrize("name", sorted(numbers))
def test_a_number_that_cannot_be_counts_as_missing(name: str, wrong: float) -> None:
    values: dict[str, Any] = {name: wrong}
    seen = signals(queued=200, **values)
    one = decide(Spec(), Observed(2, 2), seen, Memory(), START_S)
    assert (one.replicas, one.limited_by, one.fresh) == (2, LimitedBy.SIGNALS, False)


@given(st.floats(), st.floats(), st.floats(), st.integers(), st.integers(), st.integers(-1, 2))
def test_no_signal_can_break_it(rpm: float, seconds: float, ratio: float, queued: int, running: int, slots: int) -> None:
    models = (gate(effective_rpm=rpm, seconds_per_call=seconds, throttled_ratio=ratio),)
    seen = Signals(START_S, queued, running, slots, models=models, default_model="qwen")
    one = decide(Spec(max_replicas=5), Observed(2, 2), seen, Memory(), START_S)
    assert 1 <= one.replicas <= 5


def _next(loop: Loop, seen: Signals) -> int:
    now = loop.now + 10
    observed = Observed(loop.replicas, loop.replicas)
    return decide(loop.spec, observed, replace(seen, time=now), loop.memory, now).replicas
