"""One limit as this process sees it: its calls that wait, in the shared queue or, without Redis, in one of its own."""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from headrace_llm.client import Wait
from headrace_llm.errors import GateRefused
from headrace_llm.gate.adaptive import Adaptive
from headrace_llm.gate.limiter import Entered, Limiter, Standing, View
from headrace_llm.gate.pace import SECOND_US, Quota, interval_us
from headrace_llm.gate.turns import Waiter, order
from headrace_llm.gate.waiting import Place, Turn, Waiting
from headrace_llm.ports import Ask, Away, SharedLimits, Told

SYNC_S = 1.0
"""How often a process with waiters looks whether they still are in the shared queue."""
REJOIN_S = 1.6
"""How long the shared limit rests when Redis is back: by then every process has noticed and uses its share no more."""
MOST_TOLD = 256
"""Calls that are told where they stand, those of the oldest work; counting places is work for Redis."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Fleet:
    """The processes that share the limits, as known last."""

    size: int
    rank: int
    """This one's place among them, from 0."""


@dataclass(slots=True)
class Known:
    """What was seen last of the shared limit."""

    adaptive: Adaptive = field(default_factory=Adaptive)
    view: View | None = None


class Lane:
    """The calls of one limit."""

    def __init__(
        self,
        scope: str,
        quota: Quota,
        shared: SharedLimits | None,
        *,
        process: str,
        lost: Callable[[str], None],
        clock: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.scope = scope
        self.quota = quota
        self.waiting: dict[str, Waiting] = {}
        self.up = shared is not None
        """Whether the shared limit is used."""
        self.known = Known()
        self._shared = shared
        self._process = process
        self._lost = lost
        self._clock = clock
        self._wall = wall
        self._own: Limiter | None = None if shared else Limiter(quota)
        self._number = 0
        self._due = math.inf
        self._wake = asyncio.Event()
        self._pumping: asyncio.Task[None] | None = None
        self._notes: set[asyncio.Task[Any]] = set()

    async def acquire(self, ask: Ask, weight: float) -> Turn:
        """Wait for a call's turn. Raises `GateRefused`."""
        self._number += 1
        one = Waiting(
            id=f"{self._process}:{self._number}",
            number=self._number,
            ask=ask,
            weight=weight,
            age_us=round((ask.started_at or self._wall()) * SECOND_US),
            since=self._clock(),
            until=self._clock() + ask.max_wait_s,
            turn=asyncio.get_running_loop().create_future(),
        )
        self.waiting[one.id] = one
        placed = asyncio.ensure_future(self._place(one))
        try:
            await asyncio.shield(placed)
            if not one.turn.done():
                self._start_pumping()
                async with asyncio.timeout(max(0.0, one.until - self._clock())):
                    await asyncio.shield(one.turn)
            return one.turn.result()
        except TimeoutError as error:
            if one.turn.done() and not one.turn.cancelled() and one.turn.exception() is None:
                return one.turn.result()
            self._note(self._abandon(one, placed))
            raise self._refusal(self.quiet_wait_s(ask)) from error
        except asyncio.CancelledError:
            self._note(self._abandon(one, placed))
            raise
        finally:
            del self.waiting[one.id]

    def heard(self, told: Told) -> None:
        """The shared limit has let a call of this process through."""
        one = self.waiting.get(told.waiter_id)
        if one is not None and not one.turn.done():
            one.turn.set_result(Turn(told.now_us, shared=True))
        else:  # it has left meanwhile
            self.note_unused(Turn(told.now_us, shared=True), rank=told.rank, tokens=told.tokens)

    def note_settled(self, turn: Turn, *, reserved: int, used: int, seconds: float) -> None:
        """Tell what a call used, without waiting."""
        if turn.shared and self._shared is not None:
            told = self._shared.settle(self.scope, self.quota, reserved=reserved, used=used, seconds=seconds)
            self._note(self._quietly(told))
        elif self._own is not None:
            self._own.settle(reserved=reserved, used=used, seconds=seconds, now_us=self._now_us())

    def note_unused(self, turn: Turn, *, rank: int, tokens: int) -> None:
        """Tell that a call which was let through was never sent, without waiting."""
        if turn.shared and self._shared is not None:
            self._note(self._quietly(self._shared.give_back(self.scope, self.quota, rank=rank, tokens=tokens)))
        elif self._own is not None:
            self._own.give_back(rank=rank, tokens=tokens, now_us=self._now_us())
            self._wake.set()

    async def refused(self, turn: Turn, *, pause_us: int, asked: bool) -> None:
        """The provider refused a call; `asked`: the pause is its own word."""
        if turn.shared and self._shared is not None and self.up:
            try:
                await self._shared.refused(self.scope, self.quota, granted_us=turn.now_us, pause_us=pause_us, asked=asked)
            except Away as error:
                self._lost(str(error))
        if self._own is not None:
            granted_us = self._now_us() if turn.shared else turn.now_us
            self._own.refused(granted_us=granted_us, pause_us=pause_us, asked=asked, now_us=self._now_us())

    async def look(self) -> None:
        """See what there is to be known of the shared limit. Raises `Away`."""
        if self._shared is not None:
            self.known.adaptive, self.known.view = await self._shared.view(self.scope, self.quota)

    def view(self) -> View:
        """The limit as of the last look, or this process's own."""
        if self._own is not None:
            return self._own.view(now_us=self._now_us())
        return self.known.view or Limiter(self.quota).view(now_us=self._now_us())

    def quiet_wait_s(self, ask: Ask) -> float:
        """What a call like this would have to expect, as of the last look."""
        return self.view().waits_us[ask.priority - 1] / SECOND_US

    def leave_shared(self, fleet: Fleet) -> None:
        """Go on with this process's share: Redis is away. What it knew of the provider is not forgotten."""
        if not self.up:
            return
        self.up = False
        whole = Limiter(self.quota, known=self.known.adaptive)
        own = whole.scaled(1 / fleet.size)
        # The shares of all processes begin one after another, a whole turn after the shared limit's last grant.
        own.requests_us = self._now_us() + interval_us(own.quota, 1.0) * (1 + fleet.rank / fleet.size)
        self._own = own
        for one in self._in_order(Place.SHARED, Place.OWN):
            self._enter_own(one)
        self._wake.set()

    async def join_shared(self) -> None:
        """Go back to the shared limit: Redis is there again. Raises `Away`."""
        assert self._shared is not None
        await self._shared.rejoin(self.scope, self.quota, pause_us=round(REJOIN_S * SECOND_US))
        self.up, self._own = True, None
        for one in self._in_order(Place.OWN):
            if not one.turn.done() and one.place is Place.OWN:
                await self._enter_shared(one)
        self._due = self._clock()
        self._wake.set()

    async def close(self) -> None:
        """End what runs; let what was to be told be told."""
        if self._pumping is not None:
            self._pumping.cancel()
            await asyncio.gather(self._pumping, return_exceptions=True)
        if self._notes:
            await asyncio.wait(self._notes, timeout=SYNC_S)

    async def _place(self, one: Waiting) -> None:
        if self.up:
            try:
                await self._enter_shared(one)
            except Away as error:
                self._lost(str(error))  # which enters all that wait into this process's own queue
            else:
                return
        if one.place is not Place.OWN:
            self._enter_own(one)

    async def _enter_shared(self, one: Waiting) -> None:
        assert self._shared is not None
        left_us = max(0, round((one.until - self._clock()) * SECOND_US))
        waiter = self._waiter(one, latest_us=left_us, place="")
        one.place = Place.SHARED
        entered = await self._shared.enter(
            self.scope, self.quota, waiter, age_us=one.age_us, unblocks=one.ask.unblocks, number=one.number
        )
        self._entered(one, entered, shared=True)

    def _enter_own(self, one: Waiting) -> None:
        assert self._own is not None
        now_us = self._now_us()
        left_us = max(0, round((one.until - self._clock()) * SECOND_US))
        place = order(age_us=one.age_us, unblocks=one.ask.unblocks, number=one.number, id=one.id)
        one.place = Place.OWN
        waiter = self._waiter(one, latest_us=now_us + left_us, place=place)
        self._entered(one, self._own.enter(waiter, now_us=now_us, deliver=self._deliver), shared=False)

    def _waiter(self, one: Waiting, *, latest_us: int, place: str) -> Waiter:
        ask = one.ask
        return Waiter(one.id, ask.priority - 1, ask.tenant_id, one.weight, place, ask.tokens, latest_us)

    def _entered(self, one: Waiting, entered: Entered, *, shared: bool) -> None:
        if one.turn.done():
            return
        if entered.refused:
            one.turn.set_exception(self._refusal(entered.wait_us / SECOND_US))
            one.turn.exception()
        elif entered.granted:
            one.turn.set_result(Turn(entered.now_us, shared))
        else:
            self._due = min(self._due, self._clock() + entered.due_us / SECOND_US)
            self._wake.set()

    def _deliver(self, waiter: Waiter) -> bool:
        one = self.waiting.get(waiter.id)
        if one is None or one.turn.done():
            return False
        one.turn.set_result(Turn(self._now_us(), shared=False))
        return True

    def _start_pumping(self) -> None:
        if self._pumping is None or self._pumping.done():
            self._pumping = asyncio.get_running_loop().create_task(self._pump(), name="gate pump")

    async def _pump(self) -> None:
        """Let calls through, of any process, as long as this one has any that wait."""
        looked = self._clock()
        while self.waiting:
            await self._sleep_until(min(self._due, looked + SYNC_S))
            try:
                rest_us = await self._pump_once()
                if self._clock() - looked >= SYNC_S:
                    looked = self._clock()
                    await self._find_missing()
                    await self._tell()
            except Away as error:
                self._lost(str(error))
                continue
            self._due = self._clock() + (rest_us / SECOND_US if rest_us >= 0 else SYNC_S)
        self._due = math.inf

    async def _pump_once(self) -> float:
        if self.up and self._shared is not None:
            return await self._shared.pump(self.scope, self.quota)
        assert self._own is not None
        return self._own.pump(now_us=self._now_us(), deliver=self._deliver)

    async def _find_missing(self) -> None:
        """Enter calls again that the shared queue has lost: Redis was emptied, or a grant was never heard."""
        if not self.up or self._shared is None:
            return
        ids = [one.id for one in self._in_order(Place.SHARED)]
        for lost in await self._shared.missing(self.scope, self.quota, ids) if ids else ():
            one = self.waiting.get(lost)
            if one is not None and not one.turn.done():
                await self._enter_shared(one)

    async def _tell(self) -> None:
        """Tell the calls that want to know it where they stand."""
        curious = [one for one in self._in_order(Place.SHARED, Place.OWN) if one.ask.on_wait is not None][:MOST_TOLD]
        standings = await self._standings([one.id for one in curious]) if curious else ()
        for one, standing in zip(curious, standings, strict=True):
            if standing is not None and one.ask.on_wait is not None and not one.turn.done():
                waited_s = self._clock() - one.since
                try:
                    one.ask.on_wait(Wait(standing.ahead + 1, standing.wait_us / SECOND_US, waited_s))
                except Exception:  # everybody's pump goes on
                    log.exception("on_wait_failed", scope=self.scope)

    async def _standings(self, ids: Sequence[str]) -> Sequence[Standing | None]:
        if self.up and self._shared is not None:
            return await self._shared.standings(self.scope, self.quota, ids)
        assert self._own is not None
        return [self._own.standing(one, now_us=self._now_us()) for one in ids]

    async def _sleep_until(self, due: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(max(0.0, due - self._clock())):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _abandon(self, one: Waiting, placed: asyncio.Future[None]) -> None:
        """Take a call that nobody waits for any more out of its queue, or give its turn back."""
        await asyncio.gather(placed, return_exceptions=True)
        if one.turn.done():
            if one.turn.exception() is None:
                self.note_unused(one.turn.result(), rank=one.ask.priority - 1, tokens=one.ask.tokens)
        elif one.place is Place.SHARED and self._shared is not None:
            one.turn.cancel()
            await self._quietly(self._shared.leave(self.scope, self.quota, one.id))
        elif self._own is not None:
            self._own.turns.leave(one.id)

    def _refusal(self, wait_s: float) -> GateRefused:
        message = f"the quota of {self.scope} is taken for {wait_s:.1f} s, longer than the call may wait"
        return GateRefused(message, retry_after_s=wait_s)

    def _in_order(self, *places: Place) -> Sequence[Waiting]:
        found = (one for one in self.waiting.values() if one.place in places and not one.turn.done())
        return sorted(found, key=lambda one: (one.age_us, one.number))

    def _now_us(self) -> int:
        return round(self._wall() * SECOND_US)

    async def _quietly(self, told: Coroutine[Any, Any, Any]) -> None:
        try:
            await told
        except Away as error:
            self._lost(str(error))

    def _note(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it without waiting; there are never more of these than calls."""
        task = asyncio.get_running_loop().create_task(work, name="gate note")
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)
