"""What the API server itself makes of an ExecutorScaler."""

from typing import Any

import pytest

from tests.kube.support.api import SCALERS, Api, Refused
from tests.kube.support.objects import scaler

TARGET = "dns:///headrace-executor-headless:50053"


def smallest() -> dict[str, Any]:
    body = scaler(TARGET)
    body["spec"] = {"targetRef": {"name": "executor"}, "signals": {"target": TARGET}}
    return body


async def test_defaults_are_filled_in(api: Api, namespace: str) -> None:
    made = await api.create(SCALERS.format(namespace), smallest())
    assert made["spec"] == {
        "targetRef": {"name": "executor"},
        "signals": {"target": TARGET, "timeoutSeconds": 2, "maxAgeSeconds": 30},
        "minReplicas": 1,
        "maxReplicas": 3,
        "model": "",
        "headroom": 0.25,
        "throttledAbove": 0.02,
        "tolerance": 0.1,
        "scaleUp": {"stabilizationSeconds": 0, "maxStep": 2, "periodSeconds": 15},
        "scaleDown": {"stabilizationSeconds": 120, "maxStep": 1, "periodSeconds": 30},
        "intervalSeconds": 5,
        "backoffSeconds": 120,
        "dryRun": False,
    }


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"minReplicas": 4, "maxReplicas": 3}, "minReplicas must not exceed maxReplicas"),
        ({"replicas": 9, "maxReplicas": 3}, "replicas, the pin, must not exceed maxReplicas"),
        ({"minReplicas": 0}, "should be greater than or equal to 1"),
        ({"intervalSeconds": 20}, "must be at least twice intervalSeconds"),
        ({"intervalSeconds": 0}, "should be greater than or equal to 1"),
        ({"signals": {"target": TARGET, "maxAgeSeconds": 10, "timeoutSeconds": 15}}, "timeoutSeconds must be less than"),
        ({"signals": {"target": "http://executors"}}, "spec.signals.target"),
        ({"signals": {}}, "spec.signals.target: Required value"),
        ({"targetRef": {"name": "Not A Name"}}, "spec.targetRef.name"),
        ({"headroom": 3}, "should be less than or equal to 2"),
        ({"scaleDown": {"stabilizationSeconds": 3601}}, "should be less than or equal to 3600"),
        ({"scaleUp": {"maxStep": 0}}, "should be greater than or equal to 1"),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_name(api: Api, namespace: str, spec: dict[str, Any], said: str) -> None:
    body = smallest()
    body["spec"] |= spec
    with pytest.raises(Refused) as refused:
        await api.create(SCALERS.format(namespace), body)
    assert refused.value.code == 422
    assert said in str(refused.value)


async def test_the_target_stays_the_same(api: Api, namespace: str) -> None:
    await api.create(SCALERS.format(namespace), smallest())
    with pytest.raises(Refused, match="targetRef cannot be changed"):
        await api.merge(f"{SCALERS.format(namespace)}/exec", {"spec": {"targetRef": {"name": "another"}}})


async def test_kubectl_scale_pins_within_the_maximum(api: Api, namespace: str) -> None:
    await api.create(SCALERS.format(namespace), smallest())
    await api.kubectl("scale", "executorscaler/exec", "--replicas=2", namespace=namespace)
    assert (await api.get(f"{SCALERS.format(namespace)}/exec"))["spec"]["replicas"] == 2
    said = await api.kubectl("scale", "exs/exec", "--replicas=7", namespace=namespace, check=False)
    assert "replicas, the pin, must not exceed maxReplicas" in said
    assert (await api.get(f"{SCALERS.format(namespace)}/exec"))["spec"]["replicas"] == 2


async def test_unknown_fields_are_not_kept(api: Api, namespace: str) -> None:
    body = smallest()
    body["spec"]["maxReplica"] = 3
    with pytest.raises(Refused, match=r"unknown field \"spec.maxReplica\""):
        await api.request("POST", SCALERS.format(namespace), body, fieldValidation="Strict")
