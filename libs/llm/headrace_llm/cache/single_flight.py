"""One call for a question however many ask it at the same time, in this process and, while Redis is there, in all."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from headrace_llm.cache import policy
from headrace_llm.cache.flight import Flight
from headrace_llm.cache.policy import Kept, Key
from headrace_llm.cache.ports import Found, Question, Shared, Turn
from headrace_llm.client import ChatRequest, Completion, ModelClient, Restarted
from headrace_llm.errors import CallTimeout, InvalidAnswer, ProviderAuth, ProviderRejected
from headrace_llm.registry import ModelEntry
from headrace_llm.usage import Bill

Outcome = Literal["hit_redis", "miss", "joined"]
Item = str | Restarted | Completion
LASTING = (ProviderRejected, ProviderAuth)
"""Whoever waited for a call that failed like this would fail like this."""
CLOSE_S = 1.0
"""How long `close` waits for what has yet to be told to Redis."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`LlmSettings` explains each."""

    join_share: float = 0.5
    lease_s: float = 3.0
    poll_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that may be answered from the cache."""

    request: ChatRequest
    entry: ModelEntry
    key: Key
    whole: bool
    """Whether only the end is wanted, not its pieces."""
    until: float
    """Its deadline on our clock."""
    patient_until: float
    """How long it waits for others before it asks by itself."""


class SingleFlight:
    """Asks a model through at most one call at a time for each question and priority. The others wait for its answer.

    When a call fails, one of those who waited for it asks next. Nobody waits for others longer than its share of its
    deadline. `remember` is told of each answer worth keeping, and for how long it may be kept (None: as long as allowed).
    """

    def __init__(
        self,
        inner: ModelClient,
        shared: Shared,
        bounds: Bounds,
        *,
        remember: Callable[[Key, Kept, float | None], None],
        count: Callable[[str, Outcome], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._shared = shared
        self._bounds = bounds
        self._remember = remember
        self._count = count
        self._clock = clock
        self._flights: dict[tuple[str, int], Flight] = {}
        self._notes: set[asyncio.Task[None]] = set()

    async def answer(self, request: ChatRequest, entry: ModelEntry, key: Key, *, whole: bool) -> AsyncGenerator[Item, None]:
        """The pieces (none needs to come when `whole`) and the answer. Raises what the model's call raises."""
        now = self._clock()
        patient_until = now + self._bounds.join_share * request.deadline_s
        bill = Bill(request.on_cost)
        ask = Ask(replace(request, on_cost=bill.add), entry, key, whole, now + request.deadline_s, patient_until)
        shown = void = False
        while True:
            flight, own = self._board(ask)
            try:
                async with aclosing(self._ride(flight, ask, own=own)) as items:
                    async for item in items:
                        if void:
                            yield Restarted(entry.id)
                        shown, void = True, False
                        yield replace(item, usage=bill.usage) if isinstance(item, Completion) else item
                return
            except LASTING:
                raise
            except Exception as error:
                late = self._clock() >= ask.until
                if late and isinstance(error, TimeoutError):
                    raise _too_late(ask) from error
                if isinstance(error, InvalidAnswer):
                    error.usage = bill.usage
                if own or late:
                    raise
            void = shown

    async def close(self) -> None:
        """Let what has yet to be told to Redis be told."""
        await asyncio.sleep(0)  # what has just ended is noted in this turn of the loop
        if self._notes:
            await asyncio.wait(self._notes, timeout=CLOSE_S)

    def _board(self, ask: Ask) -> tuple[Flight, bool]:
        """The call to wait for, and whether it is this request's own."""
        name = (ask.key.digest, int(ask.request.priority))
        flight = self._flights.get(name)
        if flight is not None and not flight.over and self._clock() < ask.patient_until:
            return flight, False
        if flight is not None and not flight.over:
            return Flight(lambda own: self._alone(own, ask)), True
        new = self._flights[name] = Flight(lambda own: self._fly(own, ask))
        new.when_over(lambda: self._forget(name, new))
        return new, True

    def _forget(self, name: tuple[str, int], flight: Flight) -> None:
        if self._flights.get(name) is flight:
            del self._flights[name]

    async def _ride(self, flight: Flight, ask: Ask, *, own: bool) -> AsyncGenerator[Item, None]:
        now, streamed = self._clock(), False
        # A call of our own ends by its deadline; it knows better than we why it is late.
        patience_s, limit_s = (None, None) if own else (ask.patient_until - now, ask.until - now)
        asked = ask.request
        riding = flight.ride(patience_s=patience_s, limit_s=limit_s, on_wait=asked.on_wait, on_cost=asked.on_cost)
        async with aclosing(riding) as items:
            async for item in items:
                if isinstance(item, Completion):
                    if not own:
                        self._count(ask.entry.id, "joined")
                    if not streamed and not ask.whole:
                        for piece in policy.pieces(item.text):
                            yield piece
                else:
                    streamed = isinstance(item, str)
                yield item

    async def _fly(self, flight: Flight, ask: Ask) -> Completion:
        """The answer that is kept or that another process is about to have; else the model's, for all processes."""
        question = Question(ask.key, int(ask.request.priority), secrets.token_hex(8))
        leads, failed, kept = True, True, None  # while we do not know whether the lease is ours, we end it
        try:
            seen, waited = await self._find(question, ask)
            leads = seen is Turn.MINE
            if isinstance(seen, Found):
                self._count(ask.entry.id, "joined" if waited else "hit_redis")
                self._remember(ask.key, seen.kept, seen.ttl_s)
                return seen.kept.completion(ask.entry.id)
            if not leads:
                return await self._alone(flight, ask)
            async with self._renewing(question):
                completion = await self._alone(flight, ask)
            failed = False
            kept = Kept.of(completion) if policy.keeps(ask.request, ask.entry, completion) else None
            return completion
        finally:
            if leads:
                flight.when_over(lambda: self._note(self._shared.settle(question, kept=kept, failed=failed)))

    async def _find(self, question: Question, ask: Ask) -> tuple[Found | Turn, bool]:
        """Look until there is an answer or the turn is ours, and say whether we waited for others."""
        waited = False
        with self._shared.listen(question.key) as bell:
            while True:
                bell.mute()
                seen = await self._shared.look(question)
                left_s = ask.patient_until - self._clock()
                if seen is not Turn.OTHERS:
                    return seen, waited
                if left_s <= 0:
                    return Turn.ALONE, waited
                waited = True
                if await bell.rung(timeout_s=min(self._bounds.poll_s, left_s)) is Turn.ALONE:
                    return Turn.ALONE, waited

    async def _alone(self, flight: Flight, ask: Ask) -> Completion:
        """Ask the model with what is left of the deadline."""
        self._count(ask.entry.id, "miss")
        left_s = ask.until - self._clock()
        # Who began it may leave before the others, and then has nobody to tell.
        on_wait = flight.note_wait if ask.request.on_wait else None
        request = replace(ask.request, deadline_s=left_s, on_wait=on_wait, on_cost=flight.note_cost)
        completion: Completion | None = None
        if ask.whole:
            completion = await self._inner.complete(request)
        else:
            async with aclosing(self._inner.stream(request)) as items:  # type: ignore[type-var]
                async for item in items:
                    if isinstance(item, Completion):
                        completion = item
                    else:
                        flight.add(item)
        assert completion is not None, "a stream ends with a Completion"
        if policy.keeps(ask.request, ask.entry, completion):
            self._remember(ask.key, Kept.of(completion), None)
        return completion

    @asynccontextmanager
    async def _renewing(self, question: Question) -> AsyncGenerator[None, None]:
        """Hold the lease while the block runs."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(self._bounds.lease_s / 3)
                await self._shared.renew(question)

        task = asyncio.get_running_loop().create_task(renew(), name="llm lease")
        try:
            yield
        finally:
            task.cancel()

    def _note(self, work: Coroutine[Any, Any, None]) -> None:
        """Tell Redis without waiting; there are never more of these than calls, and each ends by its timeout."""
        task = asyncio.get_running_loop().create_task(work, name="llm cache note")
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)


def _too_late(ask: Ask) -> CallTimeout:
    return CallTimeout(f"{ask.entry.id} had not answered when its {ask.request.deadline_s:.1f} s were over")
