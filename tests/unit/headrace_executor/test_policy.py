"""The durable half's decisions."""

import pytest
from headrace_executor import policy
from headrace_executor.policy import Expectation, Fleet, Pace, QueueLimits, Told
from hypothesis import given
from hypothesis import strategies as st

LIMITS = QueueLimits(total=100, per_tenant=10)
FLEET = Fleet(slots=4, seconds_per_run=2.0)


@pytest.mark.parametrize(
    ("queued", "of_tenant", "says"),
    [
        (0, 0, None),
        (99, 9, None),
        (100, 0, "100 runs wait"),
        (10, 10, "10 runs of this tenant"),
        (500, 500, "500 runs wait"),
    ],
)
def test_a_run_is_admitted_while_both_queues_have_room(queued: int, of_tenant: int, says: str | None) -> None:
    refusal = policy.admit(queued=queued, queued_of_tenant=of_tenant, limits=LIMITS, fleet=FLEET)
    assert (refusal is None) == (says is None)
    if refusal is not None and says is not None:
        assert says in refusal.message


@given(
    queued=st.integers(100, 10**6),
    slots=st.integers(0, 1000),
    seconds=st.floats(0, 10_000, allow_nan=False),
)
def test_a_refused_caller_is_told_a_time_within_bounds(queued: int, slots: int, seconds: float) -> None:
    refusal = policy.admit(queued=queued, queued_of_tenant=0, limits=LIMITS, fleet=Fleet(slots, seconds))
    assert refusal is not None
    assert policy.MIN_RETRY_S <= refusal.retry_after_s <= policy.MAX_RETRY_S
    assert refusal.retry_after_s == int(refusal.retry_after_s)


@given(position=st.integers(1, 10_000), fleet=st.builds(Fleet, st.integers(1, 100), st.floats(0.1, 100)))
def test_who_is_further_back_never_waits_less(position: int, fleet: Fleet) -> None:
    assert policy.expected_wait_s(position, fleet) <= policy.expected_wait_s(position + 1, fleet)


def test_a_wait_is_guessed_before_any_run_has_finished() -> None:
    assert policy.expected_wait_s(1, Fleet(1, 0.0)) == policy.GUESSED_SECONDS_PER_RUN


@pytest.mark.parametrize(
    ("pace", "expected"),
    [
        (Pace(rpm=0, wait_s=0, busy=False, calls_per_run=2), Expectation(5.0, "slots")),
        (Pace(rpm=600, wait_s=0, busy=False, calls_per_run=2), Expectation(5.0, "slots")),
        (Pace(rpm=60, wait_s=3, busy=False, calls_per_run=2), Expectation(21.0, "quota")),
        (Pace(rpm=600, wait_s=1, busy=True, calls_per_run=2), Expectation(5.0, "quota")),
    ],
    ids=["no limit", "slots are scarcer", "the quota is scarcer", "calls wait at the gate"],
)
def test_a_waiting_run_waits_for_whatever_is_scarcer(pace: Pace, expected: Expectation) -> None:
    assert policy.expectation(10, FLEET, pace) == expected


@pytest.mark.parametrize(("takeovers", "fails"), [(0, False), (1, False), (2, False), (3, True), (9, True)])
def test_the_third_takeover_of_a_step_is_the_runs_end(takeovers: int, fails: bool) -> None:
    assert policy.too_many_takeovers(takeovers) is fails


@pytest.mark.parametrize(
    ("told", "position", "worth"),
    [(0, 500, True), (500, 500, False), (500, 490, False), (500, 450, True), (11, 10, True), (3, 2, True), (2, 2, False)],
)
def test_a_place_is_told_first_near_the_front_and_when_it_moved_by_a_tenth(told: int, position: int, worth: bool) -> None:
    assert policy.worth_noticing(told=told, position=position) is worth


@pytest.mark.parametrize(
    ("position", "wait_s", "changed"),
    [(30, 30, False), (30, 20.1, False), (30, 39.9, False), (30, 9, True), (30, 41, True), (29, 30, False), (27, 30, True)],
)
def test_a_wait_at_the_gate_has_changed_with_its_place_or_when_its_end_moves_by_a_quarter(
    position: int, wait_s: float, changed: bool
) -> None:
    told = Told(at_s=1000.0, position=30, wait_s=40.0)
    assert policy.wait_changed(told, now_s=1010.0, position=position, wait_s=wait_s, quiet_s=2.0) is changed


def test_the_end_of_a_short_wait_may_move_by_the_pace_of_notices() -> None:
    told = Told(at_s=1000.0, position=1, wait_s=1.0)
    assert not policy.wait_changed(told, now_s=1000.0, position=1, wait_s=2.9, quiet_s=2.0)
    assert policy.wait_changed(told, now_s=1000.0, position=1, wait_s=3.1, quiet_s=2.0)
