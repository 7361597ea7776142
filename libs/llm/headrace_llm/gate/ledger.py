"""What was charged lately, so that a correction counts from when its call was let through. Pure; times are microseconds.

A call's tokens are known when it has ended, seconds after the provider charged them. Meanwhile the provider's burst may
have been full, and what it could not hold is lost: tokens that a call did not need cannot all be spent later. So a
correction changes the charge where it was made, and the time at which the limit is even follows from there again.
"""

from dataclasses import dataclass, field

SLICE_US = 100_000
"""Charges of so long are kept as one."""
MOST_SLICES = 64
"""More are forgotten, the oldest first: what is corrected of them counts from the oldest that is known."""


@dataclass(slots=True)
class Ledger:
    """Charges of one side of a limit, in the time that they take up."""

    before_us: float = 0.0
    """When the limit would have been even but for the charges that follow."""
    slices: list[tuple[float, float]] = field(default_factory=list)
    """(since when, how much), oldest first. Within a slice the limit is never idle."""
    even_us: float = 0.0
    """When it is even."""

    def charge(self, amount_us: float, *, now_us: float) -> None:
        """Count a call that is let through."""
        last = self.slices[-1] if self.slices else None
        if last is not None and 0 <= now_us - last[0] < SLICE_US and self.even_us >= now_us:
            self.slices[-1] = (last[0], last[1] + amount_us)
        else:
            self.slices.append((now_us, amount_us))
        if len(self.slices) > MOST_SLICES:
            since, amount = self.slices.pop(0)
            self.before_us = max(self.before_us, since) + amount
        self.even_us = max(self.even_us, now_us) + amount_us

    def correct(self, by_us: float, *, charged_us: float) -> None:
        """Change a charge that was made at `charged_us`."""
        at = len(self.slices) - 1
        while at >= 0 and self.slices[at][0] > charged_us:
            at -= 1
        if at < 0:
            self.before_us += by_us
        else:
            since, amount = self.slices[at]
            self.slices[at] = (since, amount + by_us)
        self.even_us = self.before_us
        for since, amount in self.slices:
            self.even_us = max(self.even_us, since) + amount

    def earlier(self, by_us: float) -> None:
        """Everything was so much earlier: the clock has gone back."""
        self.before_us = self.before_us - by_us if self.before_us > 0 else self.before_us
        self.even_us = self.even_us - by_us if self.even_us > 0 else self.even_us
        self.slices = [(since - by_us, amount) for since, amount in self.slices]
