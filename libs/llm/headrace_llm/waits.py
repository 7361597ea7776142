"""How long a call waits: at the gate, after a failure, after a 429. Pure: durations in seconds, randomness as arguments."""

MIN_COOL_DOWN_S = 0.1
"""A Retry-After of 0 is not believed."""


def wait_budget_s(*, remaining_s: float, expected_s: float) -> float:
    """How long a call may wait at the gate, so that its answer can still come: at least half of what remains."""
    return max(remaining_s - expected_s, remaining_s / 2)


def backoff_s(*, attempt: int, jitter: float, remaining_s: float) -> float | None:
    """How long to wait before attempt number `attempt` (from 1) of a failed call, None when it cannot be made in time.

    `jitter` is a random number in [0, 1).
    """
    delay = min(0.25 * 4 ** (attempt - 1), 4.0) * (0.5 + jitter / 2)
    return delay if delay < remaining_s else None


def cool_down_s(*, asked_s: float | None, default_s: float, max_s: float) -> float:
    """How long to leave a model alone after a 429 that asked for `asked_s`, None when it did not say."""
    return min(max(default_s if asked_s is None else asked_s, MIN_COOL_DOWN_S), max_s)
