from typing import Any

import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace_operator import conditions, custom_resource, status
from headrace_operator.conditions import Condition
from headrace_operator.model import Decision, LimitedBy, Memory, Observed
from headrace_operator.ports import Key, Telling
from headrace_operator.status import Obstacle, Round
from headrace_operator.workload import Workload

from tests.unit.headrace_operator.cases import START_S, signals
from tests.unit.headrace_operator.kube_objects import scaler

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def ready(*, true: bool, reason: str = "Because") -> Condition:
    return Condition(conditions.READY, true, reason, "why")


def test_the_time_is_that_of_the_last_change_of_the_status() -> None:
    first = conditions.merge([], [ready(true=True)], generation=1, now=EARLY)
    same = conditions.merge(first, [ready(true=True, reason="Another")], generation=2, now=LATE)
    other = conditions.merge(same, [ready(true=False)], generation=2, now=LATE)
    assert [one["lastTransitionTime"] for one in (*first, *same, *other)] == [EARLY, EARLY, LATE]
    assert [one["observedGeneration"] for one in (*first, *same, *other)] == [1, 2, 2]
    assert (same[0]["reason"], other[0]["status"]) == ("Another", "False")


def test_a_long_message_is_cut() -> None:
    (one,) = conditions.merge([], [Condition("Ready", True, "Because", "x" * 5000)], generation=1, now=EARLY)
    assert len(one["message"]) == conditions.MAX_MESSAGE


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, ready(true=True), False),
        (None, ready(true=False), True),
        (ready(true=True), ready(true=True), False),
        (ready(true=True), ready(true=False), True),
        (ready(true=False, reason="One"), ready(true=False, reason="Other"), True),
        (ready(true=False), ready(true=True), True),
    ],
)
def test_an_event_is_made_when_ready_turns(before: Condition | None, after: Condition, told: bool) -> None:
    previous = conditions.merge([], [before] if before else [], generation=1, now=EARLY)
    assert (conditions.transition(previous, [after]) is not None) is told


def decision(limited_by: LimitedBy = LimitedBy.DEMAND, *, replicas: int = 2, fresh: bool = True) -> Decision:
    return Decision(replicas, limited_by, "numbers", Memory(), n_demand=2, n_quota=None, fresh=fresh)


def seen(told: Decision | None = None, *, obstacle: Obstacle | None = None, change: int = 0, **spec: Any) -> Round:
    resource = custom_resource.parse(scaler(**spec))
    answers = {"10.0.0.1": pb.QueueSignalsResponse()}
    return Round(
        resource,
        Telling(answers, {"10.0.0.2:50053": "deadline exceeded"}),
        signals(queued=7, throttled_ratio=0.0312),
        Workload(Observed(1, 1), "app=executor", ()) if told else None,
        told,
        obstacle,
        change,
    )


def said(of: Round) -> dict[str, tuple[bool, str]]:
    return {one.type: (one.true, one.reason) for one in status.conditions_of(of)}


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (
            seen(decision()),
            {"Ready": (True, "Reconciled"), "ScalingActive": (True, "Scaling"), "SignalsFresh": (True, "Fresh")},
        ),
        (seen(decision(LimitedBy.PAUSED)), {"Ready": (True, "Reconciled"), "ScalingActive": (False, "Paused")}),
        (seen(decision(LimitedBy.PINNED)), {"Ready": (True, "Reconciled"), "ScalingActive": (False, "Pinned")}),
        (seen(decision(), dryRun=True), {"Ready": (True, "Reconciled"), "ScalingActive": (False, "DryRun")}),
        (
            seen(decision(LimitedBy.SIGNALS, fresh=False)),
            {"Ready": (True, "Reconciled"), "ScalingActive": (False, "SignalsNotFresh"), "SignalsFresh": (False, "Stale")},
        ),
        (
            seen(decision(), obstacle=Obstacle("FieldConflict", "kubectl has it")),
            {"Ready": (False, "FieldConflict"), "ScalingActive": (False, "FieldConflict"), "SignalsFresh": (True, "Fresh")},
        ),
        (seen(obstacle=Obstacle("TargetNotFound", "none")), {"Ready": (False, "TargetNotFound")}),
    ],
)
def test_each_state_has_its_conditions(of: Round, expected: dict[str, tuple[bool, str]]) -> None:
    assert said(of).items() >= expected.items()
    assert set(said(of)) == {"Ready", "ScalingActive", "SignalsFresh"}


def test_who_did_not_answer_is_named() -> None:
    (fresh,) = (one for one in status.conditions_of(seen(decision())) if one.type == conditions.SIGNALS_FRESH)
    assert fresh.message == "1 of 2 executors answered; 10.0.0.2:50053: deadline exceeded"


def test_the_status_has_the_numbers_of_the_model_that_bounds_the_scale() -> None:
    built = status.build(seen(decision()), {}, now=START_S)
    assert (built["queue"], built["effectiveRPM"], built["throttledPercent"]) == (7, 60, 3.1)
    assert (built["demand"], built["desiredReplicas"], built["limitedBy"]) == (2, 2, "Demand")
    assert "quota" not in built
    assert "effectiveRPM" not in status.build(seen(decision(), model="another"), {}, now=START_S)


def test_what_is_not_known_is_left_out_rather_than_zero() -> None:
    built = status.build(seen(obstacle=Obstacle("TargetNotFound", "none")), {}, now=START_S)
    assert not {"desiredReplicas", "limitedBy", "demand", "selector"} & set(built)


def test_the_time_of_the_last_change_stays() -> None:
    changed = status.build(seen(decision(), change=1), {}, now=START_S)
    assert changed["lastScaleTime"] == "1970-01-12T13:46:40Z"
    assert status.build(seen(decision()), changed, now=START_S + 60)["lastScaleTime"] == changed["lastScaleTime"]
    assert "lastScaleTime" not in status.build(seen(decision()), {}, now=START_S)


def test_a_round_that_finds_the_same_writes_the_same() -> None:
    first = status.build(seen(decision()), {}, now=START_S)
    assert status.build(seen(decision()), first, now=START_S + 3600) == first


def test_a_scaler_is_read_with_its_annotations() -> None:
    body = scaler(replicas=4, callsPerReplica=2)
    body["metadata"]["annotations"] = {"headrace.dev/paused": "true", "headrace.dev/take-over": "yes"}
    resource = custom_resource.parse(body)
    assert resource.key == Key("shop", "exec")
    assert (resource.spec.paused, resource.take_over) == (True, False)
    assert (resource.spec.pinned, resource.spec.calls_per_replica, resource.spec.max_age_s) == (4, 2, 30)
    assert (resource.spec.up.max_step, resource.spec.down.stabilization_s, resource.interval_s) == (2, 120, 5)
