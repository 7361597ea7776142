"""What this process has learned of each model: how long its answers are and how long calls of a kind take."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

WEIGHT = 0.02
"""How much the newest call moves an average, once there were fifty: before, all count alike.

What is reserved is the average and no more: calls in flight err both ways, and a margin on each would add up."""
QUANTILE = 0.995
"""The part of calls that are done within `needed_s`. Under overload all wait as long as they may: the rest is too late."""
STEP = 1.1
"""Ratio of a bucket's bounds; times are known to that precision, and taken a bucket longer."""
LEAST_S = 0.01
MEMORY = 0.998
"""What each call leaves of the weight of those before: some five hundred are remembered."""
DOUBT = 2.0
"""What is added, as a part, where few calls are known: this over the root of their number, `MOST_DOUBT` at the most."""
MOST_DOUBT = 1.0
MOST_KINDS = 256
"""Kinds of calls that are kept apart; more share what is known of their model."""


@dataclass(slots=True)
class _Average:
    completion_tokens: float = 0.0
    seconds: float = 0.0
    calls: int = 0

    def add(self, completion_tokens: int, seconds: float) -> None:
        self.calls += 1
        weight = max(WEIGHT, 1 / self.calls)
        self.completion_tokens += weight * (completion_tokens - self.completion_tokens)
        self.seconds += weight * (seconds - self.seconds)


@dataclass(slots=True)
class _Times:
    """A histogram of logarithmic buckets, of which old calls fade."""

    weights: dict[int, float] = field(default_factory=dict)
    unit: float = 1.0

    def add(self, seconds: float) -> None:
        bucket = max(0, math.ceil(math.log(max(seconds, LEAST_S) / LEAST_S, STEP)))
        self.unit /= MEMORY
        self.weights[bucket] = self.weights.get(bucket, 0.0) + self.unit
        if self.unit > 1e9:
            self.weights = {one: weight / self.unit for one, weight in self.weights.items() if weight / self.unit > 1e-6}
            self.unit = 1.0

    def quantile(self) -> float:
        total = sum(self.weights.values())
        doubt = 1 + min(MOST_DOUBT, DOUBT / math.sqrt(total / self.unit))
        rest = total * (1 - QUANTILE)
        for bucket in sorted(self.weights, reverse=True):
            rest -= self.weights[bucket]
            if rest < 0:
                return LEAST_S * float(STEP**bucket) * doubt
        raise AssertionError("unreachable: the weights add up to more than a part of them")


class History:
    """Averages and times of each kind of call, and of each model, starting with what the settings guess."""

    def __init__(self, *, default_max_tokens: int) -> None:
        self._default = default_max_tokens
        self._averages: dict[tuple[str, str], _Average] = {}
        self._times: dict[tuple[str, str], _Times] = {}

    def expected_tokens(self, model: str, purpose: str = "", *, max_tokens: int) -> int:
        """Tokens of an answer to reserve, never more than the caller allows."""
        known = self._averages.get((model, purpose)) or self._averages.get((model, ""))
        guess = self._default if known is None else max(1, round(known.completion_tokens))
        return min(guess, max_tokens)

    def expected_s(self, model: str) -> float:
        """Seconds that a call takes on average; 0 before the first."""
        known = self._averages.get((model, ""))
        return known.seconds if known else 0.0

    def needed_s(self, model: str, purpose: str = "") -> float:
        """Seconds within which almost every call of a kind is done, of its model where the kind is new; 0 before any."""
        times = self._times.get((model, purpose)) or self._times.get((model, ""))
        return times.quantile() if times else 0.0

    def learn(self, model: str, *, completion_tokens: int, seconds: float, purpose: str = "") -> None:
        """Count a finished call in."""
        for kind in _kept(self._averages, model, purpose):
            self._averages.setdefault(kind, _Average()).add(completion_tokens, seconds)
        self.outlasted(model, seconds=seconds, purpose=purpose)

    def outlasted(self, model: str, *, seconds: float, purpose: str = "") -> None:
        """Learn that a call took that long, at least: it may have been broken off then."""
        for kind in _kept(self._times, model, purpose):
            self._times.setdefault(kind, _Times()).add(seconds)


def _kept(known: Mapping[tuple[str, str], object], model: str, purpose: str) -> list[tuple[str, str]]:
    """What a call counts for: its model, and its kind while there is room for it."""
    kinds = {(model, ""), (model, purpose)}
    return [kind for kind in kinds if kind in known or len(known) < MOST_KINDS or not kind[1]]
