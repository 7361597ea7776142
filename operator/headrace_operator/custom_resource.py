"""An ExecutorScaler's JSON as nouns. The CRD's schema has filled in defaults and checked ranges before we see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace_operator.model import Direction, Spec
from headrace_operator.ports import Json, Key

GROUP = "headrace.dev"
VERSION = "v1alpha1"
PLURAL = "executorscalers"
KIND = "ExecutorScaler"
PAUSED = f"{GROUP}/paused"
"""Annotation: "true" leaves the Deployment alone."""
TAKE_OVER = f"{GROUP}/take-over"
"""Annotation: "true" takes the Deployment's replicas from whoever owns them."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One ExecutorScaler as it was read."""

    key: Key
    generation: int
    deployment: str
    target: str
    """gRPC name of the executors."""
    timeout_s: float
    interval_s: float
    dry_run: bool
    take_over: bool
    spec: Spec


def key_of(body: Json) -> Key:
    """Which one it is."""
    return Key(body["metadata"]["namespace"], body["metadata"]["name"])


def parse(body: Json) -> Resource:
    """Read an ExecutorScaler that the API server has validated."""
    metadata, spec = body["metadata"], body["spec"]
    annotations = metadata.get("annotations") or {}
    return Resource(
        key=key_of(body),
        generation=metadata.get("generation", 0),
        deployment=spec["targetRef"]["name"],
        target=spec["signals"]["target"],
        timeout_s=float(spec["signals"]["timeoutSeconds"]),
        interval_s=float(spec["intervalSeconds"]),
        dry_run=spec["dryRun"],
        take_over=annotations.get(TAKE_OVER) == "true",
        spec=Spec(
            min_replicas=spec["minReplicas"],
            max_replicas=spec["maxReplicas"],
            pinned=spec.get("replicas"),
            paused=annotations.get(PAUSED) == "true",
            model=spec["model"],
            headroom=float(spec["headroom"]),
            calls_per_replica=spec.get("callsPerReplica"),
            throttled_above=float(spec["throttledAbove"]),
            tolerance=float(spec["tolerance"]),
            max_age_s=float(spec["signals"]["maxAgeSeconds"]),
            up=_direction(spec["scaleUp"]),
            down=_direction(spec["scaleDown"]),
            backoff_s=float(spec["backoffSeconds"]),
        ),
    )


def _direction(part: Mapping[str, Any]) -> Direction:
    return Direction(
        stabilization_s=float(part["stabilizationSeconds"]),
        max_step=part["maxStep"],
        period_s=float(part["periodSeconds"]),
    )
