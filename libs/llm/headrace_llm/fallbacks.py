"""In which order a request asks models: the one it named, then that one's fallbacks. Pure.

It goes through the chain twice. The first time it waits at each gate for `fallback_wait_s` at most, so that a model with a
free turn is found; when all refuse, it waits as long as its deadline allows, the model that it named first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from headrace_runtime.errors import ServiceError

from headrace_llm.errors import ErrorClass, class_of
from headrace_llm.registry import ModelEntry
from headrace_llm.treatment import Move

MAX_CHAIN = 5
"""Models that one request may ask."""


def chain(models: Mapping[str, ModelEntry], first: ModelEntry, *, prompt_tokens: int) -> tuple[ModelEntry, ...]:
    """`first` and its own fallbacks that can read the prompt, each once. A fallback's fallbacks are not followed."""
    names = (name for name in dict.fromkeys(first.fallbacks) if name != first.id and name in models)
    others = (models[name] for name in names)
    return (first, *(entry for entry in others if entry.context_tokens >= prompt_tokens))[:MAX_CHAIN]


@dataclass(frozen=True, slots=True)
class Route:
    """How far a request has come in its chain."""

    chain: tuple[ModelEntry, ...]
    at: int = 0
    patient: bool = False
    """The second time."""
    spent: frozenset[int] = frozenset()
    """Places not to come back to."""
    moved_once: bool = False

    @staticmethod
    def of(chain: tuple[ModelEntry, ...]) -> "Route":
        """The beginning. One who has no choice is patient at once."""
        return Route(chain, patient=len(chain) == 1)

    @property
    def entry(self) -> ModelEntry:
        """Who is asked now."""
        return self.chain[self.at]

    @property
    def alone(self) -> bool:
        """Whether nobody else is left to ask."""
        return len(self.spent | {self.at}) == len(self.chain)

    def moved(self, move: Move) -> "Route | None":
        """The next place, None for the end."""
        if move is Move.NEVER or (move is Move.ONCE and self.moved_once):
            return None
        spent = self.spent if move is Move.MEANWHILE else self.spent | {self.at}
        if move is Move.LARGER:
            reads = self.entry.context_tokens
            spent |= {at for at, entry in enumerate(self.chain) if entry.context_tokens <= reads}
        route = replace(self, spent=spent, moved_once=self.moved_once or move is Move.ONCE)
        later = next((at for at in range(self.at + 1, len(self.chain)) if at not in spent), None)
        if later is not None:
            return replace(route, at=later)
        first = next((at for at in range(len(self.chain)) if at not in spent), None)
        return None if self.patient or first is None else replace(route, at=first, patient=True)


_HOPE = {
    ErrorClass.GATE: 0,
    ErrorClass.THROTTLED: 0,
    ErrorClass.BREAKER: 0,
    ErrorClass.TRANSIENT: 1,
    ErrorClass.HUNG: 1,
    ErrorClass.TIMEOUT: 2,
}


def verdict(errors: Iterable[ServiceError]) -> ServiceError:
    """Of each model's last error, the one that passes first: it says whether and when to come back."""
    return min(errors, key=lambda error: (_HOPE.get(class_of(error), 3), error.retry_after_s or 0.0))
