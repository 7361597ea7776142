"""What runs of each kind take: model calls and seconds, learned from those that succeeded. Pure: no I/O, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace_executor.model import RunKind

MEMORY = 32
"""Runs after which an earlier one counts for little: the weight of a new one is never less than one in this many."""


@dataclass(frozen=True, slots=True)
class KindCost:
    """Means over the last runs of a kind."""

    runs: int
    """How many they are, as far as it matters."""
    calls: float
    """Model calls that reached a provider."""
    seconds: float
    """From claim to end."""


class KindCosts:
    """One executor's experience; a new process begins with what the last rows of the table say."""

    def __init__(self) -> None:
        self._costs: dict[RunKind, KindCost] = {}

    def begin(self, costs: Mapping[RunKind, KindCost]) -> None:
        """Start from means that are known already; what was learned meanwhile stays."""
        self._costs = {**costs, **self._costs}

    def learn(self, kind: RunKind, *, calls: int, seconds: float) -> None:
        """Count one run that succeeded."""
        old = self._costs.get(kind, KindCost(0, 0.0, 0.0))
        runs = min(old.runs + 1, MEMORY)
        self._costs[kind] = KindCost(
            runs, old.calls + (calls - old.calls) / runs, old.seconds + (seconds - old.seconds) / runs
        )

    def of_kinds(self) -> Mapping[RunKind, KindCost]:
        """The kinds of which runs have succeeded."""
        return self._costs

    def mean_calls(self) -> float:
        """Of a run whose kind is not known, 0 before anything was learned."""
        runs = sum(one.runs for one in self._costs.values())
        return sum(one.calls * one.runs for one in self._costs.values()) / runs if runs else 0.0
