"""The gate of this process: a lane for each limit, and the link to Redis that they share."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from headrace_llm import metrics
from headrace_llm.client import ModelSignals, Priority
from headrace_llm.errors import GateRefused
from headrace_llm.gate.lane import Fleet, Lane
from headrace_llm.gate.pace import SECOND_US, Quota
from headrace_llm.gate.waiting import Turn
from headrace_llm.ports import Ask, Away, Grant, SharedLimits, Told
from headrace_llm.registry import ModelEntry, Registry

SETTLE_S = 6.0
"""After an outage, how long the processes that were known before it still count."""
CLOSE_S, CLOSE_TRIES = 0.5, 20
"""How often the link is told to end, and for how long each time: a client may swallow being cancelled."""
BEAT_S = 1.0
"""How often this process says that it lives, and looks at the limits."""

log = structlog.get_logger()


def process_id() -> str:
    """A name for this process that no other has."""
    return secrets.token_hex(6)


class PacedGate:
    """Implements `ports.Gate`. Without `shared` it is the gate of this process alone."""

    def __init__(
        self,
        registry: Registry,
        shared: SharedLimits | None,
        *,
        process: str,
        max_waiting: int,
        fallback_share: float = 0.25,
        cool_down_s: float = 2.0,
        retry_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._shared = shared
        self._process = process
        self._max_waiting = max_waiting
        self._cool_down_s = cool_down_s
        self._retry_s = retry_s
        self._clock = clock
        self._up = shared is not None
        self._fleet = Fleet(max(1, round(1 / fallback_share)), 0)
        self._down = asyncio.Event()
        self._tickets = 0
        self._settled_at = 0.0
        self._closing = False
        self._linking: asyncio.Task[None] | None = None
        self._entered: dict[str, dict[int, float]] = {entry.id: {} for entry in registry.models.values()}
        self._lanes: dict[str, Lane] = {}
        for entry in registry.models.values():
            if entry.scope not in self._lanes:
                self._lanes[entry.scope] = Lane(
                    entry.scope, quota_of(entry), shared, process=process, lost=self._lost, clock=clock, wall=wall
                )
            metrics.GATE_QUEUE.labels(entry.id).set_function(self._entered[entry.id].__len__)

    @property
    def shared(self) -> bool:
        """False while Redis is away and this process keeps to its share."""
        return self._up

    async def start(self) -> None:
        """Join the other processes, or begin alone when Redis does not answer."""
        metrics.GATE_FALLBACK.set(0)
        if self._shared is None:
            return
        first = asyncio.Event()
        self._linking = asyncio.create_task(self._link(self._shared, first), name="gate link")
        await first.wait()

    async def acquire(self, model: ModelEntry, ask: Ask) -> Grant:
        """See `ports.Gate`."""
        lane, entered = self._lanes[model.scope], self._entered[model.id]
        started = self._clock()
        ask = replace(ask, tokens=lane.quota.estimate(ask.tokens))
        if sum(map(len, self._entered.values())) >= self._max_waiting:
            metrics.GATE_REFUSED.labels(model.id, "queue_full").inc()
            message = f"{self._max_waiting} calls of this process wait at the gate already (HEADRACE_LLM_MAX_WAITING)"
            raise GateRefused(message, reason="QUOTA_QUEUE_FULL", retry_after_s=max(1.0, lane.quiet_wait_s(ask)))
        self._tickets += 1
        ticket = self._tickets
        entered[ticket] = started
        try:
            turn = await lane.acquire(ask, self._registry.tenant(ask.tenant_id).weight)
        except GateRefused:
            metrics.GATE_REFUSED.labels(model.id, "deadline").inc()
            raise
        finally:
            del entered[ticket]
        waited_s = self._clock() - started
        metrics.GATE_WAIT_SECONDS.labels(model.id).observe(waited_s)
        return Grant(model, turn.tokens, waited_s, turn.now_us, ask.priority - 1, turn.shared)

    def settle(self, grant: Grant, *, actual_tokens: int | None, seconds: float) -> None:
        """See `ports.Gate`."""
        used = grant.tokens if actual_tokens is None else actual_tokens
        lane = self._lanes[grant.model.scope]
        lane.note_settled(_turn(grant), reserved=grant.tokens, used=used, seconds=seconds)

    def give_back(self, grant: Grant) -> None:
        """See `ports.Gate`."""
        self._lanes[grant.model.scope].note_unused(_turn(grant), rank=grant.rank)

    async def throttled(self, grant: Grant, *, retry_after_s: float | None) -> None:
        """See `ports.Gate`."""
        metrics.THROTTLED.labels(grant.model.id).inc()
        pause_s = self._cool_down_s if retry_after_s is None else retry_after_s
        asked = retry_after_s is not None
        await self._lanes[grant.model.scope].refused(_turn(grant), pause_us=round(pause_s * SECOND_US), asked=asked)

    def signals(self) -> Sequence[ModelSignals]:
        """See `ports.Gate`."""
        return [self._signals(entry) for entry in self._registry.models.values()]

    async def close(self) -> None:
        """End the link; let what has yet to be told be told."""
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))
        self._closing = True
        for _ in range(CLOSE_TRIES):
            if self._linking is None or self._linking.done():
                break
            self._linking.cancel()
            await asyncio.wait((self._linking,), timeout=CLOSE_S)

    def _signals(self, entry: ModelEntry) -> ModelSignals:
        lane = self._lanes[entry.scope]
        view, entered = lane.view(), self._entered[entry.id]
        granted = sum(view.granted)
        oldest = next(iter(entered.values()), None)
        return ModelSignals(
            model=entry.id,
            granted_rpm=granted,
            effective_rpm=effective_rpm(lane.quota, view.factor, view.tokens_per_call),
            configured_rpm=entry.limits.rpm or 0.0,
            queue_depth=sum(view.depths),
            queued={priority: view.depths[priority - 1] for priority in Priority},
            expected_wait_s={priority: view.waits_us[priority - 1] / SECOND_US for priority in Priority},
            oldest_wait_s=0.0 if oldest is None else self._clock() - oldest,
            throttled_ratio=min(1.0, view.throttled / granted) if granted else 0.0,
            seconds_per_call=view.seconds_per_call,
            cooling_s=view.cooling_us / SECOND_US,
            shared=self._up,
        )

    def _lost(self, cause: str) -> None:
        """Redis did not answer: every lane goes on with this process's share."""
        if self._up:
            self._up = False
            metrics.GATE_FALLBACK.set(1)
            log.warning("gate_fallback", cause=cause, share=round(1 / self._fleet.size, 3))
        for lane in self._lanes.values():
            lane.leave_shared(self._fleet)
        self._down.set()

    async def _link(self, shared: SharedLimits, first: asyncio.Event) -> None:
        """Keep up the connection that grants are heard on; come back when it was lost."""
        while not self._closing:
            try:
                async with shared.listen(self._heard) as hearing:
                    await self._beat(shared)
                    await self._come_back()
                    first.set()
                    await self._stay(shared, asyncio.ensure_future(hearing))
            except Away as error:
                self._lost(str(error))
            first.set()
            await asyncio.sleep(self._retry_s)

    async def _stay(self, shared: SharedLimits, hearing: "asyncio.Future[None]") -> None:
        """Beat until the link is lost. Raises `Away`."""
        while not self._closing:
            down = asyncio.ensure_future(self._down.wait())
            try:
                await asyncio.wait((down, hearing), timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
                down.cancel()
            if hearing.done():
                hearing.result()
                raise Away("the hearing of grants ended")
            if self._down.is_set():
                raise Away("a question was not answered")
            await self._beat(shared)

    async def _beat(self, shared: SharedLimits) -> None:
        alive = await shared.beat()
        if self._process in alive:
            # Who comes back first sees itself alone: until the others have had their time, they still count.
            least = self._fleet.size if self._clock() < self._settled_at else 1
            self._fleet = Fleet(max(len(alive), least), alive.index(self._process))
        for lane in self._lanes.values():
            await lane.look()

    async def _come_back(self) -> None:
        self._down.clear()
        if self._up:
            return
        self._up, self._settled_at = True, self._clock() + SETTLE_S
        metrics.GATE_FALLBACK.set(0)
        log.info("gate_recovered")
        for lane in self._lanes.values():
            await lane.join_shared()
            if self._down.is_set():
                raise Away("lost again while coming back")

    def _heard(self, told: Told) -> None:
        lane = self._lanes.get(told.scope)
        if lane is not None:
            lane.heard(told)


def quota_of(entry: ModelEntry) -> Quota:
    """A model's limit as the gate paces it."""
    limits = entry.limits
    return Quota(limits.rpm or 0.0, limits.tpm or 0.0, limits.burst, limits.probe)


def effective_rpm(quota: Quota, factor: float, tokens_per_call: float) -> float:
    """Calls a minute that the limit lets through now; 0 when nothing is configured."""
    by_tokens = quota.tpm / tokens_per_call if quota.tpm and tokens_per_call else 0.0
    bounds = [rate for rate in (quota.rpm, by_tokens) if rate > 0]
    return min(bounds) * factor if bounds else 0.0


def _turn(grant: Grant) -> Turn:
    return Turn(grant.granted_us, grant.shared, grant.tokens)
