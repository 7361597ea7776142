"""The supervised loops: one for each ExecutorScaler, and one that lists them.

A round that fails is logged and backs off; a loop that ends by itself ends the process. When the next round must have
ended is written down before it begins, so that a loop that hangs shows in the liveness probe.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from headrace_operator import custom_resource, metrics
from headrace_operator.custom_resource import PAUSED, TAKE_OVER
from headrace_operator.errors import ApiError, NotFound
from headrace_operator.ports import Cluster, Json, Key
from headrace_operator.scaler import Scaler
from headrace_operator.vitals import ScalerVitals, Vitals

GRACE_S = 10.0
"""How late a round may end before the probe says so; a busy processor delays it too."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """Named and explained in `Settings`."""

    scalers: int
    tick_timeout_s: float
    backoff_s: float
    backoff_max_s: float
    relist_s: float
    watch_lag_s: float


class Mark(NamedTuple):
    """What makes an ExecutorScaler another one, its status apart."""

    uid: str
    generation: int
    paused: str
    take_over: str


class _Claim(NamedTuple):
    """Sorts by age: the oldest ExecutorScaler has the Deployment."""

    created: str
    key: Key
    deployment: str


@dataclass(slots=True)
class _Loop:
    mark: Mark
    due: float
    """When the round in hand or the next one must have ended."""
    task: asyncio.Task[None] | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ended_at: float | None = None
    decided_at: float | None = None
    failures: int = 0


class Fleet:
    """Looks after every ExecutorScaler that there is, up to a number."""

    def __init__(
        self, cluster: Cluster, make: Callable[[Key], Scaler], limits: Limits, *, clock: Callable[[], float]
    ) -> None:
        self._cluster = cluster
        self._make = make
        self._limits = limits
        self._clock = clock
        self._group: asyncio.TaskGroup | None = None
        self._loops: dict[Key, _Loop] = {}
        self._claims: dict[Key, _Claim] = {}
        self._watched: dict[Key, Mark] = {}
        self._owed: dict[Key, float] = {}
        self._watched_at: float | None = None
        self._listed_at: float | None = None
        self._reached = False
        self.listed = asyncio.Event()
        """Set once the ExecutorScalers have been listed: the API server is there, and so is the CRD."""
        self._list_due = clock() + GRACE_S + limits.tick_timeout_s

    async def run(self) -> None:
        """List the ExecutorScalers again and again until cancelled; the loops run within."""
        failures = 0
        async with asyncio.TaskGroup() as group:
            self._group = group
            while True:
                self._list_due = self._clock() + self._limits.tick_timeout_s + GRACE_S
                try:
                    async with asyncio.timeout(self._limits.tick_timeout_s):
                        self._listed(await self._cluster.scalers())
                    failures, pause, self._reached = 0, self._limits.relist_s, True
                    self.listed.set()
                except (ApiError, TimeoutError) as error:
                    failures, self._reached = failures + 1, False
                    pause = self._backoff(failures)
                    log.warning("list_failed", error=str(error), failures=failures, again_in_s=pause)
                self._list_due = self._clock() + pause + GRACE_S
                await asyncio.sleep(pause)

    def changed(self, body: Json, gone: bool) -> None:
        """Take what the watch tells."""
        key = custom_resource.key_of(body)
        self._watched_at = self._clock()
        self._owed.pop(key, None)
        if gone:
            self._watched.pop(key, None)
            self._stop(key)
            return
        self._watched[key] = _mark(body)
        if key in self._loops or len(self._loops) < self._limits.scalers:
            self._look_after(body)

    def vitals(self) -> Vitals:
        """What the probes tell."""
        now = self._clock()

        def age(at: float | None) -> float | None:
            return None if at is None else round(now - at, 3)

        lag = now - min(self._owed.values(), default=now)
        metrics.WATCH_LAG.set(lag)
        faults = [f"{key}: the loop does not turn" for key, one in self._loops.items() if now > one.due]
        if now > self._list_due:
            faults.append("the list is not read")
        if lag > self._limits.watch_lag_s:
            faults.append(f"the watch is {lag:.0f} s behind the list")
        return Vitals(
            faults=tuple(faults),
            reached=self._reached,
            list_age_s=age(self._listed_at),
            watch_age_s=age(self._watched_at),
            watch_lag_s=round(lag, 3),
            scalers={
                str(key): ScalerVitals(age(one.ended_at), age(one.decided_at), max(0.0, now - one.due), one.failures)
                for key, one in self._loops.items()
            },
        )

    def _listed(self, bodies: Iterable[Json]) -> None:
        now = self._listed_at = self._clock()
        by_age = sorted(bodies, key=_claim)
        there = {custom_resource.key_of(body): body for body in by_age[: self._limits.scalers]}
        for key in self._loops.keys() - there.keys():
            self._stop(key)
        for body in there.values():
            self._look_after(body)
        left_alone = by_age[self._limits.scalers :]
        if left_alone:
            names = [str(custom_resource.key_of(body)) for body in left_alone[:10]]
            log.error("scalers_left_alone", setting="HEADRACE_OPERATOR_MAX_SCALERS", count=len(left_alone), first=names)
        metrics.LEFT_ALONE.set(len(left_alone))
        marks = {custom_resource.key_of(body): _mark(body) for body in by_age}
        behind = {key for key in marks.keys() | self._watched.keys() if self._watched.get(key) != marks.get(key)}
        self._owed = {key: self._owed.get(key, now) for key in behind}

    def _look_after(self, body: Json) -> None:
        """Start a loop, or wake it when something but its status is new."""
        if self._group is None:
            return
        key, mark = custom_resource.key_of(body), _mark(body)
        one = self._loops.get(key)
        if one is not None and one.mark.uid != mark.uid:
            self._stop(key)
            one = None
        self._claims[key] = _claim(body)
        if one is None:
            one = self._loops[key] = _Loop(mark, due=self._clock() + self._limits.tick_timeout_s + GRACE_S)
            one.task = self._group.create_task(self._turn(key, one), name=f"scaler {key}")
            log.info("looked_after", scaler=str(key), deployment=self._claims[key].deployment)
        elif one.mark != mark:
            one.mark = mark
            one.wake.set()
        metrics.SCALERS.set(len(self._loops))

    def _stop(self, key: Key) -> None:
        one = self._loops.pop(key, None)
        self._claims.pop(key, None)
        if one is not None and one.task is not None:
            one.task.cancel()
            log.info("let_go", scaler=str(key))
        metrics.SCALERS.set(len(self._loops))

    async def _turn(self, key: Key, one: _Loop) -> None:
        scaler = self._make(key)
        try:
            while True:
                one.due = self._clock() + self._limits.tick_timeout_s + GRACE_S
                pause = await self._round(key, one, scaler)
                one.due = self._clock() + pause + GRACE_S
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await one.wake.wait()
                one.wake.clear()
        finally:
            await scaler.close()

    async def _round(self, key: Key, one: _Loop, scaler: Scaler) -> float:
        """One round and what follows from it: the seconds until the next."""
        try:
            with metrics.TICK_SECONDS.time():
                async with asyncio.timeout(self._limits.tick_timeout_s):
                    pause = await scaler.tick(self._holder(key))
        except NotFound:
            return self._limits.backoff_max_s  # the watch is about to tell that it is gone
        except Exception as error:
            one.ended_at = self._clock()
            one.failures += 1
            pause = self._backoff(one.failures)
            metrics.TICKS.labels(*key, "failed").inc()
            told = {"scaler": str(key), "failures": one.failures, "again_in_s": pause}
            if isinstance(error, ApiError | TimeoutError):
                log.warning("round_failed", error=str(error) or "tick_timeout_s is over", **told)
            else:
                log.exception("round_failed", **told)
            return pause
        one.ended_at = one.decided_at = self._clock()
        one.failures = 0
        metrics.TICKS.labels(*key, "decided").inc()
        metrics.LAST_TICK.labels(*key).set_to_current_time()
        return pause

    def _holder(self, key: Key) -> str:
        mine = self._claims[key]
        same = (c for c in self._claims.values() if (c.key.namespace, c.deployment) == (key.namespace, mine.deployment))
        return min(same).key.name

    def _backoff(self, failures: int) -> float:
        return min(self._limits.backoff_max_s, self._limits.backoff_s * 2.0 ** min(failures - 1, 30))


def _mark(body: Json) -> Mark:
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    return Mark(metadata["uid"], metadata.get("generation", 0), annotations.get(PAUSED, ""), annotations.get(TAKE_OVER, ""))


def _claim(body: Json) -> _Claim:
    return _Claim(body["metadata"]["creationTimestamp"], custom_resource.key_of(body), body["spec"]["targetRef"]["name"])
