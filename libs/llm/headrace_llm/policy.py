"""The gate's arithmetic. Pure: times come in as integers of microseconds.

The generic cell rate algorithm keeps, for a limit, the time at which it would be even again (`requests_us`, `tokens_us`).
A call may go at the first moment that is even but for the burst, for requests and tokens alike; going moves both
times on by what it costs. A reservation does that for a moment to come. `gcra.lua` does the same inside Redis, to the
microsecond: a test compares them.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """A quota as intervals; 0 means that this side is not paced."""

    request_us: int = 0
    """Time that one request takes up."""
    request_burst_us: int = 0
    """How far requests may run ahead."""
    tpm: float = 0.0
    """Tokens a minute; 0 for any number."""

    @staticmethod
    def of(*, rpm: float | None, tpm: float | None, burst: int) -> "Limit":
        """The limit of a quota. Intervals are rounded up, so that no rounding beats the quota."""
        interval = math.ceil(MINUTE_US / rpm) if rpm else 0
        return Limit(interval, (burst - 1) * interval, tpm or 0.0)

    def part(self, share: float) -> "Limit":
        """A share of this limit."""
        return Limit(math.ceil(self.request_us / share), math.ceil(self.request_burst_us / share), self.tpm * share)

    def tokens_us(self, tokens: int) -> int:
        """The time that so many tokens take up, with the sign of `tokens`."""
        return math.ceil(tokens * MINUTE_US / self.tpm) if self.tpm else 0


@dataclass(frozen=True, slots=True)
class Bucket:
    """A limit's state."""

    requests_us: int = 0
    """When requests are even."""
    tokens_us: int = 0
    """When tokens are even."""
    slot_us: int = 0
    """The newest slot given: none is given before it, or a later call would overtake."""
    cool_us: int = 0
    """End of the cool-down."""
    turn: int = 0
    """Reservations so far, without those given back."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What a reservation got."""

    granted: bool
    wait_us: int
    """Until the slot; for a refused one, until the slot that it would have had."""
    now_us: int
    """The time that it counts from."""
    turn: int = 0
    token_us: int = 0
    """Time that its tokens took up."""
    before_requests_us: int = 0
    before_slot_us: int = 0
    """The bucket before it, for giving it back."""
    own: bool = False
    """Given by this process alone, while the shared state was out of reach."""


def reserve(bucket: Bucket, limit: Limit, *, tokens: int, now_us: int, max_wait_us: int) -> tuple[Bucket, Slot]:
    """Give the next slot, or refuse one that is further away than `max_wait_us` and leave the bucket as it is."""
    token_us = limit.tokens_us(tokens)
    even = bucket.requests_us - limit.request_burst_us
    slot_us = max(now_us, even, bucket.tokens_us, bucket.cool_us, bucket.slot_us)
    wait_us = slot_us - now_us
    if wait_us > max_wait_us:
        return bucket, Slot(False, wait_us, now_us)
    after = replace(
        bucket,
        requests_us=max(bucket.requests_us, slot_us) + limit.request_us,
        tokens_us=max(bucket.tokens_us, slot_us) + token_us,
        slot_us=slot_us,
        turn=bucket.turn + 1,
    )
    return after, Slot(True, wait_us, now_us, after.turn, token_us, bucket.requests_us, bucket.slot_us)


def give_back(bucket: Bucket, slot: Slot) -> Bucket:
    """Undo the newest reservation; of an older one only the tokens, as others have queued up behind its slot."""
    if slot.turn == 0:
        return bucket
    tokens_us = bucket.tokens_us - slot.token_us
    if slot.turn != bucket.turn:
        return replace(bucket, tokens_us=tokens_us)
    return replace(
        bucket,
        requests_us=slot.before_requests_us,
        tokens_us=tokens_us,
        slot_us=slot.before_slot_us,
        turn=bucket.turn - 1,
    )


def adjust(bucket: Bucket, *, token_us: int) -> Bucket:
    """Correct the tokens by what a call really used."""
    return replace(bucket, tokens_us=bucket.tokens_us + token_us)


def cool_down(bucket: Bucket, *, now_us: int, for_us: int) -> Bucket:
    """Start a cool-down, or make the present one longer, never shorter."""
    return replace(bucket, cool_us=max(bucket.cool_us, now_us + for_us))


def estimate_tokens(texts: Iterable[str]) -> int:
    """About how many tokens a prompt has: four ASCII letters or one other character each, and four for each message."""
    total = 0
    for text in texts:
        wide = sum(1 for char in text if char > "\x7f") if not text.isascii() else 0
        total += 4 + wide + (len(text) - wide + 3) // 4
    return total
