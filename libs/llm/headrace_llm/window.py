"""Sums over the last minute, in constant memory."""

from collections.abc import Callable, Sequence

SECONDS = 60


class SlidingMinute:
    """Adds figures up by the second and forgets what is older than a minute."""

    def __init__(self, names: Sequence[str], *, clock: Callable[[], float]) -> None:
        self._at = {name: index for index, name in enumerate(names)}
        self._clock = clock
        self._sums = [[0.0] * len(names) for _ in range(SECONDS)]
        self._second = int(clock())

    def add(self, name: str, value: float = 1.0) -> None:
        """Count `value` now."""
        self._forget()
        self._sums[self._second % SECONDS][self._at[name]] += value

    def sum(self, name: str) -> float:
        """What was counted in the last minute."""
        self._forget()
        at = self._at[name]
        return sum(row[at] for row in self._sums)

    def _forget(self) -> None:
        now = int(self._clock())
        for second in range(max(self._second + 1, now - SECONDS + 1), now + 1):
            self._sums[second % SECONDS] = [0.0] * len(self._at)
        self._second = max(self._second, now)
