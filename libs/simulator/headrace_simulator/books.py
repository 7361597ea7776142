"""The books: who asked how much, what was let in, how evenly. Pure: times are arguments, in seconds, and never go back.

Each book has a bounded size whatever comes.
"""

from array import array
from collections import Counter
from math import exp, log
from typing import Any, Literal

from headrace_simulator.policy import CAUSES, Cause
from headrace_simulator.window import Window

Outcome = Literal["completed", "aborted", "error", "hang", "cut"]
"""How an accepted call ended: as asked, by its client's leaving first, or by a fault."""
OUTCOMES: tuple[Outcome, ...] = ("completed", "aborted", "error", "hang", "cut")
SERIES_S = 3600
"""How many seconds back the series go."""
COLUMNS = ("arrivals", "accepted", "refused", "completed")


class Intervals:
    """Lengths of time, kept as counts of classes 2 % wide."""

    _STEP = log(1.02)
    _LEAST_S = 1e-4
    _CLASSES = 1000

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, length_s: float) -> None:
        """Count one; what is longer than 11 h counts as that."""
        at = round(log(max(length_s, self._LEAST_S) / self._LEAST_S) / self._STEP)
        self._counts[min(at, self._CLASSES)] += 1

    def quantile(self, part: float) -> float | None:
        """The length that `part` of them do not exceed, to 1 %; None when there are none."""
        left = part * self._counts.total()
        for at in sorted(self._counts):
            left -= self._counts[at]
            if left <= 0:
                return self._LEAST_S * exp(at * self._STEP)
        return None


class Series:
    """Counts for each of the last `SERIES_S` seconds."""

    def __init__(self) -> None:
        self._columns = {name: array("L", bytes(8 * SERIES_S)) for name in COLUMNS}
        self._first = self._last = -1

    def add(self, now: float, column: str) -> None:
        """Count one."""
        second = int(now)
        if self._last < 0:
            self._first = self._last = second
        for passed in range(max(self._last + 1, second - SERIES_S + 1), second + 1):
            for values in self._columns.values():
                values[passed % SERIES_S] = 0
        self._last = max(self._last, second)
        self._columns[column][second % SERIES_S] += 1

    def to_json(self, epoch: float, seconds: int) -> dict[str, Any]:
        """The last `seconds` up to the last one that has something, as lists; `start` is the first one's Unix time."""
        start = max(self._first, self._last - min(seconds, SERIES_S) + 1)
        each = range(start, self._last + 1) if self._last >= 0 else range(0)
        return {
            "start": int(epoch) + start if self._last >= 0 else None,
            **{name: [values[at % SERIES_S] for at in each] for name, values in self._columns.items()},
        }


class Book:
    """Everything about one caller's, one account's or all calls."""

    def __init__(self) -> None:
        self.accepted = 0
        self._arrivals = 0
        self._refused: Counter[Cause] = Counter()
        self._outcomes: Counter[Outcome] = Counter()
        self._prompt_tokens = self._completion_tokens = 0
        self._in_flight = self._peak_in_flight = 0
        self._first: float | None = None
        self._last_arrival = self._last_accepted = 0.0
        self._longest = 0.0
        self._intervals = Intervals()
        self._arrived_1s, self._accepted_1s = Window(1.0), Window(1.0)
        self._most_arrived = self._most_accepted = 0.0
        self._series = Series()

    def arrived(self, now: float) -> None:
        """A call came."""
        if self._first is None:
            self._first = self._last_accepted = now
        self._last_arrival = now
        self._arrivals += 1
        self._arrived_1s.add(now, 1)
        self._most_arrived = max(self._most_arrived, self._arrived_1s.total(now))
        self._series.add(now, "arrivals")

    def refuse(self, now: float, cause: Cause) -> None:
        """It was refused."""
        self._refused[cause] += 1
        self._series.add(now, "refused")

    def accept(self, now: float, prompt_tokens: int, completion_tokens: int) -> None:
        """It was let in."""
        gap = now - self._last_accepted
        self._longest = max(self._longest, gap)
        if self.accepted:
            self._intervals.add(gap)
        self._last_accepted = now
        self.accepted += 1
        self._prompt_tokens += prompt_tokens
        self._completion_tokens += completion_tokens
        self._in_flight += 1
        self._peak_in_flight = max(self._peak_in_flight, self._in_flight)
        self._accepted_1s.add(now, 1)
        self._most_accepted = max(self._most_accepted, self._accepted_1s.total(now))
        self._series.add(now, "accepted")

    def end(self, now: float, outcome: Outcome) -> None:
        """It ended."""
        self._in_flight -= 1
        self._outcomes[outcome] += 1
        if outcome == "completed":
            self._series.add(now, "completed")

    def to_json(self, epoch: float, series_s: int) -> dict[str, Any]:
        """As the report has it."""
        series = {"series": self._series.to_json(epoch, series_s)} if series_s else {}
        return {
            "arrivals": self._arrivals,
            "accepted": self.accepted,
            "refused": self._refused.total(),
            "refused_by": {cause: self._refused[cause] for cause in CAUSES},
            "ended": {outcome: self._outcomes[outcome] for outcome in OUTCOMES},
            "in_flight": self._in_flight,
            "in_flight_max": self._peak_in_flight,
            "tokens": {"prompt": self._prompt_tokens, "completion": self._completion_tokens},
            "first_arrival_at": None if self._first is None else epoch + self._first,
            "last_arrival_at": None if self._first is None else epoch + self._last_arrival,
            "gap_max_s": self._longest_gap(),
            "interval_p50_s": self._intervals.quantile(0.5),
            "interval_p95_s": self._intervals.quantile(0.95),
            "arrivals_max_1s": int(self._most_arrived),
            "accepted_max_1s": int(self._most_accepted),
            **series,
        }

    def _longest_gap(self) -> float:
        """The time after the last accepted call counts as long as calls come."""
        return max(self._longest, self._last_arrival - self._last_accepted)
