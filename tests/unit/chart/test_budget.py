"""4 cores and 8 GiB, added up from what is rendered, with every pod that a rollout adds."""

import pytest

from tests.support import helm

CORES, MEBIBYTES = 4.0, 8 * 1024.0
REQUESTED_CORES = 2.0
ON_ONE_NODE = ("node", "node-simulated", "node-without-operator", "dev", "everything")


def cores(quantity: str | float) -> float:
    text = str(quantity)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def mebibytes(quantity: str) -> float:
    return float(quantity[:-2]) * {"Mi": 1, "Gi": 1024}[quantity[-2:]]


def most(objects: list[helm.Object], one: helm.Workload) -> int:
    """The most pods of a workload that there are at any moment."""
    if one.object["kind"] == "Pod":
        return 1
    spec = one.object["spec"]
    replicas = spec.get("replicas")
    for each in objects:
        target = each.get("spec", {}).get("targetRef") or each.get("spec", {}).get("scaleTargetRef")
        if target and target["name"] == one.object["metadata"]["name"]:
            assert replicas is None, "two would write the number of replicas"
            replicas = each["spec"]["maxReplicas"]
    surge = spec.get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", 0)
    return int(replicas) + int(surge)


def total(objects: list[helm.Object], kind: str) -> tuple[float, float]:
    """Cores and MiB of all pods together."""
    pods = [(most(objects, one), one.container["resources"][kind]) for one in helm.workloads(objects)]
    return sum(n * cores(each["cpu"]) for n, each in pods), sum(n * mebibytes(each["memory"]) for n, each in pods)


@pytest.mark.parametrize("executors", [1, 2, 3])
@pytest.mark.parametrize("preset", ON_ONE_NODE)
def test_all_pods_together_fit_the_node(preset: str, executors: int) -> None:
    values = {"executor.scaling.maxReplicas": executors, "executor.replicas": executors}
    objects = helm.preset(preset, values)

    cpu, memory = total(objects, "limits")
    assert cpu <= CORES + 1e-9
    assert memory <= MEBIBYTES
    assert total(objects, "requests")[0] <= REQUESTED_CORES


@pytest.mark.parametrize("preset", helm.PRESETS)
def test_the_quota_is_the_budget_and_has_room_for_all_pods(preset: str) -> None:
    objects = helm.preset(preset)
    hard = helm.named(objects, "ResourceQuota", "budget")["spec"]["hard"]

    for kind in ("limits", "requests"):
        cpu, memory = total(objects, kind)
        assert cpu <= cores(hard[f"{kind}.cpu"])
        assert memory <= mebibytes(hard[f"{kind}.memory"])


@pytest.mark.parametrize("preset", ON_ONE_NODE)
def test_the_quota_of_one_node_is_what_is_promised(preset: str) -> None:
    hard = helm.named(helm.preset(preset), "ResourceQuota", "budget")["spec"]["hard"]

    assert (cores(hard["limits.cpu"]), mebibytes(hard["limits.memory"])) == (CORES, MEBIBYTES)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"executor.scaling.maxReplicas": 4}, "executor 4 × 500m"),
        ({"edge.replicas": 2}, "edge 3 × 400m"),
        ({"router.maxSurge": 1}, "router 2 × 200m"),
        ({"postgres.resources.limits.memory": "5Gi"}, "budget.limits.memory"),
        ({"executor.resources.requests.cpu": "500m"}, "budget.requests.cpu"),
    ],
)
def test_values_that_do_not_fit_are_refused_with_what_to_change(values: dict[str, object], named: str) -> None:
    with pytest.raises(helm.Refused) as refused:
        helm.preset("node", values)

    said = str(refused.value)
    assert named in said
    assert "lower executor.scaling.maxReplicas or a part's replicas" in said
    assert "or raise budget." in said


def test_a_larger_node_takes_more_executors() -> None:
    values = {"executor.scaling.maxReplicas": 6, "budget.limits": {"cpu": 6, "memory": "12Gi"}}
    values["budget.requests"] = {"cpu": 3, "memory": "8Gi"}

    assert total(helm.preset("node", values), "limits")[0] > CORES


def test_a_budget_that_is_not_enforced_is_no_quota() -> None:
    objects = helm.preset("node", {"budget.enforce": False, "executor.scaling.maxReplicas": 9})

    assert not [one for one in objects if one["kind"] == "ResourceQuota"]
