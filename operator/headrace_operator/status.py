"""What a round found and did, as the ExecutorScaler's status."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headrace_operator import conditions
from headrace_operator.conditions import Condition
from headrace_operator.custom_resource import PAUSED, Resource
from headrace_operator.model import Decision, LimitedBy, ModelSignals, Signals
from headrace_operator.ports import Json, Telling
from headrace_operator.workload import Workload


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why the operator could not do what it decided, or could not decide."""

    reason: str
    """CamelCase: TargetNotFound, TargetTaken, FieldConflict, ScaleRefused."""
    message: str


@dataclass(frozen=True, slots=True)
class Round:
    """One round of the loop. Without a `workload` there is no `decision`."""

    resource: Resource
    telling: Telling
    signals: Signals | None
    workload: Workload | None = None
    decision: Decision | None = None
    obstacle: Obstacle | None = None
    change: int = 0
    """Replicas that were added, or removed when negative."""


def build(seen: Round, previous: Json, *, now: float) -> dict[str, Any]:
    """The whole status to write; `previous` is the one that was read, `now` Unix time."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status: dict[str, Any] = {
        "observedGeneration": seen.resource.generation,
        "replicas": 0,
        "readyReplicas": 0,
        "conditions": conditions.merge(
            previous.get("conditions") or (), conditions_of(seen), generation=seen.resource.generation, now=stamp
        ),
    }
    if seen.workload is not None:
        observed = seen.workload.observed
        status |= {"replicas": observed.replicas, "readyReplicas": observed.ready, "selector": seen.workload.selector}
    if seen.decision is not None:
        status |= _decided(seen.decision)
    if seen.signals is not None:
        status["queue"] = seen.signals.queued
        gate = gate_of(seen.signals, seen.resource.spec.model)
        if gate is not None:
            status["effectiveRPM"] = round(gate.effective_rpm, 1)
            status["throttledPercent"] = round(gate.throttled_ratio * 100, 1)
    last = stamp if seen.change else previous.get("lastScaleTime")
    return status | ({"lastScaleTime": last} if last else {})


def _decided(decision: Decision) -> dict[str, Any]:
    known = {"demand": decision.n_demand, "quota": decision.n_quota}
    return {
        "desiredReplicas": decision.replicas,
        "limitedBy": str(decision.limited_by),
        "message": decision.message[: conditions.MAX_MESSAGE],
        **{name: value for name, value in known.items() if value is not None},
    }


def gate_of(signals: Signals, model: str) -> ModelSignals | None:
    """The gate of the model whose quota bounds the scale."""
    wanted = model or signals.default_model
    return next((one for one in signals.models if one.model == wanted), None)


def conditions_of(seen: Round) -> tuple[Condition, ...]:
    """Ready, ScalingActive and SignalsFresh."""
    return _ready(seen), _scaling(seen), _signals(seen)


def _ready(seen: Round) -> Condition:
    """Signals that are missing do not count: their gaps pass, and while they last the scale is held, as it should be."""
    if seen.obstacle is not None:
        return Condition(conditions.READY, False, seen.obstacle.reason, seen.obstacle.message)
    return Condition(conditions.READY, True, "Reconciled", "the Deployment is looked after")


def _scaling(seen: Round) -> Condition:
    reason, message = _hindrance(seen)
    if reason:
        return Condition(conditions.SCALING_ACTIVE, False, reason, message)
    return Condition(conditions.SCALING_ACTIVE, True, "Scaling", "the signals decide")


def _hindrance(seen: Round) -> tuple[str, str]:
    name = seen.resource.key.name
    if seen.obstacle is not None:
        return seen.obstacle.reason, seen.obstacle.message
    if seen.decision is None:
        return "NotDecided", "nothing has been decided"
    if seen.decision.limited_by is LimitedBy.PAUSED:
        return "Paused", f"to go on: kubectl annotate executorscaler/{name} {PAUSED}-"
    if seen.resource.dry_run:
        return "DryRun", "spec.dryRun is true: decisions are reported and not carried out"
    if seen.decision.limited_by is LimitedBy.PINNED:
        patch = """--type=merge -p '{"spec":{"replicas":null}}'"""
        return "Pinned", f"spec.replicas decides; to let the signals decide: kubectl patch executorscaler/{name} {patch}"
    if not seen.decision.fresh:
        return "SignalsNotFresh", "the scale is held until fresh signals come"
    return "", ""


def _signals(seen: Round) -> Condition:
    heard = len(seen.telling.answers)
    message = f"{heard} of {heard + len(seen.telling.silent)} executors answered"
    if seen.telling.silent:
        where, why = next(iter(seen.telling.silent.items()))
        message += f"; {where}: {why}"
    if seen.decision is not None and seen.decision.fresh:
        return Condition(conditions.SIGNALS_FRESH, True, "Fresh", message)
    return Condition(conditions.SIGNALS_FRESH, False, "Missing" if seen.signals is None else "Stale", message)
