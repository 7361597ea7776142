"""One limit as this process sees it: its calls that wait, in the shared queue or, without Redis, in one of its own."""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace_llm import metrics
from headrace_llm.errors import GateRefused
from headrace_llm.gate import telling
from headrace_llm.gate.adaptive import Adaptive
from headrace_llm.gate.limiter import Entered, Limiter, Standing, View
from headrace_llm.gate.pace import JITTER_US, MINUTE_US, SECOND_US, Quota, interval_us, spare_us
from headrace_llm.gate.pump import Pump
from headrace_llm.gate.turns import Waiter, order
from headrace_llm.gate.waiting import Lateness, Place, Turn, Waiting
from headrace_llm.ports import Ask, Away, SharedLimits, Told

CLOSE_S = 1.0
"""The longest wait, at the end, for what is being told."""
REJOIN_S = 1.6
"""How long the shared limit rests when Redis is back: by then every process has noticed and uses its share no more."""
RESIZE, MOST_RESIZED = 0.05, 256
"""A reservation that is wrong by more than this part of itself is made anew; of so many calls at a time."""
STALE_US = 400_000
"""A turn that is heard of so late, as the process was held up, is given back: a burst of late calls would be refused."""


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
        self._epoch = wall() - clock()
        self._own: Limiter | None = None if shared else Limiter(quota)
        self._number = 0
        self._pump = Pump(self._pump_once, self._sync, waiting=self.waiting, lost=lost, clock=clock)
        self._lateness = Lateness()
        self._notes: set[asyncio.Task[Any]] = set()

    async def acquire(self, ask: Ask, weight: float) -> Turn:
        """Wait for a call's turn. Raises `GateRefused`."""
        until = self._clock() + ask.max_wait_s
        turn = await self._turn(ask, weight, until)
        if self._in_time(turn):
            return turn
        metrics.GATE_STALE.inc()
        self.note_unused(turn, rank=ask.priority - 1)
        turn = await self._turn(ask, weight, until)
        if not self._in_time(turn):
            self._lateness = Lateness()  # not this process was held up: the shared limit's clock has jumped
        return turn

    async def _turn(self, ask: Ask, weight: float, until: float) -> Turn:
        self._number += 1
        one = Waiting(
            id=f"{self._process}:{self._number}",
            number=self._number,
            ask=ask,
            tokens=self._tokens(ask),
            weight=weight,
            age_us=round((ask.started_at or self._wall()) * SECOND_US),
            since=self._clock(),
            until=until,
            turn=asyncio.get_running_loop().create_future(),
        )
        self.waiting[one.id] = one
        self._note(self._place(one))
        try:
            return await one.turn
        except asyncio.CancelledError:
            if one.went:
                self.note_unused(one.turn.result(), rank=one.rank)
            raise
        finally:
            self._end(one)

    def heard(self, told: Told) -> None:
        """The shared limit has let a call of this process through."""
        one, turn = self.waiting.get(told.waiter_id), Turn(told.now_us, shared=True, tokens=told.tokens)
        if one is not None and not one.turn.done():
            one.turn.set_result(turn)
        else:  # it has left meanwhile
            self.note_unused(turn, rank=told.rank)

    def note_settled(self, turn: Turn, *, reserved: int, used: int, seconds: float) -> None:
        """Tell what a call used, without waiting."""
        if turn.shared:
            if self._shared is not None and self.up:
                told = self._shared.settle(
                    self.scope, self.quota, reserved=reserved, used=used, seconds=seconds, granted_us=turn.now_us
                )
                self._note(self._freeing(told))
        elif self._own is not None:
            rest_us = self._own.settle(
                reserved=reserved, used=used, seconds=seconds, granted_us=turn.now_us, now_us=self._now_us(),
                deliver=self._deliver,
            )  # fmt: skip
            self._pump.look_in(rest_us)

    def note_unused(self, turn: Turn, *, rank: int) -> None:
        """Tell that a call which was let through was never sent, without waiting."""
        if turn.shared:
            if self._shared is not None and self.up:
                told = self._shared.give_back(self.scope, self.quota, rank=rank, tokens=turn.tokens, granted_us=turn.now_us)
                self._note(self._freeing(told))
        elif self._own is not None:
            rest_us = self._own.give_back(
                rank=rank, tokens=turn.tokens, granted_us=turn.now_us, now_us=self._now_us(), deliver=self._deliver
            )
            self._pump.look_in(rest_us)

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
        if self._shared is None:
            return
        self.known.adaptive, self.known.view = await self._shared.view(self.scope, self.quota)
        if not self.waiting and any(self.known.view.depths):
            # Those who wait may all be of processes that died: somebody has to clear them away.
            while await self._shared.pump(self.scope, self.quota) == 0:
                pass

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
        self._epoch = self._wall() - self._clock()
        whole = Limiter(self.quota, known=self.known.adaptive)
        own = whole.scaled(1 / fleet.size)
        # The shares of all processes begin one after another, a whole turn after the shared limit's last grant.
        own.requests_us = self._now_us() + interval_us(own.quota, 1.0) * (1 + fleet.rank / fleet.size)
        self._own = own
        for one in self._in_order(Place.SHARED, Place.OWN):
            self._enter_own(one)
        self._pump.look_in(0.0)

    async def join_shared(self) -> None:
        """Go back to the shared limit: Redis is there again. Raises `Away`."""
        assert self._shared is not None
        await self._shared.rejoin(self.scope, self.quota, pause_us=round(REJOIN_S * SECOND_US))
        self.up, self._own = True, None
        for one in self._in_order(Place.OWN):
            if not one.turn.done() and one.place is Place.OWN:
                await self._enter_shared(one)
        self._pump.look_in(0.0)

    async def close(self) -> None:
        """End what runs; let what was to be told be told."""
        await self._pump.close()
        if self._notes:
            await asyncio.wait(self._notes, timeout=CLOSE_S)

    async def _place(self, one: Waiting) -> None:
        try:
            if self.up:
                await self._enter_shared(one)
                return
        except Away as error:
            self._lost(str(error))  # which enters all that wait into this process's own queue
        except Exception as error:  # whatever it is, its caller has to know
            if not one.turn.done():
                one.turn.set_exception(error)
            raise
        if one.place is not Place.OWN and not one.turn.done():
            self._enter_own(one)

    async def _enter_shared(self, one: Waiting) -> None:
        assert self._shared is not None
        left_us = max(0, round((one.until - self._clock()) * SECOND_US))
        waiter = self._waiter(one, latest_us=left_us, place="")
        one.place = Place.SHARED
        entered = await self._shared.enter(
            self.scope, self.quota, waiter, age_us=one.age_us, unblocks=one.ask.unblocks, number=one.number
        )
        self._entered(one, entered, Place.SHARED)

    def _enter_own(self, one: Waiting) -> None:
        assert self._own is not None
        now_us = self._now_us()
        left_us = max(0, round((one.until - self._clock()) * SECOND_US))
        place = order(age_us=one.age_us, unblocks=one.ask.unblocks, number=one.number, id=one.id)
        one.place = Place.OWN
        waiter = self._waiter(one, latest_us=now_us + left_us, place=place)
        self._entered(one, self._own.enter(waiter, now_us=now_us, deliver=self._deliver), Place.OWN)

    def _waiter(self, one: Waiting, *, latest_us: int, place: str) -> Waiter:
        ask = one.ask
        return Waiter(one.id, one.rank, ask.tenant_id, one.weight, place, one.tokens, latest_us)

    def _entered(self, one: Waiting, entered: Entered, place: Place) -> None:
        """What became of a call in a queue, where it may not wait any more."""
        here = one.place is place and not one.turn.done()
        if entered.granted:
            turn = Turn(entered.now_us, shared=place is Place.SHARED, tokens=one.tokens)
            if one.turn.done():
                self.note_unused(turn, rank=one.rank)
            else:
                one.turn.set_result(turn)
        elif entered.refused:
            if here:
                self._refuse(one, entered.wait_us / SECOND_US)
        elif here:
            self._arm(one)
            self._pump.look_in(entered.due_us)
            self._pump.start()
        elif place is Place.SHARED:
            self._note_left(one)

    def _arm(self, one: Waiting) -> None:
        """A call waits from now on, as long as it may."""
        if one.timer is None:
            left_s = max(0.0, one.until - self._clock())
            one.timer = asyncio.get_running_loop().call_later(left_s, self._expire, one)

    def _expire(self, one: Waiting) -> None:
        if not one.turn.done():
            self._refuse(one, self.quiet_wait_s(one.ask))

    def _refuse(self, one: Waiting, wait_s: float) -> None:
        message = f"the quota of {self.scope} is taken for {wait_s:.1f} s, longer than the call may wait"
        one.turn.set_exception(GateRefused(message, retry_after_s=wait_s))
        one.turn.exception()  # its caller may be gone

    def _end(self, one: Waiting) -> None:
        """A call waits no more. If it has no turn, it leaves its queue; an answer that is on its way sees that it has."""
        del self.waiting[one.id]
        if one.timer is not None:
            one.timer.cancel()
        if not one.went:
            if one.place is Place.SHARED:
                self._note_left(one)
            elif self._own is not None:
                self._own.turns.leave(one.id)

    def _note_left(self, one: Waiting) -> None:
        if self._shared is not None and self.up:
            self._note(self._quietly(self._shared.leave(self.scope, self.quota, one.id)))

    def _deliver(self, waiter: Waiter) -> bool:
        one = self.waiting.get(waiter.id)
        if one is None or one.turn.done():
            return False
        one.turn.set_result(Turn(self._now_us(), shared=False, tokens=waiter.tokens))
        return True

    async def _pump_once(self) -> float:
        if self.up and self._shared is not None:
            return await self._shared.pump(self.scope, self.quota)
        assert self._own is not None
        return self._own.pump(now_us=self._now_us(), deliver=self._deliver)

    def _in_time(self, turn: Turn) -> bool:
        """Whether a turn was heard of soon enough. After a late call the next would come too soon: those behind it wait."""
        here_us = self._now_us()
        late_us = self._lateness.of(turn.now_us, here_us) if turn.shared else here_us - turn.now_us
        even_us = interval_us(self.quota, 1.0)
        if late_us > max(STALE_US, even_us / 2):
            return False
        behind_us = late_us - JITTER_US - spare_us(even_us)
        if behind_us > 0 and self.quota.rpm > 0:
            if not turn.shared and self._own is not None:
                self._own.postpone(round(behind_us))
            elif turn.shared and self._shared is not None and self.up:
                self._note(self._quietly(self._shared.postpone(self.scope, self.quota, by_us=round(behind_us))))
        return True

    async def _sync(self) -> None:
        await self._find_missing()
        await self._resize()
        await telling.tell(self._in_order(Place.SHARED, Place.OWN), self._standings, now=self._clock())

    def _tokens(self, ask: Ask) -> int:
        """What to reserve for a call: as much as is known now, but no more for its answer than calls were seen to need.

        While none was seen, that is what a provider's burst of a second pays: a guess must not hold up the limit for long.
        """
        if ask.anew is None or self.quota.tpm <= 0:
            return ask.tokens
        known = self.view().tokens_per_call or self.quota.tpm * SECOND_US / MINUTE_US
        return min(self.quota.estimate(ask.anew()), ask.prompt_tokens + math.ceil(known))

    async def _resize(self) -> None:
        """Reserve for calls that wait what is known by now, and not what was when they came."""
        if self.quota.tpm <= 0:
            return
        for one in self._in_order(Place.SHARED, Place.OWN)[:MOST_RESIZED]:
            tokens = self._tokens(one.ask)
            if abs(tokens - one.tokens) > RESIZE * one.tokens:
                one.tokens = tokens
                if one.place is Place.SHARED and self._shared is not None and self.up:
                    await self._shared.resize(self.scope, self.quota, one.id, tokens=tokens)
                elif self._own is not None:
                    self._own.turns.resize(one.id, tokens)

    async def _standings(self, ids: Sequence[str]) -> Sequence[Standing | None]:
        if self.up and self._shared is not None:
            return await self._shared.standings(self.scope, self.quota, ids)
        assert self._own is not None
        return [self._own.standing(one, now_us=self._now_us()) for one in ids]

    async def _find_missing(self) -> None:
        """Enter calls again that the shared queue has lost: Redis was emptied, or a grant was never heard."""
        if not self.up or self._shared is None:
            return
        ids = [one.id for one in self._in_order(Place.SHARED)]
        for lost in await self._shared.missing(self.scope, self.quota, ids) if ids else ():
            one = self.waiting.get(lost)
            if one is not None and not one.turn.done():
                await self._enter_shared(one)

    def _in_order(self, *places: Place) -> Sequence[Waiting]:
        found = (one for one in self.waiting.values() if one.place in places and not one.turn.done())
        return sorted(found, key=lambda one: (one.age_us, one.number))

    def _now_us(self) -> int:
        """The time, which never jumps: whoever waits in this process's own queue has nobody to ask anew."""
        return round((self._epoch + self._clock()) * SECOND_US)

    async def _freeing(self, told: Coroutine[Any, Any, float]) -> None:
        try:
            self._pump.look_in(await told)
        except Away as error:
            self._lost(str(error))

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
