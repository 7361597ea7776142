"""What the cluster has no room for is not asked for."""

from typing import Any

from tests.kube.support.api import SCALERS, Api, until
from tests.kube.support.executors import Executors
from tests.kube.support.objects import pods, replicas, scaler, status
from tests.kube.support.operator import Operator
from tests.kube.support.waits import rounds, wait_for_replicas


async def quota(api: Api, namespace: str, **hard: str) -> None:
    """A ResourceQuota whose usage has been counted."""
    path = f"api/v1/namespaces/{namespace}/resourcequotas"
    names = {name.replace("_", "."): value for name, value in hard.items()}
    await api.create(path, {"metadata": {"name": "node"}, "spec": {"hard": names}})

    async def counted() -> bool:
        found = (await api.get(f"{path}/node")).get("status", {}).get("used", {})
        return set(found) == set(names) and all(value != "0" for value in found.values())

    await until(counted, what="the quota's count")


async def one_pod(api: Api, namespace: str) -> None:
    async def there() -> bool:
        return len(await pods(api, namespace)) == 1

    await until(there, what="the first pod")


async def test_the_quota_on_limits_is_the_node_budget(
    api: Api, namespace: str, executors: Executors, operator: Operator
) -> None:
    await one_pod(api, namespace)
    await quota(api, namespace, limits_cpu="4", limits_memory="1200Mi")  # two of 512 Mi
    executors.queued = 100
    await api.create(SCALERS.format(namespace), scaler(executors.target))
    await wait_for_replicas(api, namespace, 2)
    await rounds(operator)
    seen = await status(api, namespace)
    assert (seen["desiredReplicas"], seen["limitedBy"]) == (2, "NodeBudget")
    assert await replicas(api, namespace) == 2
    assert "the node budget has room for 2" in seen["message"]


async def test_what_was_refused_is_not_asked_for_again_at_once(
    api: Api, namespace: str, executors: Executors, operator: Operator
) -> None:
    """A quota on objects that no pod's limits foretell: only the refusal tells of it."""
    await one_pod(api, namespace)
    await quota(api, namespace, requests_cpu="1", **{"count/pods": "10"})
    path = f"api/v1/namespaces/{namespace}/limitranges"
    body = {"limits": [{"type": "Pod", "max": {"cpu": "400m"}}]}
    await api.create(path, {"metadata": {"name": "small"}, "spec": body})
    executors.queued = 8
    await api.create(SCALERS.format(namespace), scaler(executors.target, backoffSeconds=600))
    await wait_for_replicas(api, namespace, 2)

    async def given_up() -> Any:
        seen = await status(api, namespace)
        return seen if seen.get("limitedBy") == "NodeBudget" and seen["desiredReplicas"] == 1 else None

    seen = await until(given_up, what="the refusal")
    assert "could not be had" in seen["message"]
    assert "FailedCreate" in seen["message"]
    await wait_for_replicas(api, namespace, 1)
    await rounds(operator, 3)
    assert await replicas(api, namespace) == 1


async def test_pods_that_no_node_takes_count_as_refused(
    api: Api, namespace: str, executors: Executors, operator: Operator, made: str
) -> None:
    executors.queued = 8
    await wait_for_replicas(api, namespace, 2)

    async def both() -> Any:
        found = await pods(api, namespace)
        return found if len(found) == 2 else None

    found = await until(both, what="both pods")
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: Insufficient cpu"}
    path = f"api/v1/namespaces/{namespace}/pods/{found[1]['metadata']['name']}/status"
    await api.merge(path, {"status": {"conditions": [said]}})

    async def given_up() -> Any:
        seen = await status(api, namespace)
        return seen if seen.get("limitedBy") == "NodeBudget" else None

    seen = await until(given_up, what="the refusal")
    assert "Unschedulable: 0/1 nodes: Insufficient cpu" in seen["message"]
    await wait_for_replicas(api, namespace, 1)
