from typing import Any

import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace_operator import workload

from tests.unit.headrace_operator.kube_objects import LIMITS, deployment, pod, quota

FAILED = {
    "type": "ReplicaFailure",
    "status": "True",
    "reason": "FailedCreate",
    "message": 'pods "executor-1" is forbidden: exceeded quota: node',
}


def pods(count: int) -> list[Any]:
    return [pod(f"executor-{n}") for n in range(count)]


def budget(quotas: list[Any], *, count: int = 1, **template: Any) -> int | None:
    return workload.observe(deployment(replicas=count, **template), pods(count), quotas).observed.budget


def test_without_a_quota_nothing_bounds_it() -> None:
    assert budget([]) is None
    assert budget([quota(hard={"services": "5"}, used={"services": "5"})]) is None


@pytest.mark.parametrize(
    ("hard", "used", "expected"),
    [
        ({"limits.cpu": "4"}, {"limits.cpu": "1"}, 1 + 6),
        ({"limits.cpu": "4", "limits.memory": "2Gi"}, {"limits.cpu": "1", "limits.memory": "512Mi"}, 1 + 3),
        ({"limits.cpu": "4"}, {"limits.cpu": "3600m"}, 1),
        ({"limits.cpu": "4"}, {"limits.cpu": "5"}, 1),
        ({"requests.cpu": "4"}, {"requests.cpu": "3"}, 1 + 2),
        ({"cpu": "4"}, {"cpu": "3"}, 1 + 2),
        ({"pods": "4"}, {"pods": "2"}, 1 + 2),
        ({"limits.memory": "1200Mi"}, {}, 1 + 2),
        ({"limits.ephemeral-storage": "1"}, {}, None),
    ],
)
def test_the_budget_is_what_is_there_and_what_has_room(
    hard: dict[str, str], used: dict[str, str], expected: int | None
) -> None:
    assert budget([quota(hard=hard, used=used)]) == expected


def test_the_tightest_quota_counts_and_those_of_other_pods_do_not() -> None:
    tight = {"hard": {"limits.cpu": "1"}, "used": {"limits.cpu": "500m"}}
    wide = quota(hard={"limits.cpu": "9"}, used={"limits.cpu": "500m"})
    assert budget([wide, quota(**tight)]) == 2
    assert budget([wide, quota(**tight, scopes=["BestEffort"])]) == 18
    assert budget([wide, quota(**tight, scopeSelector={"matchExpressions": []})]) == 18
    assert budget([wide, quota(**tight, scopes=["NotTerminating"])]) == 2


def test_init_containers_and_sidecars_need_room_too() -> None:
    one = {"containers": [{"resources": {"limits": LIMITS}}]}
    starting = {**one, "initContainers": [{"resources": {"limits": {"cpu": "2"}}}]}
    beside = {**one, "initContainers": [{"restartPolicy": "Always", "resources": {"limits": {"cpu": "500m"}}}]}
    free = [quota(hard={"limits.cpu": "4"}, used={"limits.cpu": "0"})]
    assert [budget(free, **template) for template in (one, starting, beside)] == [1 + 8, 1 + 2, 1 + 4]


def test_a_usage_that_lags_behind_takes_nothing_away() -> None:
    """A pod has gone and is still counted: the two that are left must not become the budget."""
    full = [quota(hard={"limits.cpu": "1500m"}, used={"limits.cpu": "1500m"})]
    assert workload.observe(deployment(replicas=3), pods(2), full).observed.budget == 3


def test_replicas_that_were_not_created_are_refused() -> None:
    seen = workload.observe(deployment(replicas=5, conditions=[FAILED]), pods(3), []).observed
    assert (seen.refused, seen.refused_by) == (2, 'FailedCreate: pods "executor-1" is forbidden: exceeded quota: node')
    assert workload.observe(deployment(replicas=5), pods(3), []).observed.refused == 0
    over = {**FAILED, "status": "False"}
    assert workload.observe(deployment(replicas=5, conditions=[over]), pods(3), []).observed.refused == 0


def test_a_pod_that_leaves_gives_its_room_back() -> None:
    """As in a rollout without surge: the new one is refused until the old one has gone."""
    rollout = [*pods(2), pod("old", leaving=True)]
    assert workload.observe(deployment(replicas=3, conditions=[FAILED]), rollout, []).observed.refused == 0
    waiting = [*pods(2), pod("new", unschedulable=True), pod("old", leaving=True)]
    assert workload.observe(deployment(replicas=3), waiting, []).observed.refused == 0


@pytest.mark.parametrize("reason", sorted(workload.WAITING))
def test_pods_that_do_not_come_to_run_are_refused(reason: str) -> None:
    seen = workload.observe(deployment(replicas=2, ready=1), [*pods(1), pod("bad", waiting=reason)], []).observed
    assert (seen.refused, seen.refused_by, seen.ready) == (1, f"{reason}: back-off 5m0s", 1)


def test_pods_that_start_or_have_ended_are_not() -> None:
    ended = {**pod("ended", waiting="CrashLoopBackOff"), "status": {"phase": "Failed"}}
    found = workload.observe(deployment(replicas=2), [*pods(1), pod("new", waiting="ContainerCreating"), ended], [])
    assert found.observed.refused == 0
    assert len(found.pods) == 2


def test_a_pod_that_no_node_takes_is_refused() -> None:
    seen = workload.observe(deployment(replicas=2), [*pods(1), pod("big", unschedulable=True)], []).observed
    assert (seen.refused, seen.refused_by) == (1, "Unschedulable: Insufficient cpu")


def test_a_deployment_without_a_status_is_read() -> None:
    fresh = deployment(replicas=1)
    del fresh["status"]
    assert workload.observe(fresh, [], []).observed.ready == 0


def test_selectors_read_as_queries() -> None:
    body = deployment()
    body["spec"]["selector"]["matchExpressions"] = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "new", "operator": "Exists"},
        {"key": "zone", "operator": "NotIn", "values": ["c"]},
    ]
    assert workload.selector_of(body) == "app=executor,tier in (a,b),!old,new,zone notin (c)"


def test_costs_are_the_runs_at_hand_and_only_changes_are_written() -> None:
    answers = {"10.0.0.1": pb.QueueSignalsResponse(running_here=3), "10.0.0.2": pb.QueueSignalsResponse()}
    found = [pod("a", ip="10.0.0.1", cost="3"), pod("b", ip="10.0.0.2", cost="2"), pod("c", ip="10.0.0.3"), pod("d")]
    assert workload.deletion_costs(found, answers, unknown=4) == {"b": 0, "c": 4, "d": 4}
