"""Kubernetes objects as the API server gives them."""

from typing import Any

LIMITS = {"cpu": "500m", "memory": "512Mi"}


def scaler(
    *, name: str = "exec", uid: str = "1", generation: int = 1, deployment: str = "executor", **spec: Any
) -> dict[str, Any]:
    """An ExecutorScaler with its defaults filled in."""
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": uid,
            "generation": generation,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "targetRef": {"name": deployment},
            "signals": {"target": "dns:///executor:50053", "timeoutSeconds": 2, "maxAgeSeconds": 30},
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
            **spec,
        },
    }


def deployment(*, replicas: int = 3, ready: int = 0, conditions: Any = (), **template: Any) -> dict[str, Any]:
    """A Deployment of executors with limits."""
    pod = {"containers": [{"name": "executor", "resources": {"limits": LIMITS}}], **template}
    return {
        "metadata": {"name": "executor", "namespace": "shop"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "executor"}}, "template": {"spec": pod}},
        "status": {"readyReplicas": ready, "conditions": list(conditions)},
    }


def pod(
    name: str, *, ip: str = "", leaving: bool = False, waiting: str = "", unschedulable: bool = False, cost: str = ""
) -> Any:
    """A pod in one of the states that matter."""
    metadata: dict[str, Any] = {"name": name}
    if leaving:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    if cost:
        metadata["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": cost}
    status: dict[str, Any] = {"phase": "Running", "podIP": ip}
    if waiting:
        status["containerStatuses"] = [{"state": {"waiting": {"reason": waiting, "message": "back-off 5m0s"}}}]
    if unschedulable:
        status["conditions"] = [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient cpu"}
        ]
    return {"metadata": metadata, "status": status}


def quota(*, hard: dict[str, str], used: dict[str, str], **spec: Any) -> dict[str, Any]:
    """A ResourceQuota that has been counted."""
    return {"spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used}}
