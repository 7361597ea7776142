"""What this process has learned of each model: how long its answers are and how long they take."""

from dataclasses import dataclass, replace

WEIGHT = 0.1
"""How much the newest call moves the average."""
MARGIN = 1.25
"""Answers vary: this much more than the average is reserved."""


@dataclass(frozen=True, slots=True)
class _Average:
    completion_tokens: float
    seconds: float


class History:
    """Moving averages for each model, starting with what the settings guess."""

    def __init__(self, *, default_max_tokens: int) -> None:
        self._default = default_max_tokens
        self._averages: dict[str, _Average] = {}

    def expected_tokens(self, model: str, *, max_tokens: int) -> int:
        """Tokens of an answer to reserve, never more than the caller allows."""
        known = self._averages.get(model)
        guess = self._default if known is None else round(known.completion_tokens * MARGIN) + 1
        return min(guess, max_tokens)

    def expected_s(self, model: str) -> float:
        """Seconds that a call takes; 0 before the first."""
        known = self._averages.get(model)
        return known.seconds if known else 0.0

    def learn(self, model: str, *, completion_tokens: int, seconds: float) -> None:
        """Count a finished call in."""
        known = self._averages.get(model, _Average(completion_tokens, seconds))
        self._averages[model] = replace(
            known,
            completion_tokens=known.completion_tokens + WEIGHT * (completion_tokens - known.completion_tokens),
            seconds=known.seconds + WEIGHT * (seconds - known.seconds),
        )
