"""Who may set the number of executors: the operator, unless a human has taken it."""

from typing import Any

from tests.kube.conftest import Start, make_namespace
from tests.kube.support.api import DEPLOYMENTS, SCALERS, Api, until
from tests.kube.support.executors import Executors, open_executors
from tests.kube.support.objects import condition, deployment, replicas, scaler, status
from tests.kube.support.operator import Operator, allow, run_operator
from tests.kube.support.waits import rounds, wait_for, wait_for_replicas


async def test_what_a_human_takes_stays_his_until_he_hands_it_over(
    api: Api, namespace: str, executors: Executors, operator: Operator, made: str
) -> None:
    executors.queued = 8
    await wait_for_replicas(api, namespace, 2)
    await api.kubectl("scale", "deployment/executor", "--replicas=4", namespace=namespace)
    message = await wait_for(api, namespace, "Ready", "False", "FieldConflict")
    assert message.startswith("spec.replicas of Deployment executor belongs to kubectl, so it was not set to 2; ")
    assert (await condition(api, namespace, "ScalingActive"))[:2] == ("False", "FieldConflict")
    await rounds(operator)
    assert await replicas(api, namespace) == 4

    async def warned() -> Any:
        events = (await api.get(f"apis/events.k8s.io/v1/namespaces/{namespace}/events"))["items"]
        return [one for one in events if one["reason"] == "FieldConflict"]

    (event,) = await until(warned, what="the warning")
    assert event["type"] == "Warning"
    command = message.rpartition("hand it over: ")[2]
    assert command == "kubectl annotate executorscaler/exec headrace.dev/take-over=true"
    await api.kubectl(*command.split()[1:], namespace=namespace)
    await wait_for_replicas(api, namespace, 2)
    await wait_for(api, namespace, "Ready", "True", "Reconciled")


async def test_a_conflict_is_over_when_both_want_the_same(
    api: Api, namespace: str, executors: Executors, operator: Operator, made: str
) -> None:
    executors.queued = 8
    await wait_for_replicas(api, namespace, 2)
    await api.kubectl("scale", "deployment/executor", "--replicas=4", namespace=namespace)
    await wait_for(api, namespace, "Ready", "False", "FieldConflict")
    executors.queued = 16
    await wait_for(api, namespace, "Ready", "True", "Reconciled")
    assert (await status(api, namespace))["desiredReplicas"] == 4


async def test_a_deployment_that_comes_later_is_found(
    api: Api, namespace: str, executors: Executors, operator: Operator
) -> None:
    await api.create(SCALERS.format(namespace), scaler(executors.target, deployment="later"))
    message = await wait_for(api, namespace, "Ready", "False", "TargetNotFound")
    assert message == "there is no Deployment later"
    executors.queued = 8
    await api.create(DEPLOYMENTS.format(namespace), deployment(name="later"))
    await wait_for_replicas(api, namespace, 2, name="later")
    await wait_for(api, namespace, "Ready", "True", "Reconciled")


async def test_of_two_for_one_deployment_the_older_scales_it(
    api: Api, namespace: str, executors: Executors, operator: Operator, made: str
) -> None:
    await wait_for(api, namespace, "Ready", "True", "Reconciled")
    async with open_executors() as others:
        others.queued = 100
        # Its name is the first by the alphabet, and its second of creation may be the same.
        await _later_than(api, made)
        await api.create(SCALERS.format(namespace), scaler(others.target, name="another"))
        message = await wait_for(api, namespace, "Ready", "False", "TargetTaken", name="another")
        assert message == "ExecutorScaler exec has Deployment executor"
        await rounds(operator)
        assert await replicas(api, namespace) == 1
        await api.delete(made)
        await wait_for_replicas(api, namespace, 5)


async def _later_than(api: Api, path: str) -> None:
    """Wait until the API server's clock shows a later second than an object's creation."""
    created = (await api.get(path))["metadata"]["creationTimestamp"]

    async def passed() -> bool:
        body = {"spec": {"expirationSeconds": 600}}
        namespace = path.split("/")[4]
        answer = await api.create(f"api/v1/namespaces/{namespace}/serviceaccounts/default/token", body)
        return bool(answer["metadata"]["creationTimestamp"] > created)

    await until(passed, what="another second")


async def test_two_in_two_namespaces_scale_apart_and_a_third_is_not_looked_at(
    api: Api, namespace: str, executors: Executors, tmp_path: Any
) -> None:
    second, third = await make_namespace(api), await make_namespace(api)
    token = await allow(api, namespace, namespace, second)
    async with open_executors() as others, run_operator(tmp_path, api.server, token, namespace, second) as operator:
        executors.queued, others.queued = 8, 12
        for where, fleet in ((namespace, executors), (second, others), (third, others)):
            await api.create(SCALERS.format(where), scaler(fleet.target))
        await wait_for_replicas(api, namespace, 2)
        await wait_for_replicas(api, second, 3)
        _, vitals = await operator.vitals()
        assert set(vitals["scalers"]) == {f"{namespace}/exec", f"{second}/exec"}
        assert await status(api, third) == {}
    for name in (second, third):
        await api.delete(f"api/v1/namespaces/{name}")


async def test_those_beyond_the_limit_are_left_alone(api: Api, namespace: str, executors: Executors, start: Start) -> None:
    await api.create(SCALERS.format(namespace), scaler(executors.target))
    await _later_than(api, f"{SCALERS.format(namespace)}/exec")
    await api.create(SCALERS.format(namespace), scaler(executors.target, name="second", deployment="second"))
    async with start(max_scalers=1) as operator:
        await wait_for(api, namespace, "Ready", "True", "Reconciled")

        async def counted() -> bool:
            return "headrace_operator_scalers_left_alone 1.0" in await operator.metrics()

        await until(counted, what="the metric")
        assert await status(api, namespace, "second") == {}
        (line, *_) = operator.events("scalers_left_alone")
        assert (line["setting"], line["first"]) == ("HEADRACE_OPERATOR_MAX_SCALERS", [f"{namespace}/second"])
