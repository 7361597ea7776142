"""A real operator scales by real gRPC signals."""

from typing import Any

from tests.kube.conftest import Start
from tests.kube.support.api import DEPLOYMENTS, SCALERS, Api, until
from tests.kube.support.executors import Executors, open_executors
from tests.kube.support.objects import condition, make_ready, pods, replicas, scaler, status
from tests.kube.support.operator import Operator
from tests.kube.support.waits import rounds, wait_for, wait_for_replicas

PAUSED = "headrace.dev/paused"
COST = "controller.kubernetes.io/pod-deletion-cost"


async def test_the_queue_adds_executors_and_the_status_says_why(
    api: Api, namespace: str, executors: Executors, operator: Operator, made: str
) -> None:
    await wait_for(api, namespace, "Ready", "True", "Reconciled")
    executors.queued = 11
    await wait_for_replicas(api, namespace, 3)

    async def reported() -> Any:
        seen = await status(api, namespace)
        return seen if seen.get("replicas") == 3 else None

    seen = await until(reported, what="the status")
    assert {key: seen[key] for key in ("desiredReplicas", "queue", "demand", "quota", "limitedBy", "selector")} == {
        "desiredReplicas": 3,
        "queue": 11,
        "demand": 3,
        "quota": 25,
        "limitedBy": "Demand",
        "selector": "app=executor",
    }
    assert (seen["effectiveRPM"], seen["throttledPercent"]) == (600, 0)
    assert "lastScaleTime" in seen
    said = {one["type"]: (one["status"], one["reason"]) for one in seen["conditions"]}
    assert said == {
        "Ready": ("True", "Reconciled"),
        "ScalingActive": ("True", "Scaling"),
        "SignalsFresh": ("True", "Fresh"),
    }
    assert {one["observedGeneration"] for one in seen["conditions"]} == {seen["observedGeneration"]} == {1}
    header, line = (await api.kubectl("get", "exs", namespace=namespace)).splitlines()
    assert header.split() == ["NAME", "DESIRED", "READY", "QUEUE", "RPM", "429", "%", "LIMITED", "BY", "AGE"]
    assert line.split()[:7] == ["exec", "3", "0", "11", "600", "0", "Demand"]


async def test_a_change_makes_an_event_and_metrics_and_a_log_line_with_its_numbers(
    api: Api, namespace: str, executors: Executors, operator: Operator, made: str
) -> None:
    executors.queued = 8
    await wait_for_replicas(api, namespace, 2)

    async def told() -> Any:
        events = (await api.get(f"apis/events.k8s.io/v1/namespaces/{namespace}/events"))["items"]
        return [one for one in events if one["reason"] == "ScaledUp"]

    (event,) = await until(told, what="the event")
    assert event["note"].startswith("1 -> 2, limited by Demand: ")
    assert "8 runs / 4 slots" in event["note"]
    assert (event["regarding"]["kind"], event["regarding"]["name"]) == ("ExecutorScaler", "exec")
    described = await api.kubectl("describe", "executorscaler", "exec", namespace=namespace)
    assert "ScaledUp" in described

    async def measured() -> bool:
        return f'headrace_operator_desired_replicas{{name="exec",namespace="{namespace}"}} 2.0' in await operator.metrics()

    await until(measured, what="the metric")
    lines = await operator.metrics()
    assert f'headrace_operator_limited_by{{limited_by="Demand",name="exec",namespace="{namespace}"}} 1.0' in lines
    assert f'headrace_operator_limited_by{{limited_by="Quota",name="exec",namespace="{namespace}"}} 0.0' in lines
    decided = next(line for line in operator.events("decided") if line["replicas"] == 2)
    assert {key: decided[key] for key in ("queued", "slots", "demand", "effective_rpm", "was")} == {
        "queued": 8,
        "slots": 4,
        "demand": 2,
        "effective_rpm": 600.0,
        "was": 1,
    }


async def test_the_quota_bounds_what_the_queue_wants(
    api: Api, namespace: str, executors: Executors, operator: Operator, made: str
) -> None:
    executors.queued, executors.rpm = 100, 45.0  # 45 / 60 × 8 s / 4 calls × 1.25 = 1.9 executors
    await wait_for_replicas(api, namespace, 2)
    await rounds(operator)
    seen = await status(api, namespace)
    assert (seen["desiredReplicas"], seen["quota"], seen["limitedBy"], seen["demand"]) == (2, 2, "Quota", 25)


async def test_signals_that_fail_hold_the_scale(
    api: Api, namespace: str, executors: Executors, operator: Operator, made: str
) -> None:
    executors.queued = 12
    await wait_for_replicas(api, namespace, 3)
    executors.silent, executors.queued = True, 0
    message = await wait_for(api, namespace, "SignalsFresh", "False", "Stale")
    assert "0 of 1 executors answered" in message
    assert "silent" in message
    await rounds(operator)
    seen = await status(api, namespace)
    assert (seen["limitedBy"], seen["desiredReplicas"], await replicas(api, namespace)) == ("Signals", 3, 3)
    assert (await condition(api, namespace, "Ready"))[0] == "True"
    executors.silent = False
    await wait_for_replicas(api, namespace, 1)


async def test_a_pause_leaves_the_deployment_alone_until_it_ends(
    api: Api, namespace: str, executors: Executors, operator: Operator, made: str
) -> None:
    await api.kubectl("annotate", "executorscaler/exec", f"{PAUSED}=true", namespace=namespace)
    message = await wait_for(api, namespace, "ScalingActive", "False", "Paused")
    assert message == f"to go on: kubectl annotate executorscaler/exec {PAUSED}-"
    executors.queued = 20
    await rounds(operator)
    assert await replicas(api, namespace) == 1
    assert (await condition(api, namespace, "Ready"))[0] == "True"
    await api.kubectl("annotate", "executorscaler/exec", f"{PAUSED}-", namespace=namespace)
    await wait_for_replicas(api, namespace, 5)


async def test_kubectl_scale_pins_until_it_is_taken_back(
    api: Api, namespace: str, executors: Executors, operator: Operator, made: str
) -> None:
    executors.queued = 8
    await wait_for_replicas(api, namespace, 2)
    await api.kubectl("scale", "executorscaler/exec", "--replicas=4", namespace=namespace)
    await wait_for_replicas(api, namespace, 4)
    message = await wait_for(api, namespace, "ScalingActive", "False", "Pinned")
    command = message.partition(": ")[2]
    assert command.startswith("kubectl patch executorscaler/exec ")
    await api.kubectl(*command.replace("'", "").split()[1:], namespace=namespace)
    await wait_for_replicas(api, namespace, 2)


async def test_a_dry_run_tells_what_it_would_do(api: Api, namespace: str, executors: Executors, operator: Operator) -> None:
    executors.queued = 20
    await api.create(SCALERS.format(namespace), scaler(executors.target, dryRun=True))
    await wait_for(api, namespace, "ScalingActive", "False", "DryRun")
    await rounds(operator)
    seen = await status(api, namespace)
    assert (seen["desiredReplicas"], seen["replicas"], await replicas(api, namespace)) == (5, 1, 1)
    assert "lastScaleTime" not in seen


async def test_the_idle_go_first(api: Api, namespace: str, operator: Operator) -> None:
    async with open_executors(3) as fleet:
        fleet.queued = 12
        await api.create(SCALERS.format(namespace), scaler(fleet.target))
        await wait_for_replicas(api, namespace, 3)

        async def all_made() -> Any:
            found = await pods(api, namespace)
            return found if len(found) == 3 else None

        made = await until(all_made, what="three pods")
        for pod, one in zip(made, fleet.each, strict=True):
            await make_ready(api, namespace, pod["metadata"]["name"], one.address)
        busy = fleet.each[1]
        busy.running_here, fleet.queued, fleet.running = 2, 0, 2
        await wait_for_replicas(api, namespace, 1)

        async def one_left() -> Any:
            found = await pods(api, namespace)
            return found if len(found) == 1 else None

        (left,) = await until(one_left, what="one pod")
        assert left["status"]["podIP"] == busy.address
        assert left["metadata"]["annotations"][COST] == "2"


async def test_deleting_it_leaves_the_deployment_as_it_is(
    api: Api, namespace: str, executors: Executors, operator: Operator, made: str
) -> None:
    executors.queued = 12
    await wait_for_replicas(api, namespace, 3)
    assert "finalizers" not in (await api.get(made))["metadata"]
    await api.kubectl("delete", "executorscaler/exec", "--timeout=10s", namespace=namespace)

    async def let_go() -> bool:
        return not (await operator.vitals())[1]["scalers"]

    await until(let_go, what="the loop's end")
    assert await replicas(api, namespace) == 3
    assert f'name="exec",namespace="{namespace}"' not in await operator.metrics()


async def test_kopf_writes_nothing(api: Api, namespace: str, executors: Executors, operator: Operator, made: str) -> None:
    await wait_for(api, namespace, "Ready", "True", "Reconciled")
    found = await api.get(made)
    assert "annotations" not in found["metadata"]
    managers = {
        (one["manager"], one["operation"], one.get("subresource", "")) for one in found["metadata"]["managedFields"]
    }
    assert ("headrace-operator", "Apply", "status") in managers
    assert all(sub for manager, _, sub in managers if manager == "headrace-operator")


async def test_the_operator_owns_one_field_of_the_deployment(
    api: Api, namespace: str, executors: Executors, operator: Operator, made: str
) -> None:
    executors.queued = 8
    await wait_for_replicas(api, namespace, 2)
    found = await api.get(f"{DEPLOYMENTS.format(namespace)}/executor")
    (own,) = (one for one in found["metadata"]["managedFields"] if one["manager"] == "headrace-operator")
    assert (own["operation"], own["subresource"], own["fieldsV1"]) == ("Apply", "scale", {"f:spec": {"f:replicas": {}}})


async def test_a_restart_keeps_the_scale(api: Api, namespace: str, executors: Executors, start: Start) -> None:
    """Killed when its decision has reached the API server and its status has perhaps not."""
    executors.queued = 12
    await api.create(SCALERS.format(namespace), scaler(executors.target, scaleDown={"stabilizationSeconds": 600}))
    async with start() as first:
        await wait_for_replicas(api, namespace, 3)
        await first.kill()
    executors.queued = 0
    generation = (await api.get(f"{DEPLOYMENTS.format(namespace)}/executor"))["metadata"]["generation"]
    async with start() as second:
        await rounds(second, 3)
        seen = await status(api, namespace)
        assert (seen["desiredReplicas"], seen["limitedBy"]) == (3, "Rate")
        found = await api.get(f"{DEPLOYMENTS.format(namespace)}/executor")
        assert (found["metadata"]["generation"], found["spec"]["replicas"]) == (generation, 3)
