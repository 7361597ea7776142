"""Who asks for what, and what serves them. Plain data; times are seconds."""

from collections.abc import Sequence
from dataclasses import dataclass

from headrace_llm.client import Priority
from headrace_llm.gate.pace import Quota

MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request. Its calls follow each other."""

    name: str
    share: float
    """The part of all requests that is of this kind, from 0 to 1."""
    calls: float
    """Model calls of one request, on average: 1.6 is one, and in six of ten requests a second."""
    seconds: float
    """What a call takes when it need not wait, on average."""
    tokens: float
    """Prompt and answer of a call, on average."""
    priority: Priority
    patience_s: float
    """A request that cannot be answered so soon is given up."""

    @property
    def request_s(self) -> float:
        """What a request takes when it need not wait, on average."""
        return self.calls * self.seconds


@dataclass(frozen=True, slots=True)
class Scenario:
    """A number of users is looked for, each of whom thinks, asks, waits for the answer, and thinks again."""

    kinds: Sequence[Kind]
    """At least one; the shares add up to 1."""
    think_s: float
    """Between an answer and the next request, on average."""
    quota: Quota
    slots: int
    """Requests that are worked on at once, those that wait at the gate included."""

    @property
    def calls(self) -> float:
        """Model calls of a request, on average over the mix."""
        return sum(kind.share * kind.calls for kind in self.kinds)

    @property
    def response_s(self) -> float:
        """What a request takes when it need not wait, on average over the mix."""
        return sum(kind.share * kind.request_s for kind in self.kinds)

    @property
    def tokens(self) -> float:
        """Tokens of a request, on average over the mix."""
        return sum(kind.share * kind.calls * kind.tokens for kind in self.kinds)

    @property
    def round_s(self) -> float:
        """From one request of a user to the next, when none need wait."""
        return self.response_s + self.think_s
