"""The quota: whether a call is let in now, what it is charged, when the next may come.

Pure: times are arguments, in seconds of the clock (so that its minutes are the clock's), and never go back.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from headrace_simulator.meters import SLACK, Enforcement, Meter, make

Cause = Literal["requests", "burst", "tokens", "concurrency"]
"""Why a call is refused. burst: this second's share is used while the minute's is not."""
_ANY = 2 * SLACK
"""A token level above that is above 0."""
CAUSES: tuple[Cause, ...] = ("requests", "burst", "tokens", "concurrency")


@dataclass(frozen=True, slots=True)
class Limit:
    """What a quota grants. None is no limit."""

    enforcement: Enforcement = "per_second"
    rpm: float | None = None
    tpm: float | None = None
    concurrency: int | None = None
    refused_count: bool = False
    """Whether a refused call uses up a request as well."""

    def times(self, factor: float) -> "Limit":
        """The same with other rates."""
        rpm = None if self.rpm is None else self.rpm * factor
        tpm = None if self.tpm is None else self.tpm * factor
        return Limit(self.enforcement, rpm, tpm, self.concurrency, self.refused_count)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that is not let in."""

    cause: Cause
    wait_s: float | None
    """When it would be let in if nobody else came; None when the quota cannot know."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much of a limit is unused."""

    per_minute: float
    left: float
    full_in_s: float
    """Until everything is there again when nobody comes."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What could have been used since the first call. None where there is no limit."""

    requests: float | None
    """By a caller always ready and never early: what it finds there at once, and everything as soon as it is there."""
    requests_smooth: float | None
    """By a caller that sends evenly from the first call on: 1, and the rate times the time."""
    tokens: float | None
    tokens_smooth: float | None


class Quota:
    """The state of one limit, from the first call on."""

    def __init__(self, now: float, limit: Limit) -> None:
        self.limit = limit
        self.in_flight = 0
        self._requests = _meter(None, now, limit.enforcement, limit.rpm)
        self._tokens = _meter(None, now, limit.enforcement, limit.tpm)
        self._minute = _meter(None, now, "sliding_minute", limit.rpm)

    def change(self, now: float, limit: Limit) -> None:
        """Go on with other rates. Another enforcement, or a limit where none was, starts full."""
        same = limit.enforcement == self.limit.enforcement
        self._requests = _meter(self._requests if same else None, now, limit.enforcement, limit.rpm)
        self._tokens = _meter(self._tokens if same else None, now, limit.enforcement, limit.tpm)
        self._minute = _meter(self._minute, now, "sliding_minute", limit.rpm)
        self.limit = limit

    def refusal(self, now: float) -> Refusal | None:
        """Why a call is not let in now, or None. A refused call is charged when the limit says so."""
        cause = self._cause(now)
        if cause is None:
            return None
        if self.limit.refused_count and self._requests is not None:
            self._requests.waste(now)
        if cause == "concurrency":
            return Refusal(cause, None)
        requests = self._requests.wait(now, 1) if self._requests is not None else 0.0
        tokens = self._tokens.wait(now, _ANY) if self._tokens is not None else 0.0
        wait = max(requests, tokens)
        return Refusal(cause, wait if isfinite(wait) else None)

    def enter(self, now: float, tokens: float) -> None:
        """Charge a call that was let in: one request, and the tokens of its prompt and its answer."""
        self.in_flight += 1
        for meter in (self._requests, self._minute):
            if meter is not None:
                meter.take(now, 1)
        if self._tokens is not None:
            self._tokens.take(now, tokens)

    def leave(self) -> None:
        """A call that was let in has ended."""
        self.in_flight -= 1

    def room(self, now: float) -> tuple[Room | None, Room | None]:
        """For requests and for tokens; None where there is no limit."""
        return _room(self._requests, now), _room(self._tokens, now)

    def allowance(self, now: float) -> Allowance:
        """What could have been used by now."""
        requests = self._requests.allowed(now) if self._requests is not None else (None, None)
        tokens = self._tokens.allowed(now) if self._tokens is not None else (None, None)
        return Allowance(*requests, *tokens)

    def _cause(self, now: float) -> Cause | None:
        limit = self.limit
        if limit.concurrency is not None and self.in_flight >= limit.concurrency:
            return "concurrency"
        if self._requests is not None and self._requests.level(now) < 1:
            unused = limit.enforcement == "per_second" and self._minute is not None and self._minute.level(now) >= 1
            return "burst" if unused else "requests"
        if self._tokens is not None and self._tokens.level(now) < _ANY:
            return "tokens"
        return None


def _meter(old: Meter | None, now: float, enforcement: Enforcement, per_minute: float | None) -> Meter | None:
    if per_minute is None:
        return None
    if old is None:
        return make(enforcement, now, per_minute)
    if per_minute != old.per_minute:
        old.change(now, per_minute)
    return old


def _room(meter: Meter | None, now: float) -> Room | None:
    return None if meter is None else Room(meter.per_minute, max(0.0, meter.level(now)), meter.wait(now, meter.capacity))
