"""The use case: one round of gathering, deciding, acting and telling, for one ExecutorScaler."""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from headrace_operator import conditions, custom_resource, metrics, policy, signals, status, workload
from headrace_operator.custom_resource import TAKE_OVER, Resource
from headrace_operator.errors import ApiError, FieldConflict, NotFound
from headrace_operator.model import Decision, Memory, Signals
from headrace_operator.ports import Cluster, Executors, Json, Key, Telling
from headrace_operator.status import Obstacle, Round
from headrace_operator.workload import Workload

log = structlog.get_logger()


class Scaler:
    """Keeps what one decision leaves for the next. A fresh one, as after a restart, is safe."""

    def __init__(self, key: Key, cluster: Cluster, executors: Executors, *, clock: Callable[[], float]) -> None:
        self._key = key
        self._cluster = cluster
        self._executors = executors
        self._clock = clock
        self._memory = Memory()
        self._signals: Signals | None = None

    async def tick(self, holder: str) -> float:
        """Do one round and return the seconds until the next. `holder` names the ExecutorScaler that has the Deployment.

        Raises `NotFound` when this ExecutorScaler is gone, and `ApiError`; nothing was decided or all may be done again.
        """
        body = await self._cluster.scaler(self._key)
        resource = custom_resource.parse(body)
        found, telling = await asyncio.gather(
            self._observe(resource), self._executors.ask(resource.target, timeout_s=resource.timeout_s)
        )
        now = self._clock()
        heard = signals.from_responses(telling.answers.values())
        if heard is not None:
            self._signals = replace(heard, time=min(heard.time, now))
        seen = Round(resource, telling, self._signals)
        if holder != self._key.name:
            seen = replace(
                seen, obstacle=Obstacle("TargetTaken", f"ExecutorScaler {holder} has Deployment {resource.deployment}")
            )
        elif found is None:
            seen = replace(seen, obstacle=Obstacle("TargetNotFound", f"there is no Deployment {resource.deployment}"))
        else:
            # Who made the Deployment may own the number; making an ExecutorScaler hands it over, with the first change.
            take_over = resource.take_over or "lastScaleTime" not in (body.get("status") or {})
            seen = await self._decide(seen, found, now, take_over=take_over)
        await self._tell(body, seen, now)
        return resource.interval_s

    async def close(self) -> None:
        """Close the connections and drop the metrics."""
        await self._executors.close()
        metrics.forget(self._key)

    async def _observe(self, resource: Resource) -> Workload | None:
        """The Deployment with its pods and quotas; None when there is none."""
        namespace = resource.key.namespace
        try:
            deployment = await self._cluster.deployment(namespace, resource.deployment)
        except NotFound:
            return None
        pods, quotas = await asyncio.gather(
            self._cluster.pods(namespace, workload.selector_of(deployment)), self._cluster.quotas(namespace)
        )
        return workload.observe(deployment, pods, quotas)

    async def _decide(self, seen: Round, found: Workload, now: float, *, take_over: bool) -> Round:
        decision = policy.decide(seen.resource.spec, found.observed, seen.signals, self._memory, now)
        seen = replace(seen, workload=found, decision=decision)
        self._log(seen, decision, found, now)
        seen = await self._act(seen, found, decision, take_over=take_over)
        # A change that was not made takes no share of what may change within the period.
        undone = decision.replicas != found.observed.replicas and not seen.change
        self._memory = replace(decision.memory, changes=self._memory.changes) if undone else decision.memory
        return seen

    async def _act(self, seen: Round, found: Workload, decision: Decision, *, take_over: bool) -> Round:
        resource, change = seen.resource, decision.replicas - found.observed.replicas
        if not change or resource.dry_run:
            return seen
        if change < 0:
            await self._mark_idle(found, seen.telling, unknown=seen.signals.slots_per_replica if seen.signals else 0)
        namespace, deployment = resource.key.namespace, resource.deployment
        try:
            await self._cluster.scale(namespace, deployment, decision.replicas, take_over=take_over)
        except FieldConflict as conflict:
            return replace(seen, obstacle=_conflict(resource, decision, conflict))
        except NotFound:
            return replace(seen, obstacle=Obstacle("TargetNotFound", f"there is no Deployment {deployment}"))
        except ApiError as error:
            if error.code not in (403, 422):
                raise
            return replace(seen, obstacle=Obstacle("ScaleRefused", str(error)))
        return replace(seen, change=change)

    async def _mark_idle(self, found: Workload, telling: Telling, *, unknown: int) -> None:
        """Let the controller remove those first that work on least. What cannot be marked is removed in its own order."""
        costs = workload.deletion_costs(found.pods, telling.answers, unknown=unknown)
        marks = (self._cluster.set_deletion_cost(self._key.namespace, pod, cost) for pod, cost in costs.items())
        for outcome in await asyncio.gather(*marks, return_exceptions=True):
            if isinstance(outcome, ApiError):
                log.warning("pod_not_marked", scaler=str(self._key), error=str(outcome))
            elif isinstance(outcome, BaseException):
                raise outcome

    async def _tell(self, body: Json, seen: Round, now: float) -> None:
        """Write metrics, status and events. An event that is refused is logged and lost."""
        self._measure(seen, now)
        previous: Mapping[str, Any] = body.get("status") or {}
        present = status.build(seen, previous, now=now)
        if present != previous:
            await self._cluster.write_status(body, present)
        if seen.change and seen.decision is not None and seen.workload is not None:
            old = seen.workload.observed.replicas
            direction = "ScaledUp" if seen.change > 0 else "ScaledDown"
            metrics.CHANGES.labels(*self._key, "up" if seen.change > 0 else "down").inc()
            note = f"{old} -> {seen.decision.replicas}, limited by {seen.decision.limited_by}: {seen.decision.message}"
            await self._publish(body, warning=False, reason=direction, note=note)
        turned = conditions.transition(previous.get("conditions") or (), status.conditions_of(seen))
        if turned is not None:
            await self._publish(body, warning=not turned.true, reason=turned.reason, note=turned.message)

    async def _publish(self, body: Json, *, warning: bool, reason: str, note: str) -> None:
        try:
            await self._cluster.publish(body, warning=warning, reason=reason, note=note)
        except ApiError as error:
            log.warning("event_lost", scaler=str(self._key), reason=reason, error=str(error))

    def _measure(self, seen: Round, now: float) -> None:
        age = math.nan if seen.signals is None else now - seen.signals.time
        metrics.SIGNAL_AGE.labels(*self._key).set(age)
        if seen.decision is None or seen.workload is None:
            return
        decision, observed = seen.decision, seen.workload.observed
        metrics.DESIRED.labels(*self._key).set(decision.replicas)
        metrics.REPLICAS.labels(*self._key).set(observed.replicas)
        metrics.READY.labels(*self._key).set(observed.ready)
        metrics.DEMAND.labels(*self._key).set(math.nan if decision.n_demand is None else decision.n_demand)
        metrics.QUOTA.labels(*self._key).set(math.nan if decision.n_quota is None else decision.n_quota)
        metrics.limited_by(self._key, decision.limited_by)

    def _log(self, seen: Round, decision: Decision, found: Workload, now: float) -> None:
        told = seen.signals
        gate = status.gate_of(told, seen.resource.spec.model) if told else None
        observed = found.observed
        log.info(
            "decided",
            scaler=str(self._key),
            replicas=decision.replicas,
            limited_by=str(decision.limited_by),
            message=decision.message,
            was=observed.replicas,
            ready=observed.ready,
            refused=observed.refused,
            refused_by=observed.refused_by or None,
            budget=observed.budget,
            demand=decision.n_demand,
            quota=decision.n_quota,
            signal_age_s=None if told is None else round(now - told.time, 3),
            queued=None if told is None else told.queued,
            running=None if told is None else told.running,
            slots=None if told is None else told.slots_per_replica,
            effective_rpm=None if gate is None else gate.effective_rpm,
            throttled_ratio=None if gate is None else gate.throttled_ratio,
            seconds_per_call=None if gate is None else gate.seconds_per_call,
            dry_run=seen.resource.dry_run,
        )


def _conflict(resource: Resource, decision: Decision, conflict: FieldConflict) -> Obstacle:
    owners = " and ".join(conflict.owners)
    return Obstacle(
        "FieldConflict",
        f"spec.replicas of Deployment {resource.deployment} belongs to {owners}, so it was not set to {decision.replicas}; "
        f"to pin it: kubectl scale executorscaler/{resource.key.name} --replicas=N; "
        f"to hand it over: kubectl annotate executorscaler/{resource.key.name} {TAKE_OVER}=true",
    )
