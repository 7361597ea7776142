"""One limit with its queue: who may go when. Pure: times come in as microseconds, granted calls go out through `deliver`.

It paces requests and tokens by the generic cell rate algorithm: for each side it keeps the time at which the limit
would be even again. It is what a process uses while Redis is away, what the capacity planner simulates, and the oracle
of the `script`, which does the same inside Redis, to the microsecond.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from headrace_llm.gate import adaptive, pace
from headrace_llm.gate.adaptive import Adaptive
from headrace_llm.gate.ledger import Ledger
from headrace_llm.gate.pace import MINUTE_US, SECOND_US, Quota
from headrace_llm.gate.turns import CLASSES, SHARES, Turns, Waiter

BATCH = 64
"""Calls that one look lets through at most, and waiters that came too late which it clears away."""
WEIGHT = 0.1
"""How much a finished call moves the averages."""


@dataclass(frozen=True, slots=True)
class Entered:
    """What became of a call that came."""

    granted: bool
    refused: bool
    wait_us: float
    """What it has to expect, before it is let through."""
    due_us: float
    """Until somebody can be let through, when somebody waits."""
    now_us: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A waiting call's place now."""

    ahead: int
    """Calls that go before it if nobody else comes."""
    wait_us: float
    """What it has to expect."""


@dataclass(frozen=True, slots=True)
class View:
    """The limit now."""

    factor: float
    granted: tuple[float, ...]
    """By class, in the last minute."""
    throttled: float
    """Refusals of the provider in the last minute."""
    depths: tuple[int, ...]
    waits_us: tuple[float, ...]
    """What a call of a new tenant would have to expect, by class."""
    cooling_us: float
    seconds_per_call: float
    tokens_per_call: float


class Limiter:
    """Grants of one limit, one after another."""

    def __init__(self, quota: Quota, *, most_waiting: int = 10_000, known: Adaptive | None = None) -> None:
        self.quota = quota
        self.most_waiting = most_waiting
        self.turns = Turns()
        self.adaptive = known or Adaptive()
        self.requests_us = 0.0
        """When requests are even."""
        self.tokens = Ledger()
        """What calls' tokens take up."""
        self.cool_us = 0.0
        """The end of the pause after a refusal."""
        self.tokens_per_call = 0.0
        self.seconds_per_call = 0.0
        self._second = 0
        self._counts = [0.0] * (CLASSES + 1)
        self._before = [0.0] * (CLASSES + 1)

    def enter(self, waiter: Waiter, *, now_us: int, deliver: Callable[[Waiter], bool]) -> Entered:
        """Let a call through, queue it, or refuse it because the queue is full or its turn would come too late."""
        self._advance(now_us)
        self.turns.leave(waiter.id)
        factor = adaptive.factor(self.adaptive, now_us)
        if not self.turns and self._due(factor, now_us) <= 0:
            self._grant(waiter, factor, now_us)
            return Entered(True, False, 0.0, 0.0, now_us)
        wait = self.expected_wait(waiter.rank, waiter.tenant, waiter.weight, now_us=now_us)
        if len(self.turns) >= self.most_waiting or now_us + wait > waiter.latest_us:
            return Entered(False, True, wait, self._due(factor, now_us), now_us)
        self.turns.join(waiter)

        def hand_over(one: Waiter) -> bool:
            return one.id == waiter.id or deliver(one)

        due = self.pump(now_us=now_us, deliver=hand_over)
        return Entered(waiter.id not in self.turns, False, wait, max(due, 0.0), now_us)

    def pump(self, *, now_us: int, deliver: Callable[[Waiter], bool]) -> float:
        """Let through whoever may go, and return the time until the next may; -1 when nobody waits.

        `deliver` says whether the call's process could be told; whom it could not is dropped, without a charge.
        """
        self._advance(now_us)
        for _ in range(BATCH):
            if not self.turns:
                return -1.0
            factor = adaptive.factor(self.adaptive, now_us)
            due = self._due(factor, now_us)
            if due > 0:
                return due
            waiter = self.turns.first()
            if waiter.latest_us < now_us or not deliver(waiter):
                self.turns.leave(waiter.id)
                continue
            self.turns.granted(waiter, max(self._interval(factor), pace.tokens_us(self.quota, factor, waiter.tokens)))
            self._grant(waiter, factor, now_us)
            if self.quota.probe and self.turns:
                self.adaptive = adaptive.pressed(self.adaptive, now_us)
        return 0.0 if self.turns else -1.0

    def give_back(
        self, *, rank: int, tokens: int, granted_us: int, now_us: int, deliver: Callable[[Waiter], bool]
    ) -> float:
        """Undo a grant that was not used. Whoever may go now goes; returns as `pump`."""
        self._advance(now_us)
        factor = adaptive.charged(self.adaptive, now_us, granted_at=granted_us)
        self.requests_us -= self._interval(factor)
        self._correct(-pace.tokens_us(self.quota, factor, tokens), granted_us)
        self._counts[rank] = max(0.0, self._counts[rank] - 1)
        return self.pump(now_us=now_us, deliver=deliver)

    def settle(
        self, *, reserved: int, used: int, seconds: float, granted_us: int, now_us: int, deliver: Callable[[Waiter], bool]
    ) -> float:
        """Correct a grant's tokens by what its call used, and learn how calls are. Returns as `pump`, which it does."""
        self._advance(now_us)
        factor = adaptive.charged(self.adaptive, now_us, granted_at=granted_us)
        self._correct(pace.tokens_us(self.quota, factor, used - reserved), granted_us)
        self.tokens_per_call += (used - self.tokens_per_call) * (WEIGHT if self.tokens_per_call else 1)
        self.seconds_per_call += (seconds - self.seconds_per_call) * (WEIGHT if self.seconds_per_call else 1)
        return self.pump(now_us=now_us, deliver=deliver)

    def refused(self, *, granted_us: int, pause_us: int, asked: bool, now_us: int) -> None:
        """Learn that the provider refused a call: nobody goes for the pause, and the pace may fall.

        A pause that the provider did not ask for is shorter at a ceiling that is known, and one for all of a burst. Where
        tokens bind, the refusal says that a second's worth of them is used up, whatever was known of calls in flight.
        """
        self._advance(now_us)
        self._counts[CLASSES] += 1
        part = 1.0 if asked else adaptive.pause_part(self.adaptive, granted_at=granted_us)
        if part > 0:
            self.cool_us = max(self.cool_us, now_us + pause_us * part)
        request_us = pace.interval_us(self.quota, 1.0)
        self.adaptive = adaptive.refused(self.adaptive, now_us, granted_at=granted_us, request_us=request_us)
        empty_us = now_us + SECOND_US - self.tokens.even_us
        if empty_us > 0 and pace.tokens_us(self.quota, 1.0, self.tokens_per_call) > request_us:
            self._correct(empty_us, now_us)

    def postpone(self, by_us: int) -> None:
        """Move later calls on: one has left late."""
        self.requests_us += by_us

    def pause(self, *, for_us: int, now_us: int) -> None:
        """Let nobody through for a while."""
        self._advance(now_us)
        self.cool_us = max(self.cool_us, now_us + for_us)

    def expected_wait(self, rank: int, tenant: str, weight: float, *, now_us: int) -> float:
        """How long a call that comes now would wait."""
        return self._standing(rank, self.turns.ahead(rank, tenant, weight), now_us).wait_us

    def standing(self, waiter_id: str, *, now_us: int) -> Standing | None:
        """Where a call stands; None when it is not in the queue."""
        self._advance(now_us)
        waiter = self.turns.get(waiter_id)
        if waiter is None:
            return None
        return self._standing(waiter.rank, self.turns.before(waiter, self._each(now_us)), now_us)

    def view(self, *, now_us: int) -> View:
        """What is to be shown."""
        self._advance(now_us)
        rates = self._last_minute(now_us)
        return View(
            factor=adaptive.factor(self.adaptive, now_us),
            granted=tuple(rates[:CLASSES]),
            throttled=rates[CLASSES],
            depths=tuple(line.depth for line in self.turns.lines),
            waits_us=tuple(self.expected_wait(rank, "", 1.0, now_us=now_us) for rank in range(CLASSES)),
            cooling_us=max(0.0, self.cool_us - now_us),
            seconds_per_call=self.seconds_per_call,
            tokens_per_call=self.tokens_per_call,
        )

    def scaled(self, share: float) -> "Limiter":
        """An empty limiter of a share of this quota that knows what this one has learnt."""
        other = Limiter(self.quota.part(share), most_waiting=self.most_waiting, known=replace(self.adaptive, step=0.0))
        other.cool_us = self.cool_us
        other.tokens_per_call, other.seconds_per_call = self.tokens_per_call, self.seconds_per_call
        return other

    def _due(self, factor: float, now_us: int) -> float:
        ahead = pace.tolerance_us(self.quota, factor)
        return max(self.requests_us - ahead, self.tokens.even_us - pace.TOKENS_LATENESS_US, self.cool_us) - now_us

    def _each(self, now_us: int) -> float:
        """The time that a call takes up, on average."""
        factor = adaptive.factor(self.adaptive, now_us)
        return max(self._interval(factor), pace.tokens_us(self.quota, factor, self.tokens_per_call))

    def _standing(self, rank: int, own: int, now_us: int) -> Standing:
        """The place behind so many calls of a class.

        Calls ahead of it times the pace; of which, at worst, its class gets its guaranteed share, and at best what the
        classes before it leave by their grants of the last minute.
        """
        factor = adaptive.factor(self.adaptive, now_us)
        interval, tokens = self._interval(factor), pace.tokens_us(self.quota, factor, self.tokens_per_call)
        higher = sum(self.turns.lines[r].depth for r in range(rank))
        rates = self._last_minute(now_us)
        taken = sum(rates[:rank]) * max(interval, tokens) / MINUTE_US
        owed = sum(SHARES[r] for r in range(rank + 1, CLASSES) if self.turns.lines[r].waiting)
        share = max(SHARES[rank], 1 - taken - owed, 0.05)
        ahead = own + higher if SHARES[rank] <= 0 else min(own + higher, math.ceil((own + 1) / SHARES[rank]) - 1)
        before = max(ahead, own / share)
        begin = now_us + max(0.0, self._due(factor, now_us))
        by_requests = max(self.requests_us, begin) + before * interval - pace.tolerance_us(self.quota, factor)
        by_tokens = max(self.tokens.even_us, begin) + before * tokens - pace.TOKENS_LATENESS_US
        return Standing(ahead, max(begin, by_requests, by_tokens) - now_us)

    def _interval(self, factor: float) -> float:
        return pace.interval_us(self.quota, factor)

    def _grant(self, waiter: Waiter, factor: float, now_us: int) -> None:
        self.requests_us = max(self.requests_us, now_us) + self._interval(factor)
        if self.quota.tpm > 0:
            self.tokens.charge(pace.tokens_us(self.quota, factor, waiter.tokens), now_us=now_us)
        self._counts[waiter.rank] += 1
        self.adaptive = adaptive.started(self.adaptive, now_us)

    def _correct(self, by_us: float, granted_us: int) -> None:
        if self.quota.tpm > 0:
            self.tokens.correct(by_us, charged_us=granted_us)

    def _advance(self, now_us: int) -> None:
        """Begin a new minute of counting when it is time. When the clock has gone back, so does what was written by it."""
        second, before = now_us // SECOND_US, self._second
        if second < before:
            self._go_back((before - second) * SECOND_US)
        minutes = second // 60 - before // 60
        if minutes:
            self._before = self._counts if minutes == 1 else [0.0] * (CLASSES + 1)
            self._counts = [0.0] * (CLASSES + 1)
        self._second = second

    def _go_back(self, by_us: float) -> None:
        self.requests_us, self.cool_us = (at - by_us if at > 0 else at for at in (self.requests_us, self.cool_us))
        self.tokens.earlier(by_us)
        self.adaptive = adaptive.earlier(self.adaptive, by_us)

    def _last_minute(self, now_us: int) -> list[float]:
        """Counts of the last 60 s: this minute's, and of the one before as much as still lies in them."""
        rest = 1 - (now_us % MINUTE_US) / MINUTE_US
        return [now + before * rest for now, before in zip(self._counts, self._before, strict=True)]
