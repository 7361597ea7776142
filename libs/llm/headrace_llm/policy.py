"""The decisions around a call. Pure."""

from collections.abc import Iterable


def estimate_tokens(texts: Iterable[str]) -> int:
    """About how many tokens a prompt has: four ASCII letters or one other character each, and four for each message."""
    total = 0
    for text in texts:
        wide = sum(1 for char in text if char > "\x7f") if not text.isascii() else 0
        total += 4 + wide + (len(text) - wide + 3) // 4
    return total


def wait_budget_s(*, remaining_s: float, expected_s: float) -> float:
    """How long a call may wait at the gate, so that its answer can still come: at least half of what remains."""
    return max(remaining_s - expected_s, remaining_s / 2)


def backoff_s(*, attempt: int, jitter: float, remaining_s: float) -> float | None:
    """How long to wait before attempt number `attempt` (from 1) of a failed call, None when it cannot be made in time.

    `jitter` is a random number in [0, 1).
    """
    delay = min(0.25 * 4 ** (attempt - 1), 4.0) * (0.5 + jitter / 2)
    return delay if delay < remaining_s else None
