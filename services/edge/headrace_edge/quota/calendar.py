"""How much of the coming time is promised, second by second. Pure: times are arguments, in seconds."""

import math
from dataclasses import dataclass, field

EPSILON = 1e-9


@dataclass(slots=True)
class Calendar:
    """Seconds of work in each second from now on; of each, `share` may be promised."""

    share: float
    _taken: dict[int, float] = field(default_factory=dict)
    _skip: dict[int, int] = field(default_factory=dict)
    """From a full second to a later one before which all are full."""
    _since: int = 0

    def book(self, start: float, work_s: float, *, until: float) -> float | None:
        """Take the first free parts from `start` on that add up to `work_s`. Returns their end; None past `until`."""
        parts: list[tuple[int, float]] = []
        at, left = self._free(math.floor(start)), work_s
        while left > EPSILON:
            if at > until:
                return None
            part = min(left, self.share - self._taken.get(at, 0.0))
            parts.append((at, part))
            left -= part
            at = self._free(at + 1)
        for second, part in parts:
            taken = self._taken[second] = self._taken.get(second, 0.0) + part
            if taken >= self.share - EPSILON:
                self._skip[second] = second + 1
        last = parts[-1][0] if parts else math.floor(start)
        return max(start, last + self._taken.get(last, 0.0) / self.share)

    def forget(self, now: float) -> None:
        """Drop the seconds that are over."""
        first = math.floor(now)
        if first > self._since:
            self._since = first
            self._taken = {at: value for at, value in self._taken.items() if at >= first}
            self._skip = {at: to for at, to in self._skip.items() if at >= first}

    def _free(self, second: int) -> int:
        """The first second from `second` on that is not full; the way there is made short for the next."""
        path = []
        while second in self._skip:
            path.append(second)
            second = self._skip[second]
        for one in path:
            self._skip[one] = second
        return second
