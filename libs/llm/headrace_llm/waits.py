"""How long a call waits: at the gate, after a failure, after a 429. Pure: durations in seconds, randomness as arguments."""

MIN_COOL_DOWN_S = 0.1
"""A Retry-After of 0 is not believed."""


LEAST_PART = 0.25
"""A call in a hurry may wait for this part of its time, where an average call would still be done in the rest."""


def wait_budget_s(*, remaining_s: float, needed_s: float, expected_s: float) -> float:
    """How long a call may wait at the gate, so that its answer still comes in time.

    `needed_s`: within which almost every such call is done; `expected_s`: the average. Both are 0 before the first call.
    """
    if needed_s <= 0:
        return remaining_s / 2
    return max(0.0, remaining_s - needed_s, min(remaining_s - expected_s, remaining_s * LEAST_PART))


def backoff_s(*, attempt: int, jitter: float, remaining_s: float) -> float | None:
    """How long to wait before attempt number `attempt` (from 1) of a failed call, None when it cannot be made in time.

    `jitter` is a random number in [0, 1).
    """
    delay = min(0.25 * 4 ** (attempt - 1), 4.0) * (0.5 + jitter / 2)
    return delay if delay < remaining_s else None


def cool_down_s(*, asked_s: float | None, default_s: float, max_s: float) -> float:
    """How long to leave a model alone after a 429 that asked for `asked_s`, None when it did not say."""
    return min(max(default_s if asked_s is None else asked_s, MIN_COOL_DOWN_S), max_s)
