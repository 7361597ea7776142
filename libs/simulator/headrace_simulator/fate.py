"""What becomes of an accepted call. Pure: the same seed, key, model and ordinal give the same fate.

The ordinal is the call's place among the accepted calls of its key and model. So the tenth accepted call has the same
latency, length and fault in each run, whatever was refused before it, and a call that is sent again meets another fate.
"""

from dataclasses import dataclass
from math import exp
from random import Random
from typing import Literal

from headrace_simulator.profile import Answer, Faults, Latency

Fault = Literal["", "error", "hang", "cut", "slow"]
MAX_SIGMAS = 6.0


@dataclass(frozen=True, slots=True)
class Fate:
    """Drawn for one call."""

    fault: Fault
    first_token_s: float
    token_s: float
    """From one token to the next."""
    tokens: int
    """Of the answer, before the caller's max_tokens."""
    cut_at: float
    """Where a cut stream ends: the part of its tokens that is sent."""
    offset: int
    """Where in its text the answer begins."""


def draw(seed: int, key: str, model: str, ordinal: int, latency: Latency, answer: Answer, faults: Faults) -> Fate:
    """Draw; the number and the order of draws never changes, so a changed setting changes only what it names."""
    random = Random(f"{seed}\0{key}\0{model}\0{ordinal}")  # noqa: S311 repeatable, not secret
    luck, cut_at, offset = random.random(), random.random(), random.getrandbits(16)
    first, length = random.gauss(0, 1), random.gauss(0, 1)
    fault = _fault(luck, faults)
    pace = faults.slow_factor if fault == "slow" else 1.0
    return Fate(
        fault=fault,
        first_token_s=pace * latency.first_token_s * _lognormal(first, latency.sigma),
        token_s=pace / latency.tokens_per_s,
        tokens=min(answer.max_tokens, max(1, round(answer.tokens * _lognormal(length, answer.sigma)))),
        cut_at=cut_at,
        offset=offset,
    )


def _lognormal(z: float, sigma: float) -> float:
    return exp(sigma * max(-MAX_SIGMAS, min(MAX_SIGMAS, z)))


def _fault(luck: float, faults: Faults) -> Fault:
    kinds: tuple[tuple[Fault, float], ...] = (
        ("error", faults.error),
        ("hang", faults.hang),
        ("cut", faults.cut),
        ("slow", faults.slow),
    )
    for kind, probability in kinds:
        if luck < probability:
            return kind
        luck -= probability
    return ""
