"""Amounts of the last so many seconds. Pure: times are arguments, in seconds, and never go back."""

from collections import deque
from math import ceil, floor

TICK_S = 0.001
"""Amounts of one tick are kept together, which bounds the memory: a minute has 60 000 of them."""
_SLACK = 1e-4
"""Of a tick: what the times' own arithmetic may be off."""


class Window:
    """What was added in the last `length_s`. An amount leaves up to one tick late, and never early."""

    __slots__ = ("_entries", "_ticks", "_total")

    def __init__(self, length_s: float) -> None:
        self._ticks = round(length_s / TICK_S)
        self._entries: deque[tuple[int, float]] = deque()
        self._total = 0.0

    def add(self, now: float, amount: float) -> None:
        """Count `amount` from now on."""
        tick = ceil(now / TICK_S - _SLACK)
        if self._entries and self._entries[-1][0] >= tick:
            last, before = self._entries.pop()
            self._entries.append((last, before + amount))
        else:
            self._entries.append((tick, amount))
        self._total += amount

    def total(self, now: float) -> float:
        """The sum of what has not left."""
        limit = floor(now / TICK_S + _SLACK) - self._ticks
        while self._entries and self._entries[0][0] <= limit:
            self._total -= self._entries.popleft()[1]
        return self._total

    def next_leave(self) -> float | None:
        """When the oldest amount leaves; None when there is none."""
        return (self._entries[0][0] + self._ticks) * TICK_S if self._entries else None

    def wait(self, now: float, at_most: float) -> float:
        """Seconds until the sum is `at_most` when nothing is added; infinity when it never is."""
        total = self.total(now)
        if total <= at_most:
            return 0.0
        for tick, amount in self._entries:
            total -= amount
            if total <= at_most:
                return max(0.0, (tick + self._ticks) * TICK_S - now)
        return float("inf")
