"""The gate as this process sees it: who waits, for how long, and what to tell the pacer. The pacer decides the slots.

A call reserves its slot, sleeps until then and goes. If a cool-down has begun meanwhile it queues anew behind it, so that
a 429 stops those who already wait as well. A waiter that is cancelled gives its slot back when it was the newest;
otherwise the slot passes unused, as those behind it already know theirs.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from headrace_llm import metrics
from headrace_llm.client import ModelSignals
from headrace_llm.errors import GateRefused
from headrace_llm.policy import Limit, Slot
from headrace_llm.ports import Ask, Grant, Pacer
from headrace_llm.registry import ModelEntry, Registry
from headrace_llm.window import SlidingMinute

_US = 1_000_000
_FIGURES = ("granted", "throttled", "ended", "seconds")
QUEUE_FULL_RETRY_S = 1.0
"""When to come back to a full queue."""
CLOSE_S = 2.0
"""How long `close` waits for what has yet to be told to the pacer."""


class PacedGate:
    """Implements `ports.Gate`. First come, first served within a limit: priorities and tenants are not looked at yet."""

    def __init__(
        self, registry: Registry, pacer: Pacer, *, max_waiting: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pacer = pacer
        self._max_waiting = max_waiting
        self._clock = clock
        self._models = tuple(registry.models.values())
        self._limits = {entry.id: _limit(entry) for entry in self._models}
        self._minutes = {entry.id: SlidingMinute(_FIGURES, clock=clock) for entry in self._models}
        self._waiting: Mapping[str, dict[int, float]] = {entry.id: {} for entry in self._models}
        self._waiters = 0
        self._notes: set[asyncio.Task[None]] = set()
        for entry in self._models:
            metrics.GATE_QUEUE.labels(entry.id).set_function(self._waiting[entry.id].__len__)

    async def acquire(self, model: ModelEntry, ask: Ask) -> Grant:
        """See `ports.Gate`."""
        started = self._clock()
        waiting = self._waiting[model.id]
        if sum(len(one) for one in self._waiting.values()) >= self._max_waiting:
            metrics.GATE_REFUSED.labels(model.id, "queue_full").inc()
            message = f"{self._max_waiting} calls wait at the gate already"
            raise GateRefused(message, reason="QUOTA_QUEUE_FULL", retry_after_s=QUEUE_FULL_RETRY_S)
        self._waiters += 1
        ticket = self._waiters
        waiting[ticket] = started
        try:
            slot = await self._turn(model, ask.tokens, until=started + ask.max_wait_s)
        finally:
            del waiting[ticket]
        waited_s = self._clock() - started
        self._minutes[model.id].add("granted")
        metrics.GATE_WAIT_SECONDS.labels(model.id).observe(waited_s)
        return Grant(model, ask.tokens, waited_s, slot)

    def settle(self, grant: Grant, *, actual_tokens: int | None, seconds: float) -> None:
        """See `ports.Gate`."""
        minute = self._minutes[grant.model.id]
        minute.add("ended")
        minute.add("seconds", seconds)
        limit = self._limits[grant.model.id]
        if actual_tokens is None or not limit.tpm or actual_tokens == grant.tokens:
            return
        self._note(self._pacer.adjust(grant.model.scope, limit, grant.slot, tokens=actual_tokens - grant.tokens))

    async def throttled(self, grant: Grant, *, retry_after_s: float) -> None:
        """See `ports.Gate`."""
        self._minutes[grant.model.id].add("throttled")
        metrics.THROTTLED.labels(grant.model.id).inc()
        await self._pacer.cool_down(grant.model.scope, for_us=round(retry_after_s * _US))

    def signals(self) -> Sequence[ModelSignals]:
        """See `ports.Gate`."""
        return [self._signals(entry) for entry in self._models]

    async def close(self) -> None:
        """Let what has yet to be told to the pacer be told."""
        if self._notes:
            await asyncio.wait(self._notes, timeout=CLOSE_S)

    async def _turn(self, model: ModelEntry, tokens: int, *, until: float) -> Slot:
        limit = self._limits[model.id]
        while True:
            left_us = max(0, int((until - self._clock()) * _US))
            slot = await self._reserve(model.scope, limit, tokens=tokens, max_wait_us=left_us)
            if not slot.granted:
                metrics.GATE_REFUSED.labels(model.id, "deadline").inc()
                wait_s = slot.wait_us / _US
                message = f"the quota of {model.id} is taken for {wait_s:.1f} s, longer than the call may wait"
                raise GateRefused(message, retry_after_s=wait_s)
            if slot.wait_us == 0:
                return slot
            try:
                await asyncio.sleep(slot.wait_us / _US)
                cooling_us = await self._pacer.cooling_us(model.scope)
            except asyncio.CancelledError:
                self._note(self._pacer.give_back(model.scope, slot))
                raise
            if cooling_us == 0:
                return slot
            await self._pacer.give_back(model.scope, slot)

    async def _reserve(self, scope: str, limit: Limit, *, tokens: int, max_wait_us: int) -> Slot:
        """Reserve a slot that is not lost when the caller is cancelled before it knows of it."""
        asked = asyncio.ensure_future(self._pacer.reserve(scope, limit, tokens=tokens, max_wait_us=max_wait_us))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            self._note(self._undo(scope, asked))
            raise

    async def _undo(self, scope: str, asked: asyncio.Future[Slot]) -> None:
        slot = await asked
        if slot.granted:
            await self._pacer.give_back(scope, slot)

    def _signals(self, entry: ModelEntry) -> ModelSignals:
        minute, waiting = self._minutes[entry.id], self._waiting[entry.id]
        granted, ended = minute.sum("granted"), minute.sum("ended")
        oldest = min(waiting.values(), default=None)
        return ModelSignals(
            model=entry.id,
            granted_rpm=granted,
            effective_rpm=entry.limits.rpm or 0.0,
            queue_depth=len(waiting),
            oldest_wait_s=0.0 if oldest is None else self._clock() - oldest,
            throttled_ratio=min(1.0, minute.sum("throttled") / granted) if granted else 0.0,
            seconds_per_call=minute.sum("seconds") / ended if ended else 0.0,
        )

    def _note(self, work: Coroutine[Any, Any, None]) -> None:
        """Tell the pacer without waiting; there are never more of these than calls."""
        task = asyncio.get_running_loop().create_task(work, name="gate note")
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)


def _limit(entry: ModelEntry) -> Limit:
    return Limit.of(rpm=entry.limits.rpm, tpm=entry.limits.tpm, burst=entry.limits.burst)
