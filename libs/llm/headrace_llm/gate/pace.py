"""How far apart calls leave, so that a provider's own clock agrees. Pure; times are microseconds.

A provider that grants R requests a minute enforces it by the second: it holds a second's worth of burst, one call at
least. Calls that leave evenly but for `JITTER_US` are refused by nobody: up to 60 a minute the spread is added to the
interval, above that the provider's burst absorbs it. `HEADROOM` keeps a sliding minute from being met to the last call.
"""

from dataclasses import dataclass

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US

HEADROOM = 0.002
"""Intervals are longer than the quota asks by this part of themselves."""
JITTER_US = 20_000
"""How much later than its grant a call may reach the provider."""
TOKENS_LATENESS_US = 250_000
"""How far tokens may run ahead of their even pace: a quarter of a second's worth, which a provider's burst absorbs."""
LATENESS_US, LEAST_LATENESS_US = 20_000, 8_000
"""How late a grant may be made without moving those behind it: what a provider's burst absorbs, or a bit of the jitter."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What one limit's processes may use together; 0 means that this side is not bounded."""

    rpm: float = 0.0
    """Requests a minute, as configured."""
    tpm: float = 0.0
    """Tokens a minute, prompt and answer, as configured."""
    burst: int = 1
    """Requests that may leave at once after silence."""
    probe: bool = False
    """Whether more than what is configured may be tried."""

    def part(self, share: float) -> "Quota":
        """A share of this quota, without burst or probing."""
        return Quota(self.rpm * share, self.tpm * share)

    def estimate(self, tokens: int) -> int:
        """What a call is charged for an estimate: at most a minute's. More cannot pass, and may be anybody's mistake."""
        return min(tokens, int(self.tpm)) if self.tpm > 0 else tokens

    @property
    def bounded(self) -> bool:
        """Whether there is anything to pace."""
        return self.rpm > 0 or self.tpm > 0


def interval_us(quota: Quota, factor: float) -> float:
    """Time from one request to the next when the provider grants `factor` of the quota."""
    if quota.rpm <= 0:
        return 0.0
    even = MINUTE_US / (quota.rpm * factor)
    return even * (1 + HEADROOM) + max(0.0, JITTER_US - spare_us(even))


def tolerance_us(quota: Quota, factor: float) -> float:
    """How far requests may run ahead of their even pace."""
    if quota.rpm <= 0:
        return 0.0
    even = MINUTE_US / (quota.rpm * factor)
    return (quota.burst - 1) * even + max(LEAST_LATENESS_US, min(LATENESS_US, spare_us(even) / 2))


def tokens_us(quota: Quota, factor: float, tokens: float) -> float:
    """The time that so many tokens take up, with the sign of `tokens`."""
    if quota.tpm <= 0:
        return 0.0
    return tokens * MINUTE_US * (1 + HEADROOM) / (quota.tpm * factor)


def spare_us(even: float) -> float:
    """What a second's burst of the provider absorbs."""
    return max(0.0, SECOND_US - even)
