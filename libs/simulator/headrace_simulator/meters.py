"""How an amount a minute is granted: by a bucket that fills every second, a sliding minute, or the minutes of the clock.

Pure: times are arguments, in seconds of the clock, and never go back. Each meter is full when it is made.
"""

from abc import ABC, abstractmethod
from math import floor, inf
from typing import Literal

from typing_extensions import override

from headrace_simulator.window import Window

Enforcement = Literal["per_second", "sliding_minute", "fixed_minute"]

MINUTE_S = 60.0
SLACK = 1e-6
"""What arithmetic with fractions may lose of one request or token."""


class Meter(ABC):
    """Grants `per_minute`, and knows what it could have granted since it was made."""

    def __init__(self, now: float, per_minute: float) -> None:
        self.per_minute = per_minute
        self._smooth = 1.0
        self._at = now

    @property
    @abstractmethod
    def capacity(self) -> float:
        """The most that can be there."""

    @abstractmethod
    def level(self, now: float) -> float:
        """What is there now; less than 0 is a debt."""

    @abstractmethod
    def take(self, now: float, amount: float) -> None:
        """Use some, even more than is there."""

    @abstractmethod
    def waste(self, now: float) -> None:
        """Use 1 for a refused call."""

    @abstractmethod
    def wait(self, now: float, need: float) -> float:
        """Seconds until `need` is there when nobody takes any; infinity when it never is."""

    @abstractmethod
    def greedy(self, now: float) -> float:
        """What a caller always ready and never early has been granted by now."""

    @abstractmethod
    def _set(self, now: float, per_minute: float) -> None: ...

    def change(self, now: float, per_minute: float) -> None:
        """Grant another amount from now on."""
        self._smooth = self.smooth(now)
        self._at = now
        self._set(now, per_minute)
        self.per_minute = per_minute

    def smooth(self, now: float) -> float:
        """What a caller that sends evenly, the first at once, has been granted by now."""
        return self._smooth + (now - self._at) * self.per_minute / MINUTE_S

    def allowed(self, now: float) -> tuple[float, float]:
        """Greedy and smooth."""
        return self.greedy(now), self.smooth(now)


class Bucket(Meter):
    """Fills by a sixtieth of the minute's amount every second and holds as much, at least 1."""

    def __init__(self, now: float, per_minute: float) -> None:
        super().__init__(now, per_minute)
        self._level = self.capacity
        self._filled = now
        self._first = self.capacity

    @property
    @override
    def capacity(self) -> float:
        return max(1.0, self.per_minute / MINUTE_S)

    @override
    def level(self, now: float) -> float:
        grown = (now - self._filled) * self.per_minute / MINUTE_S
        return min(self.capacity, self._level + grown) + SLACK

    @override
    def take(self, now: float, amount: float) -> None:
        self._level, self._filled = self.level(now) - SLACK - amount, now

    @override
    def waste(self, now: float) -> None:
        self.take(now, min(1.0, max(0.0, self.level(now) - SLACK)))

    @override
    def wait(self, now: float, need: float) -> float:
        level = self.level(now)
        if level >= need:
            return 0.0
        return (
            (need - level + SLACK) * MINUTE_S / self.per_minute
            if self.per_minute and need <= self.capacity + SLACK
            else inf
        )

    @override
    def greedy(self, now: float) -> float:
        return self._first + self.smooth(now) - 1

    @override
    def _set(self, now: float, per_minute: float) -> None:
        level = self.level(now) - SLACK
        self._level, self._filled = min(level, max(1.0, per_minute / MINUTE_S)), now


class Sliding(Meter):
    """Counts what was taken in the last 60 s, to a millisecond."""

    def __init__(self, now: float, per_minute: float) -> None:
        super().__init__(now, per_minute)
        self._used = Window(MINUTE_S)
        self._ready = Window(MINUTE_S)
        self._granted = 0.0
        self._grant(now)

    @property
    @override
    def capacity(self) -> float:
        return self.per_minute

    @override
    def level(self, now: float) -> float:
        return self.per_minute - self._used.total(now) + SLACK

    @override
    def take(self, now: float, amount: float) -> None:
        self._used.add(now, amount)

    @override
    def waste(self, now: float) -> None:
        self.take(now, 1)

    @override
    def wait(self, now: float, need: float) -> float:
        return self._used.wait(now, self.per_minute - need + SLACK)

    @override
    def greedy(self, now: float) -> float:
        while (at := self._ready.next_leave()) is not None and at <= now + SLACK:
            self._grant(at)
        return self._granted

    def _grant(self, now: float) -> None:
        free = floor(self.per_minute - self._ready.total(now) + SLACK)
        if free > 0:
            self._ready.add(now, free)
            self._granted += free

    @override
    def _set(self, now: float, per_minute: float) -> None:
        self.greedy(now)
        self.per_minute = per_minute
        self._grant(now)


class Fixed(Meter):
    """Starts anew at each full minute of the clock."""

    def __init__(self, now: float, per_minute: float) -> None:
        super().__init__(now, per_minute)
        self._minute = _minute_of(now)
        self._used = 0.0
        self._ready_minute = self._minute
        self._ready = self._granted = float(floor(per_minute))

    @property
    @override
    def capacity(self) -> float:
        return self.per_minute

    @override
    def level(self, now: float) -> float:
        self._turn(now)
        return self.per_minute - self._used + SLACK

    @override
    def take(self, now: float, amount: float) -> None:
        self._turn(now)
        self._used += amount

    @override
    def waste(self, now: float) -> None:
        self.take(now, 1)

    @override
    def wait(self, now: float, need: float) -> float:
        if self.level(now) >= need:
            return 0.0
        return (self._minute + 1) * MINUTE_S - now if need <= self.per_minute + SLACK else inf

    @override
    def greedy(self, now: float) -> float:
        turns = _minute_of(now) - self._ready_minute
        if turns > 0:
            self._ready_minute += turns
            self._ready = float(floor(self.per_minute))
            self._granted += turns * self._ready
        return self._granted

    def _turn(self, now: float) -> None:
        minute = _minute_of(now)
        if minute > self._minute:
            self._minute, self._used = minute, 0.0

    @override
    def _set(self, now: float, per_minute: float) -> None:
        self.greedy(now)
        more = max(0.0, floor(per_minute) - self._ready)
        self._ready += more
        self._granted += more


def _minute_of(now: float) -> int:
    return floor((now + SLACK) / MINUTE_S)


_KINDS: dict[Enforcement, type[Meter]] = {"per_second": Bucket, "sliding_minute": Sliding, "fixed_minute": Fixed}


def make(enforcement: Enforcement, now: float, per_minute: float) -> Meter:
    """A full meter of a kind."""
    return _KINDS[enforcement](now, per_minute)
