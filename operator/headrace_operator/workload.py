"""A Deployment, its pods and the namespace's quotas as what the policy observes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from headrace.executor.v1 import executor_pb2 as pb

from headrace_operator import quantities
from headrace_operator.model import Observed
from headrace_operator.ports import Json

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
WAITING = frozenset(
    {
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
"""Why a container waits that will not run by itself soon."""
RESOURCES = ("cpu", "memory")
SCOPES = frozenset({"NotTerminating", "NotBestEffort"})
"""A ResourceQuota counts executors if it has no scope but these."""
MAX_REASON = 300
"""Characters of the cluster's own words that are passed on."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment as it is."""

    observed: Observed
    selector: str
    pods: tuple[Json, ...]
    """Those that are not being deleted."""


def selector_of(deployment: Json) -> str:
    """Its label selector in the form that queries take."""
    selector = deployment["spec"]["selector"]
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for rule in selector.get("matchExpressions") or ():
        key, values = rule["key"], ",".join(rule.get("values") or ())
        match rule["operator"]:
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case _:
                parts.append(f"!{key}")
    return ",".join(parts)


def observe(deployment: Json, pods: Iterable[Json], quotas: Iterable[Json]) -> Workload:
    """Put together what the policy looks at. Raises `ValueError` when a quantity cannot be read."""
    counted = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")]
    standing = tuple(pod for pod in counted if "deletionTimestamp" not in pod["metadata"])
    leaving = len(counted) - len(standing)
    wanted = deployment["spec"].get("replicas", 1)
    # A pod that leaves gives its room back: during a rollout nothing is refused for good.
    roomless = [*_unschedulable(standing), *_not_created(deployment, wanted - len(standing))][leaving:]
    refusals = [*_broken(standing), *roomless]
    room = _room(deployment["spec"]["template"]["spec"], quotas)
    observed = Observed(
        replicas=wanted,
        ready=(deployment.get("status") or {}).get("readyReplicas", 0),
        refused=len(refusals),
        refused_by=refusals[0][:MAX_REASON] if refusals else "",
        # A quota's usage lags behind: what is there is never beyond the budget, and what it refuses shows as refused.
        budget=None if room is None else max(wanted, len(counted) + room),
    )
    return Workload(observed, selector_of(deployment), standing)


def _not_created(deployment: Json, missing: int) -> list[str]:
    """One reason for each replica that the controller could not create, as when a quota refuses it."""
    for condition in (deployment.get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return [f"{condition.get('reason', '')}: {condition.get('message', '')}"] * max(0, missing)
    return []


def _unschedulable(pods: Iterable[Json]) -> Iterator[str]:
    """One reason for each pod that no node has room for."""
    for pod in pods:
        for one in (pod.get("status") or {}).get("conditions") or ():
            if (one["type"], one["status"], one.get("reason")) == ("PodScheduled", "False", "Unschedulable"):
                yield f"Unschedulable: {one.get('message', '')}"


def _broken(pods: Iterable[Json]) -> Iterator[str]:
    """One reason for each pod with a container that does not come to run."""
    for pod in pods:
        status = pod.get("status") or {}
        containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
        waiting = [(container.get("state") or {}).get("waiting") or {} for container in containers]
        found = next((one for one in waiting if one.get("reason") in WAITING), None)
        if found is not None:
            yield f"{found['reason']}: {found.get('message', '')}"


def _room(template: Json, quotas: Iterable[Json]) -> int | None:
    """Pods of this template that the quotas have room for; None when no quota counts them."""
    rooms: list[int] = []
    for quota in quotas:
        if not set(quota["spec"].get("scopes") or ()) <= SCOPES or quota["spec"].get("scopeSelector"):
            continue
        status = quota.get("status") or {}
        used = status.get("used") or {}
        for resource, hard in (status.get("hard") or {}).items():
            need = _need(template, resource)
            if need:
                rooms.append(int((quantities.parse(hard) - quantities.parse(used.get(resource, 0))) // need))
    return max(0, min(rooms)) if rooms else None


def _need(template: Json, resource: str) -> Decimal:
    """What one pod takes of a quota's resource; 0 when it takes nothing or a LimitRange decides."""
    if resource in ("pods", "count/pods"):
        return Decimal(1)
    kind, _, name = resource.rpartition(".")
    if name not in RESOURCES or kind not in ("", "requests", "limits"):
        return Decimal(0)
    kind = kind or "requests"
    lasting, first = Decimal(0), Decimal(0)
    for container in template.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            lasting += _amount(container, kind, name)
        else:
            first = max(first, _amount(container, kind, name))
    together = lasting + sum((_amount(c, kind, name) for c in template["containers"]), Decimal(0))
    return max(together, lasting + first) + quantities.parse((template.get("overhead") or {}).get(name, 0))


def _amount(container: Json, kind: str, name: str) -> Decimal:
    resources = container.get("resources") or {}
    limit = (resources.get("limits") or {}).get(name, 0)
    return quantities.parse(limit if kind == "limits" else (resources.get("requests") or {}).get(name, limit))


def deletion_costs(pods: Sequence[Json], answers: Mapping[str, pb.QueueSignalsResponse], *, unknown: int) -> dict[str, int]:
    """Pod's name → runs that it works on, where its annotation says something else. `unknown` is for the silent ones."""
    costs: dict[str, int] = {}
    for pod in pods:
        address: Any = (pod.get("status") or {}).get("podIP")
        answer = answers.get(address)
        cost = unknown if answer is None else answer.running_here
        if (pod["metadata"].get("annotations") or {}).get(DELETION_COST) != str(cost):
            costs[pod["metadata"]["name"]] = cost
    return costs
