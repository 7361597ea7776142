"""How many calls may be repeated: a part of those that succeed, and a few more. Pure.

Without it every caller of a provider that fails a third of its calls sends up to three times as many.
"""


class RetryBudget:
    """One model's. Over any time there are at most `floor` + `ratio` × successes repetitions."""

    def __init__(self, *, ratio: float, floor: int) -> None:
        self._ratio = ratio
        self._floor = floor
        self._left = float(floor)

    def succeeded(self) -> None:
        """Count a call that was answered."""
        self._left = min(self._left + self._ratio, self._floor)

    def take(self) -> bool:
        """Whether one more call may be repeated; then it is counted."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
