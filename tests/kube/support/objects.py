"""Objects that tests make."""

from typing import Any

from tests.kube.support.api import DEPLOYMENTS, PODS, SCALERS, Api

EXECUTOR = "executor"


def scaler(target: str, *, name: str = "exec", deployment: str = EXECUTOR, **spec: Any) -> dict[str, Any]:
    """An ExecutorScaler that decides every second and waits for no window."""
    return {
        "apiVersion": "headrace.dev/v1alpha1",
        "kind": "ExecutorScaler",
        "metadata": {"name": name},
        "spec": {
            "targetRef": {"name": deployment},
            "signals": {"target": target, "timeoutSeconds": 1, "maxAgeSeconds": 5},
            "intervalSeconds": 1,
            "maxReplicas": 5,
            "scaleUp": {"maxStep": 5},
            "scaleDown": {"stabilizationSeconds": 0, "maxStep": 5, "periodSeconds": 1},
            **spec,
        },
    }


def deployment(*, name: str = EXECUTOR) -> dict[str, Any]:
    """A Deployment whose pods no scheduler takes: the test plays the kubelet. Its replicas are nobody's yet."""
    labels = {"app": name}
    limits = {"cpu": "500m", "memory": "512Mi"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "schedulerName": "nobody",
                    "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": 0,
                    "containers": [
                        {"name": "executor", "image": "none", "resources": {"limits": limits, "requests": limits}}
                    ],
                },
            },
        },
    }


async def replicas(api: Api, namespace: str, name: str = EXECUTOR) -> int:
    """What a Deployment asks for."""
    found: int = (await api.get(f"{DEPLOYMENTS.format(namespace)}/{name}"))["spec"]["replicas"]
    return found


async def status(api: Api, namespace: str, name: str = "exec") -> dict[str, Any]:
    """An ExecutorScaler's status."""
    found: dict[str, Any] = (await api.get(f"{SCALERS.format(namespace)}/{name}")).get("status", {})
    return found


async def condition(api: Api, namespace: str, kind: str, name: str = "exec") -> tuple[str, str, str]:
    """A condition's status, reason and message."""
    for one in (await status(api, namespace, name)).get("conditions", ()):
        if one["type"] == kind:
            return one["status"], one["reason"], one["message"]
    return "", "", ""


async def pods(api: Api, namespace: str) -> list[dict[str, Any]]:
    """The executors' pods that are not on their way out, by name."""
    items = (await api.get(PODS.format(namespace), labelSelector=f"app={EXECUTOR}"))["items"]
    return sorted(
        (one for one in items if "deletionTimestamp" not in one["metadata"]), key=lambda one: str(one["metadata"]["name"])
    )


async def make_ready(api: Api, namespace: str, pod: str, ip: str) -> None:
    """What a kubelet writes about a pod that runs."""
    path = f"{PODS.format(namespace)}/{pod}/status"
    ready = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady", "PodScheduled", "Initialized")]
    await api.merge(path, {"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": ready}})
