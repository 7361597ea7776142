"""What the policy does in each situation, an example each."""

from dataclasses import replace

import pytest
from headrace_operator.model import Direction, LimitedBy, Memory, Observed, Spec
from headrace_operator.policy import decide

from tests.unit.headrace_operator.cases import START_S, Loop, signals

QUICK = Spec(max_replicas=8, up=Direction(0, 8, 15), down=Direction(60, 8, 30))


def test_as_many_executors_as_the_queue_needs() -> None:
    one = Loop(QUICK).tick(signals(queued=3, running=4))
    assert (one.replicas, one.limited_by, one.n_demand, one.fresh) == (2, LimitedBy.DEMAND, 2, True)


def test_no_more_than_the_quota_can_feed() -> None:
    # 60 rpm × 8 s are 8 calls in flight: two executors of four, and half a one of headroom.
    one = Loop(QUICK).tick(signals(queued=200))
    assert (one.replicas, one.limited_by, one.n_demand, one.n_quota) == (3, LimitedBy.QUOTA, 50, 3)
    assert one.message == "demand 50 (200 runs / 4 slots); quota 3 (60 rpm × 8 s / 60 / 4 calls × 1.25)"


def test_calls_that_an_executor_has_in_flight_may_be_fewer_than_its_slots() -> None:
    one = Loop(replace(QUICK, calls_per_replica=2)).tick(signals(queued=200))
    assert (one.replicas, one.n_quota) == (5, 5)


def test_the_model_may_be_another_than_the_default() -> None:
    seen = signals(queued=200)
    seen = replace(seen, models=(*seen.models, replace(seen.models[0], model="turbo", effective_rpm=120.0)))
    assert Loop(replace(QUICK, model="turbo")).tick(seen).n_quota == 5


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param(signals(queued=200, seconds_per_call=0.0), id="no call has shown how long one takes"),
        pytest.param(signals(queued=200, effective_rpm=0.0, configured_rpm=0.0), id="no limit is configured"),
        pytest.param(replace(signals(queued=200), models=()), id="nobody tells of the model"),
    ],
)
def test_a_quota_that_is_not_known_bounds_nothing(unknown: object) -> None:
    one = Loop(QUICK).tick(unknown)  # type: ignore[arg-type]
    assert (one.replicas, one.limited_by, one.n_quota) == (8, LimitedBy.MAX, None)
    assert "quota not known" in one.message


def test_a_quota_of_nothing_leaves_the_minimum() -> None:
    one = Loop(QUICK, replicas=3).tick(signals(queued=200, effective_rpm=0.0))
    assert (one.replicas, one.limited_by, one.n_quota) == (1, LimitedBy.MIN, 0)


def test_the_minimum_stays_when_nothing_is_asked_for() -> None:
    one = Loop(replace(QUICK, min_replicas=2), replicas=2).tick(signals())
    assert (one.replicas, one.limited_by, one.n_demand) == (2, LimitedBy.MIN, 0)


def test_the_minimum_comes_at_once_whatever_holds_the_rest_back() -> None:
    slow = replace(QUICK, min_replicas=3, up=Direction(300, 1, 300))
    one = Loop(slow).tick(signals(queued=200, throttled_ratio=0.5, effective_rpm=600.0))
    assert (one.replicas, one.limited_by) == (3, LimitedBy.THROTTLING)


def test_demand_beyond_the_maximum() -> None:
    one = Loop(replace(QUICK, max_replicas=2), replicas=2).tick(signals(queued=200))
    assert (one.replicas, one.limited_by) == (2, LimitedBy.MAX)


def test_no_executor_is_added_while_calls_are_answered_429() -> None:
    one = Loop(QUICK).tick(signals(queued=200, throttled_ratio=0.05))
    assert (one.replicas, one.limited_by) == (1, LimitedBy.THROTTLING)
    assert one.message.endswith("3 wanted, 1 for now: 5.0% of the calls were answered 429, above 2.0%")


def test_no_executor_is_added_while_the_gate_pauses() -> None:
    one = Loop(QUICK).tick(signals(queued=200, cooling_s=1.2))
    assert (one.replicas, one.limited_by) == (1, LimitedBy.THROTTLING)


def test_throttling_does_not_keep_what_nobody_needs() -> None:
    loop = Loop(QUICK, replicas=3)
    loop.until(signals(throttled_ratio=1.0), lambda one: one.replicas == 1)


def test_what_the_quota_no_longer_feeds_goes_at_once() -> None:
    loop = Loop(replace(QUICK, down=Direction(600, 1, 600)), replicas=5)
    one = loop.tick(signals(queued=200))
    assert (one.replicas, one.limited_by) == (3, LimitedBy.QUOTA)


def test_a_cut_by_the_quota_goes_no_further_than_the_quota() -> None:
    one = Loop(QUICK, replicas=5).tick(signals(queued=1))
    assert (one.replicas, one.limited_by) == (3, LimitedBy.QUOTA)
    assert one.message.endswith("1 wanted, 3 for now: more were wanted within 60 s")


def test_down_only_when_fewer_were_wanted_for_the_whole_window() -> None:
    loop = Loop(QUICK, replicas=3)
    loop.tick(signals(queued=200))
    assert [(one.replicas, one.limited_by) for one in loop.ticks(signals(), 50)] == [(3, LimitedBy.RATE)] * 5
    assert loop.tick(signals()).replicas == 1


def test_one_busy_moment_begins_the_window_anew() -> None:
    loop = Loop(QUICK, replicas=3)
    list(loop.ticks(signals(), 40))
    loop.tick(signals(queued=200))
    assert {one.replicas for one in loop.ticks(signals(), 50)} == {3}


def test_up_after_its_window() -> None:
    loop = Loop(replace(QUICK, up=Direction(30, 8, 15)))
    loop.tick(signals())
    assert [one.replicas for one in loop.ticks(signals(queued=200), 40)] == [1, 1, 3, 3]


def test_the_rate_of_change_both_ways() -> None:
    loop = Loop(Spec(max_replicas=8, up=Direction(0, 2, 15), down=Direction(0, 1, 30)))
    wide = signals(queued=200, effective_rpm=600.0)
    assert [one.replicas for one in loop.ticks(wide, 60)] == [3, 3, 5, 5, 7, 7]
    assert loop.decisions[0][2].limited_by is LimitedBy.RATE
    assert [one.replicas for one in loop.ticks(signals(effective_rpm=600.0), 70)] == [6, 6, 6, 5, 5, 5, 4]


def test_little_more_load_is_no_reason() -> None:
    assert Loop(QUICK, replicas=2).tick(signals(queued=9, slots=4, effective_rpm=600.0)).replicas == 3
    patient = replace(QUICK, tolerance=0.2)
    assert Loop(patient, replicas=2).tick(signals(queued=9, slots=4, effective_rpm=600.0)).replicas == 2


def test_little_more_quota_is_no_reason_but_little_less_is() -> None:
    busy = {"queued": 200, "slots": 4}
    assert Loop(QUICK, replicas=2).tick(signals(**busy, effective_rpm=50.0)).replicas == 2  # feeds 2.08
    assert Loop(QUICK, replicas=3).tick(signals(**busy, effective_rpm=47.0)).replicas == 2  # feeds 1.96


@pytest.mark.parametrize("queued", [0, 200])
def test_missing_signals_hold(queued: int) -> None:
    loop = Loop(QUICK, replicas=3)
    loop.tick(signals(queued=queued))
    held = [(one.replicas, one.limited_by, one.fresh, one.n_demand) for one in loop.ticks(None, 600)]
    assert held == [(3, LimitedBy.SIGNALS, False, None)] * 60


def test_after_missing_signals_down_waits_for_its_whole_window() -> None:
    loop = Loop(QUICK, replicas=3)
    list(loop.ticks(signals(), 30))
    list(loop.ticks(None, 30))
    assert loop.until(signals(), lambda one: one.replicas == 1) == 60


@pytest.mark.parametrize("age_s", [31.0, -31.0, float("nan"), float("inf")])
def test_stale_signals_are_missing_ones(age_s: float) -> None:
    one = decide(QUICK, Observed(2, 2), signals(queued=200, time=START_S - age_s), Memory(), START_S)
    assert (one.replicas, one.limited_by) == (2, LimitedBy.SIGNALS)


def test_without_signals_a_new_maximum_counts_all_the_same() -> None:
    one = Loop(replace(QUICK, max_replicas=2), replicas=3).tick(None)
    assert (one.replicas, one.limited_by) == (2, LimitedBy.MAX)
    one = Loop(replace(QUICK, min_replicas=2), replicas=0).tick(None)
    assert (one.replicas, one.limited_by) == (2, LimitedBy.MIN)


def test_a_fresh_memory_waits_for_a_window_before_it_removes_anything() -> None:
    loop = Loop(QUICK, replicas=3)
    assert loop.until(signals(), lambda one: one.replicas < 3) == 70


def test_a_loop_that_stood_still_begins_its_windows_anew() -> None:
    loop = Loop(QUICK, replicas=3)
    list(loop.ticks(signals(), 50))
    assert loop.tick(signals(), after_s=40).replicas == 3
    assert loop.until(signals(), lambda one: one.replicas < 3) == 60


def test_a_clock_that_was_set_back_neither_hurries_nor_blocks() -> None:
    loop = Loop(QUICK, replicas=3)
    loop.tick(signals(), refused=1)
    loop.now -= 86_400
    assert loop.until(signals(queued=200), lambda one: one.replicas == 3) <= QUICK.backoff_s + 10


def test_a_pin_wins_over_the_signals() -> None:
    loop = Loop(replace(QUICK, pinned=6), replicas=1)
    one = loop.tick(signals(queued=200))
    assert (one.replicas, one.limited_by, one.message) == (6, LimitedBy.PINNED, "pinned to 6")
    assert Loop(replace(QUICK, pinned=0)).tick(None).replicas == 0


def test_a_pin_does_not_win_over_the_node_budget() -> None:
    one = Loop(replace(QUICK, pinned=6), budget=2).tick(signals())
    assert (one.replicas, one.limited_by) == (2, LimitedBy.NODE_BUDGET)
    assert one.message == "pinned to 6; the node budget has room for 2"


def test_when_a_pin_is_taken_out_the_windows_begin_with_it() -> None:
    loop = Loop(replace(QUICK, pinned=3))
    list(loop.ticks(signals(), 200))
    loop.spec = QUICK
    assert loop.until(signals(), lambda one: one.replicas == 1) == 60


def test_paused_leaves_it_as_it_is() -> None:
    one = Loop(replace(QUICK, paused=True, pinned=2, max_replicas=3), replicas=7, budget=1).tick(signals(queued=200))
    assert (one.replicas, one.limited_by) == (7, LimitedBy.PAUSED)


@pytest.mark.parametrize("seen", [signals(queued=200), None])
def test_the_node_budget_bounds_it_at_once(seen: object) -> None:
    one = Loop(QUICK, replicas=3, budget=2).tick(seen)  # type: ignore[arg-type]
    assert (one.replicas, one.limited_by) == (2, LimitedBy.NODE_BUDGET)


def test_the_node_budget_wins_over_the_minimum() -> None:
    assert Loop(replace(QUICK, min_replicas=3), budget=2).tick(signals()).replicas == 2


def test_what_could_not_be_had_is_not_asked_for_again_for_a_while() -> None:
    loop = Loop(QUICK, replicas=1)
    assert loop.tick(signals(queued=200)).replicas == 3
    one = loop.tick(signals(queued=200), refused=2, refused_by="exceeded quota: headrace")
    assert (one.replicas, one.limited_by) == (1, LimitedBy.NODE_BUDGET)
    assert one.message.endswith("more than 1 could not be had (exceeded quota: headrace), again in 120 s")
    assert loop.until(signals(queued=200), lambda one: one.replicas > 1) == 120


def test_a_refusal_that_is_told_late_counts_once() -> None:
    loop = Loop(QUICK, replicas=3)
    assert [loop.tick(signals(queued=200), refused=1).replicas for _ in range(5)] == [2] * 5


def test_the_minimum_is_asked_for_although_it_is_refused() -> None:
    loop = Loop(replace(QUICK, min_replicas=2), replicas=2)
    assert [loop.tick(signals(queued=200), refused=2).replicas for _ in range(5)] == [2] * 5


def test_the_length_of_a_few_answers_moves_nothing() -> None:
    loop = Loop(QUICK, replicas=3)
    loop.tick(signals(queued=200))
    uneven = [6.5, 9.5, 6.0, 10.0, 8.0, 7.0, 9.0] * 5
    assert {loop.tick(signals(queued=200, seconds_per_call=one)).replicas for one in uneven} == {3}


def test_calls_that_stay_longer_are_believed_in_minutes() -> None:
    loop = Loop(QUICK, replicas=3)
    loop.tick(signals(queued=200))
    # 16 s a call feed five; beyond 3.3 the tolerance lets a fourth in.
    assert 60 <= loop.until(signals(queued=200, seconds_per_call=16.0), lambda one: one.replicas == 5) <= 300


def test_what_calls_take_is_remembered_of_the_same_model() -> None:
    loop = Loop(QUICK)
    loop.tick(signals(queued=200))
    assert loop.tick(signals(queued=200, seconds_per_call=0.0)).n_quota == 3
    other = signals(queued=200, seconds_per_call=0.0)
    other = replace(other, models=(replace(other.models[0], model="turbo"),), default_model="turbo")
    assert loop.tick(other).n_quota is None
